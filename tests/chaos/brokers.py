"""The Redis of a scene: one behind a proxy, or a pair that sentinels watch."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from pydantic import SecretStr

from agewell.shared.redis.connection import connect
from agewell.shared.settings import Settings
from tests.chaos.proxy import FaultProxy, fault_proxy
from tests.chaos.redis_process import RedisProcess
from tests.chaos.sentinels import watched_pair

APPEND_ONLY = ("appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction")


@dataclass(frozen=True)
class Broker:
    """The Redis of a scene, and the ways to it."""

    server: RedisProcess
    """The one that faults strike: the only one, or the first master."""
    proxy: FaultProxy
    """Before the only Redis. With sentinels, nothing uses it."""
    url: str
    """For the stack and the producer: through the proxy, or the sentinels."""
    client: Callable[[], redis.Redis]
    """For the onlooker."""


@contextmanager
def one_redis(folder: Path) -> Iterator[Broker]:
    """A server, and a proxy before it."""
    with ExitStack() as held:
        server = RedisProcess(folder / "redis", *APPEND_ONLY)
        held.callback(server.end)
        proxy = held.enter_context(fault_proxy(server.port))
        url = server.url.replace(f":{server.port}/", f":{proxy.port}/")
        yield Broker(server, proxy, url, server.client)


@contextmanager
def watched_redis(folder: Path) -> Iterator[Broker]:
    """A master and a replica, with three sentinels to tell which is which."""
    with ExitStack() as held, watched_pair(folder) as (master, url):
        proxy = held.enter_context(fault_proxy(master.port))
        settings = Settings(redis_url=SecretStr(url))
        yield Broker(master, proxy, url, lambda: connect(settings))
