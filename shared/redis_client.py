"""Connections to Redis: time-outs that end in seconds, and errors that say what to do."""

import socket
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from shared.errors import BrokerFullError, BrokerUnreachableError, PassingError
from shared.settings import Settings

CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 10.0
HEALTH_CHECK_INTERVAL_S = 5
"""A connection that was idle for so long is asked for a sign of life before it is used."""

SENTINEL_SCHEME = "sentinel://"
SENTINELS_SEPARATOR = ";"
SENTINEL_PORT = 26_379
REDIS_ERRORS = (redis.RedisError, OSError)

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


def without_password(url: str) -> str:
    """A URL, or several sentinels' URLs, that may be shown: user and password are left out."""
    each = [urlsplit(part) for part in url.split(SENTINELS_SEPARATOR)]
    shown = [p._replace(netloc=p.netloc.rpartition("@")[2]) for p in each]
    return SENTINELS_SEPARATOR.join(urlunsplit(p) for p in shown)


def connect(settings: Settings) -> redis.Redis:
    """A client with a pool of connections; nothing is sent yet."""
    url = url_of(settings)
    options: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": ANSWER_TIMEOUT_S,
        "health_check_interval": HEALTH_CHECK_INTERVAL_S,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=2),
        "client_name": "agewell",
    }
    if not url.startswith("unix://"):
        options |= {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE_OPTIONS}
    if url.startswith(SENTINEL_SCHEME):
        return _through_sentinels(url, settings.sentinel_master, options)
    return redis.Redis.from_url(url, **options)


def _through_sentinels(url: str, master: str, options: dict[str, Any]) -> redis.Redis:
    """A client of whichever Redis the sentinels call the master, asked at each new connection.

    The first URL's user, password and database are the master's, as kombu and Celery have it.
    """
    parts = [urlsplit(part) for part in url.split(SENTINELS_SEPARATOR)]
    first = parts[0]
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        [(part.hostname or "localhost", part.port or SENTINEL_PORT) for part in parts],
        sentinel_kwargs={
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_timeout": CONNECT_TIMEOUT_S,
        },
        username=unquote(first.username) if first.username else None,
        password=unquote(first.password) if first.password else None,
        db=int(first.path.strip("/") or 0),
        **options,
    )
    client: redis.Redis = sentinels.master_for(master)  # type: ignore[no-untyped-call]
    return client


def unreachable(settings: Settings, error: BaseException) -> PassingError:
    """The error of ours for one of redis-py's, or for one of kombu's that has such a cause."""
    url = without_password(url_of(settings))
    cause = error.__cause__ if isinstance(error.__cause__, redis.RedisError) else error
    if "OOM command not allowed" in str(cause):
        return BrokerFullError(url, "its maxmemory is reached")
    return BrokerUnreachableError(url, str(cause))


def require_redis(settings: Settings, client: redis.Redis) -> None:
    """See that Redis answers.

    Raises:
        BrokerUnreachableError: it does not, within seconds.
    """
    try:
        client.ping()
    except REDIS_ERRORS as error:
        raise unreachable(settings, error) from error
