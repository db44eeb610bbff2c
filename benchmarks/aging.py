"""What does aging cost Redis: idle, and while jobs climb; how much is a rescan of all that wait?

Times are Redis's own (INFO commandstats), so that another process on the machine weighs less.
Contract: an idle sweep under 1 ms however many wait, 100,000 promotions/s, no call over 5 ms.
The rescan beside it is the naive way: read every message, weigh it, and sort all in a sorted set.
"""

import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from benchmarks.report import Spread, report
from shared import keys
from shared.aging import AgingPolicy
from shared.embedded_redis import embedded_redis, find_server
from shared.names import LEVELS
from workers.sweep import LOOKS_A_SWEEP, sweep

QUEUE = "cv"
POLICY = AgingPolicy(0.05)
NOW = 1_700_000_000.0
WAITING = (1_000, 10_000, 100_000, 1_000_000)
CLIMBING = 50_000
RESCANNED = 100_000
ROUNDS = 5
SMALL, LARGE = 1_000, 20_000
SLOWLOG_KEPT = 10_000
SLOW_US = 200


def make_message(size_bytes: int) -> tuple[str, str, str]:
    """A message in three parts: between them stand its time and its level."""
    headers = {"lang": "py", "task": "cv.hsv", "id": "0" * 36, "shadow": None, "eta": None}
    headers |= {"expires": None, "group": None, "group_index": None, "retries": 0}
    headers |= {"root_id": "0" * 36, "parent_id": None, "argsrepr": "('x',)", "kwargsrepr": "{}"}
    head = json.dumps({"body": "B", "content-type": "application/json", "headers": headers})
    head = head[:-2] + ', "enqueued_at": '
    properties = {"correlation_id": "0" * 36, "reply_to": "0" * 36, "delivery_mode": 2}
    middle = '}, "properties": ' + json.dumps(properties)[:-1] + ', "priority": '
    end = ', "body_encoding": "base64", "delivery_tag": "' + "0" * 36 + '"}}'
    filler = "QUJD" * ((size_bytes - len(head + middle + end) - 18) // 4)
    return head.replace('"B"', f'"{filler}"'), middle, end


def fill(client: redis.Redis, size_bytes: int, waited_s: dict[int, float], count: int) -> None:
    """Have jobs wait on some levels, the oldest at each head, each a little after the other."""
    head, middle, end = make_message(size_bytes)
    client.flushall()
    for level, oldest_s in waited_s.items():
        for start in range(0, count // len(waited_s), 500):
            numbers = range(start, min(start + 500, count // len(waited_s)))
            times = (NOW - oldest_s + number * 1e-6 for number in numbers)
            client.lpush(
                keys.waiting_list(QUEUE, level),
                *(f"{head}{time!r}{middle}{level}{end}" for time in times),
            )


def script_times(client: redis.Redis, work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds of Redis in scripts, in all and in the longest call, and what the work returned."""
    # What a script calls is logged as well: log only what takes as long as a script does.
    client.config_set("slowlog-log-slower-than", SLOW_US)
    client.slowlog_reset()
    client.config_resetstat()
    returned = work()
    total_us = client.info("commandstats")["cmdstat_evalsha"]["usec"]
    slow = client.slowlog_get(SLOWLOG_KEPT)
    scripts = (each["duration"] for each in slow if each["command"].upper().startswith(b"EVALSHA"))
    slowest_us = max(scripts, default=SLOW_US)
    return total_us / 1e6, slowest_us / 1e6, returned


def time_idle(client: redis.Redis, waiting: int, size_bytes: int, since: float = NOW - 1) -> Spread:
    """Milliseconds of Redis for one sweep in which nothing has climbed."""
    fill(client, size_bytes, dict.fromkeys(LEVELS, 19.0), waiting)
    sweep(client, QUEUE, POLICY, NOW, since=since)
    times = []
    for _ in range(4 * ROUNDS):
        total_s, _, swept = script_times(
            client, lambda: sweep(client, QUEUE, POLICY, NOW, since=since)
        )
        assert swept.moved == 0
        times.append(1e3 * total_s)
    return Spread(tuple(times))


def time_climbing(client: redis.Redis, size_bytes: int) -> tuple[Spread, Spread]:
    """Promotions per second of Redis's time, and milliseconds of the longest call."""
    count = CLIMBING if size_bytes == SMALL else CLIMBING // 10
    rates, longest = [], []
    for _ in range(ROUNDS):
        fill(client, size_bytes, dict.fromkeys(LEVELS[1:], 21.0), count)
        total_s, longest_s, swept = script_times(
            client, lambda: sweep(client, QUEUE, POLICY, NOW, since=NOW - 1)
        )
        assert swept.moved == count // 9 * 9
        rates.append(swept.moved / total_s)
        longest.append(1e3 * longest_s)
    return Spread(tuple(rates)), Spread(tuple(longest))


def time_rescan(client: redis.Redis) -> Spread:
    """Seconds for reading, weighing and sorting all that wait."""
    fill(client, SMALL, dict.fromkeys(LEVELS, 19.0), RESCANNED)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        rescan(client)
        times.append(time.perf_counter() - started)
    return Spread(tuple(times))


def rescan(client: redis.Redis) -> None:
    """Weigh every job anew."""
    for level in LEVELS:
        name = keys.waiting_list(QUEUE, level)
        for start in range(0, client.llen(name), 500):
            weights = {}
            for index, raw in enumerate(client.lrange(name, start, start + 499), start):
                message = json.loads(raw)
                waited_s = NOW - message["headers"]["enqueued_at"]
                weight = POLICY.log_weight(message["properties"]["priority"], waited_s)
                weights[f"{level}:{index}"] = -weight if math.isfinite(weight) else 0.0
            client.zadd("rescan", weights)


@contextmanager
def server(binary: Path) -> Iterator[redis.Redis]:
    """A Redis of the benchmark's own that keeps nothing on disk."""
    with (
        tempfile.TemporaryDirectory(prefix="aw-") as folder,
        embedded_redis(Path(folder), binary) as running,
        redis.Redis.from_url(running.url) as client,
    ):
        client.config_set("appendonly", "no")
        client.config_set("slowlog-max-len", SLOWLOG_KEPT)
        yield client


def rows_of(client: redis.Redis) -> Iterator[dict[str, Any]]:
    """One row a question."""
    version = client.info("server")["redis_version"]

    def row(what: str, figure: Spread, unit: str, contract: str) -> dict[str, Any]:
        return {
            "redis": version,
            "what": what,
            "figure": figure,
            "unit": unit,
            "contract": contract,
        }

    for waiting in WAITING:
        yield row(
            f"idle sweep, {waiting:,} waiting", time_idle(client, waiting, SMALL), "ms", "< 1"
        )
    yield row("idle sweep, 10,000 of 20 KB", time_idle(client, 10_000, LARGE), "ms", "< 1")
    new = time_idle(client, 10_000, SMALL, since=0)
    yield row(f"sweep that looks at {LOOKS_A_SWEEP} new jobs", new, "ms", "<= 5")
    for size, name in ((SMALL, "1 KB"), (LARGE, "20 KB")):
        rate, longest = time_climbing(client, size)
        yield row(f"promotions, {name}", rate, "per s", ">= 100,000")
        yield row(f"longest call, {name}", longest, "ms", "<= 5")
    yield row(f"naive rescan, {RESCANNED:,} waiting", time_rescan(client), "s", "-")


def main() -> None:
    """With the embedded server, and with the machine's own where it has one."""
    rows: list[dict[str, Any]] = []
    installed = shutil.which("redis-server")
    for binary in [find_server(), *([Path(installed)] if installed else [])]:
        with server(binary) as client:
            rows += rows_of(client)
    report("aging", "What aging costs Redis, by Redis's own clock", rows)


if __name__ == "__main__":
    main()
