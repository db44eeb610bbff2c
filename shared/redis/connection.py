"""Connections to Redis: time-outs that end in seconds, and errors that say what to do."""

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
"""redis-py's own. A process has several connections; half-open, each of them takes so long."""

HEALTH_CHECK_INTERVAL_S = 5
"""A connection that was idle for so long is asked for a sign of life before it is used."""

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
"""The kernel asks a silent peer three times: one that vanished is noticed in half a minute."""


def url_of(settings: Settings) -> str:
    """The Redis URL of settings that `locate` has completed, with its password."""
    if settings.redis_url is None:
        raise BrokerUnreachableError("-", "AGEWELL_REDIS_URL is not set")
    return settings.redis_url.get_secret_value()


def connect(settings: Settings) -> redis.Redis:
    """A client with a pool of connections; nothing is sent yet."""
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
    """The same for a program that runs in asyncio."""
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
    """Where the sentinels listen, which are asked for the master at each new connection."""
    parts = [urlsplit(part) for part in url.split(SENTINELS_SEPARATOR)]
    return [(part.hostname or "localhost", part.port or SENTINEL_PORT) for part in parts]


def _login(url: str) -> dict[str, Any]:
    """The first URL's user, password and database: the master's, as kombu and Celery have it."""
    first = urlsplit(url.split(SENTINELS_SEPARATOR)[0])
    return {
        "username": unquote(first.username) if first.username else None,
        "password": unquote(first.password) if first.password else None,
        "db": int(first.path.strip("/") or 0),
    }


def unreachable(settings: Settings, error: BaseException) -> PassingError:
    """The error of ours for one of redis-py's, or for one of kombu's that has such a cause."""
    url = url_of(settings)
    shown = without_password(url)
    cause = error.__cause__ if isinstance(error.__cause__, redis.RedisError) else error
    if is_full(cause):
        return BrokerFullError(shown, "its maxmemory is reached")
    return BrokerUnreachableError(shown, scrubbed(str(cause), url))


def require_redis(settings: Settings, client: redis.Redis, tell: Tell = log.warning) -> None:
    """See that Redis answers; wait as long as it loads its data.

    Args:
        settings: completed by `locate`.
        client: asks Redis.
        tell: called every few seconds of a wait, with how far Redis is.

    Raises:
        BrokerUnreachableError: it does not, within seconds.
    """
    try:
        ping_when_loaded(client, tell)
    except REDIS_ERRORS as error:
        raise unreachable(settings, error) from error


def is_full(error: BaseException) -> bool:
    """True if Redis refused a command because it is full. Scripts report that as text."""
    return isinstance(error, redis.exceptions.OutOfMemoryError) or "OOM command" in str(error)


def is_passing(error: redis.RedisError) -> bool:
    """True if the same command may succeed later: Redis is full, or a replica for now."""
    return (
        isinstance(error, _PASSING)
        or is_full(error)
        or str(error).startswith(("READONLY", "MISCONF"))
    )


def is_loading(error: BaseException) -> bool:
    """True if Redis answers, but still loads its data after a start."""
    each: BaseException | None = error
    while each is not None and not isinstance(each, redis.exceptions.BusyLoadingError):
        each = each.__cause__
    return each is not None
