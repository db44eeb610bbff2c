"""A master, its replica, and the three sentinels that tell clients which is which."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from tests.chaos.redis_process import RedisProcess
from tests.support.stack import until

MASTER = "mymaster"
SENTINELS = 3
DOWN_AFTER_MS = 1_000
IN_PLACE_S = 30.0


@contextmanager
def watched_pair(folder: Path) -> Iterator[tuple[RedisProcess, str]]:
    """The first master, and the URL by which the sentinels lead to whoever is the master.

    A master that takes writes only while a replica follows it, at most a few seconds behind.
    """
    with ExitStack() as held:
        append_only = ("appendonly yes", "repl-diskless-sync-delay 0")
        master = RedisProcess(folder / "first", *append_only)
        held.callback(master.end)
        replica = RedisProcess(
            folder / "second",
            *append_only,
            f"replicaof 127.0.0.1 {master.port}",
            f"masterauth {master.password}",
            password=master.password,
        )
        held.callback(replica.end)
        lines = (
            f"sentinel monitor {MASTER} 127.0.0.1 {master.port} 2",
            f"sentinel auth-pass {MASTER} {master.password}",
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {MASTER} 10000",
        )
        sentinels = []
        for number in range(SENTINELS):
            each = RedisProcess(folder / f"sentinel-{number}", *lines, sentinel=True, password="")
            held.callback(each.end)
            sentinels.append(each)
        until(lambda: all(map(_in_place, sentinels)), IN_PLACE_S, lambda: "the sentinels agree")
        hosts = [f"127.0.0.1:{each.port}" for each in sentinels]
        hosts[0] = f":{master.password}@{hosts[0]}"
        yield master, ";".join(f"sentinel://{host}" for host in hosts)


def _in_place(sentinel: RedisProcess) -> bool:
    with sentinel.client() as client:
        state = client.sentinel_master(MASTER)
    return state["num-slaves"] == 1 and state["num-other-sentinels"] == SENTINELS - 1


def master_port(client: redis.Redis) -> int:
    """The port of the present master, as a client learns it from the sentinels."""
    client.connection_pool.reset()
    client.ping()
    port: int = client.connection_pool.master_address[1]
    return port
