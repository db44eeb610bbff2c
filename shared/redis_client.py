"""Connections to Redis: time-outs that end in seconds, and errors that say what to do."""

from urllib.parse import urlsplit, urlunsplit

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from shared.errors import BrokerUnreachableError
from shared.settings import Settings

CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 30.0
REDIS_ERRORS = (redis.RedisError, OSError)


def url_of(settings: Settings) -> str:
    """The Redis URL of settings that `locate` has completed, with its password."""
    if settings.redis_url is None:
        raise BrokerUnreachableError("-", "AGEWELL_REDIS_URL is not set")
    return settings.redis_url.get_secret_value()


def without_password(url: str) -> str:
    """A URL that may be shown: user and password are left out."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def connect(settings: Settings) -> redis.Redis:
    """A client with a pool of connections; nothing is sent yet."""
    return redis.Redis.from_url(
        url_of(settings),
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=ANSWER_TIMEOUT_S,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=2),
        client_name="agewell",
    )


def unreachable(settings: Settings, error: Exception) -> BrokerUnreachableError:
    """The error of ours for one of redis-py's."""
    return BrokerUnreachableError(without_password(url_of(settings)), str(error))


def require_redis(settings: Settings, client: redis.Redis) -> None:
    """See that Redis answers.

    Raises:
        BrokerUnreachableError: it does not, within seconds.
    """
    try:
        client.ping()
    except REDIS_ERRORS as error:
        raise unreachable(settings, error) from error
