"""Connections to Redis with short time-outs, and the translation of redis-py's errors."""

import logging
import socket
from typing import Any
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from agewell.shared.errors import BrokerFullError, BrokerUnreachableError, PassingError
from agewell.shared.redis.loading import Tell, ping_when_loaded
from agewell.shared.redis.packing import PACKER
from agewell.shared.settings import Settings
from agewell.shared.text.urls import SENTINELS_SEPARATOR, scrubbed, without_password

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 5.0
"""redis-py's default. A process has several connections, and each half-open one costs this."""

HEALTH_CHECK_INTERVAL_S = 5
"""A connection that was idle for longer is pinged before it is used."""

RECONNECT_EVERY_S = 0.3
"""How often Celery's programs try to reach a Redis that is away. Celery's own pauses of 2, 4, 6 ...
seconds would let jobs wait for a Redis that has long been back."""

SENTINEL_SCHEME = "sentinel://"
SENTINEL_PORT = 26_379
RETRIES = 2
REDIS_ERRORS = (redis.RedisError, OSError)
_PASSING = (
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.TryAgainError,
)

_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
KEEPALIVE_OPTIONS = {
    getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)
}
"""The kernel probes a silent peer three times, so it notices a vanished one in 30 seconds."""


def url_of(settings: Settings) -> str:
    """Return the Redis URL, with its password.

    Raises:
        BrokerUnreachableError: the settings have none. `locate` fills it in.
    """
    if settings.redis_url is None:
        raise BrokerUnreachableError("-", "AGEWELL_REDIS_URL is not set")
    return settings.redis_url.get_secret_value()


def connect(settings: Settings) -> redis.Redis:
    """Return a client with a pool of connections. It sends nothing yet.

    Args:
        settings: completed by `locate`.
    """
    url = url_of(settings)
    options = _options(url) | {"retry": Retry(_BACKOFF, RETRIES), "command_packer": PACKER}
    if not url.startswith(SENTINEL_SCHEME):
        return redis.Redis.from_url(url, **options)
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        _sentinels(url), sentinel_kwargs=_SENTINEL_OPTIONS, **_login(url), **options
    )
    client: redis.Redis = sentinels.master_for(settings.sentinel_master)  # type: ignore[no-untyped-call]
    return client


def connect_async(settings: Settings) -> redis.asyncio.Redis:
    """Return a client for asyncio with a pool of connections. It sends nothing yet.

    Args:
        settings: completed by `locate`.
    """
    url = url_of(settings)
    options = _options(url) | {"retry": AsyncRetry(_BACKOFF, RETRIES)}
    if not url.startswith(SENTINEL_SCHEME):
        return redis.asyncio.Redis.from_url(url, **options)
    sentinels = AsyncSentinel(  # type: ignore[no-untyped-call]
        _sentinels(url), sentinel_kwargs=_SENTINEL_OPTIONS, **_login(url), **options
    )
    client: redis.asyncio.Redis = sentinels.master_for(settings.sentinel_master)
    return client


_BACKOFF = ExponentialBackoff(cap=0.5, base=0.05)
_SENTINEL_OPTIONS = {
    "socket_connect_timeout": CONNECT_TIMEOUT_S,
    "socket_timeout": CONNECT_TIMEOUT_S,
}


def _options(url: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": ANSWER_TIMEOUT_S,
        "health_check_interval": HEALTH_CHECK_INTERVAL_S,
        "client_name": "agewell",
    }
    if not url.startswith("unix://"):
        options |= {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE_OPTIONS}
    return options


def _sentinels(url: str) -> list[tuple[str, int]]:
    """Return the hosts and ports of the Sentinels. Each new connection asks them for the master."""
    parts = [urlsplit(part) for part in url.split(SENTINELS_SEPARATOR)]
    return [(part.hostname or "localhost", part.port or SENTINEL_PORT) for part in parts]


def _login(url: str) -> dict[str, Any]:
    """Return the master's user, password and database: those of the first URL, as in kombu."""
    first = urlsplit(url.split(SENTINELS_SEPARATOR)[0])
    return {
        "username": unquote(first.username) if first.username else None,
        "password": unquote(first.password) if first.password else None,
        "db": int(first.path.strip("/") or 0),
    }


def unreachable(settings: Settings, error: BaseException) -> PassingError:
    """Translate an error of redis-py, or of kombu with such a cause, into one of agewell."""
    url = url_of(settings)
    shown = without_password(url)
    cause = error.__cause__ if isinstance(error.__cause__, redis.RedisError) else error
    if is_full(cause):
        return BrokerFullError(shown, "its maxmemory is reached; raise it, or wait until jobs end")
    if _cannot_save(cause):
        return BrokerFullError(shown, f"it cannot write to its disk; make room there ({cause})")
    return BrokerUnreachableError(shown, scrubbed(str(cause), url))


def require_redis(settings: Settings, client: redis.Redis, tell: Tell = log.warning) -> None:
    """Check that Redis answers. If it is loading its data, wait until it has done so.

    Args:
        settings: completed by `locate`.
        client: the connection to check.
        tell: called every few seconds with a line about the progress of loading.

    Raises:
        BrokerUnreachableError: Redis does not answer within seconds.
        BrokerFullError: it answers, and cannot write to its disk.
    """
    try:
        ping_when_loaded(client, tell)
    except REDIS_ERRORS as error:
        raise unreachable(settings, error) from error


def is_full(error: BaseException) -> bool:
    """Return True if Redis refused a command because it is full. Scripts report that as text."""
    return isinstance(error, redis.exceptions.OutOfMemoryError) or "OOM command" in str(error)


def _cannot_save(error: BaseException) -> bool:
    """Return True if Redis refuses writes, and PING, because its disk is full or broken."""
    return "MISCONF " in str(error)


def is_passing(error: redis.RedisError) -> bool:
    """Return True if the command may succeed later: Redis is full, or is a replica for now."""
    return (
        isinstance(error, _PASSING)
        or is_full(error)
        or _cannot_save(error)
        or str(error).startswith("READONLY")
    )


def is_loading(error: BaseException) -> bool:
    """Return True if Redis answers, but still loads its data after a start."""
    each: BaseException | None = error
    while each is not None and not isinstance(each, redis.exceptions.BusyLoadingError):
        each = each.__cause__
    return each is not None
