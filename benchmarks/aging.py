"""What does aging cost Redis: idle, and while jobs climb; how much is a rescan of all that wait?

Times are Redis's own; how long its calls are is told by the processor's time too, from which what
other processes took in between is left out.
Contract: an idle sweep under 1 ms however many wait, 100,000 promotions/s, no call over 5 ms.
The rescan beside it is the naive way: read every message, weigh it, and sort all in a sorted set.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import redis
from workers.sweep import sweep

from benchmarks.aging_plot import write_plot
from benchmarks.report import OUTPUT, Spread, report
from benchmarks.waiting import NOW, POLICY, QUEUE, CallTimer, name_of, push, server, servers
from shared import keys
from shared.names import LEVELS

WAITING = (1_000, 10_000, 100_000, 1_000_000)
IDLE_SWEEPS = 50
ROUNDS = 10
CALLS = 10_000
LEVEL_S = 1 / POLICY.k_per_s
LIMIT_US = 5_000
SIZES = {"1 KB": (1_000, 50_000), "20 KB": (20_000, 10_000)}
"""Bytes of a message, and how many climb."""


def time_idle(client: redis.Redis, waiting: int, size_bytes: int) -> Spread:
    """Milliseconds of Redis for one sweep in which nothing has climbed."""
    client.flushall()
    for level in LEVELS:
        push(client, level, waiting // len(LEVELS), LEVEL_S - 1, size_bytes)
    times = []
    for _ in range(IDLE_SWEEPS):
        timer = CallTimer(client)
        assert sweep(timer, QUEUE, POLICY, NOW, since=NOW - 1).moved == 0
        times.append(1e3 * timer.total_s)
    return Spread(tuple(times))


def time_rescan(client: redis.Redis) -> float:
    """Milliseconds for reading, weighing and sorting all that wait, the client's work included."""
    started = time.perf_counter()
    for level in LEVELS:
        name = keys.waiting_list(QUEUE, level)
        for start in range(0, client.llen(name), 500):
            weights = {}
            for index, raw in enumerate(client.lrange(name, start, start + 499), start):
                message = json.loads(raw)
                waited_s = NOW - message["headers"]["enqueued_at"]
                weight = POLICY.log_weight(message["properties"]["priority"], waited_s)
                weights[f"{level}:{index}"] = -weight
            client.zadd("rescan", weights)
    return 1e3 * (time.perf_counter() - started)


def time_climbing(client: redis.Redis, size_bytes: int, jobs: int) -> tuple[CallTimer, int]:
    """The calls that move jobs, and how many they moved."""
    timer = CallTimer(client)
    moved = 0
    while len(timer.us) < CALLS:
        client.flushall()
        push(client, LEVELS[-1], jobs, LEVEL_S, size_bytes)
        for step in LEVELS[:-1]:  # each time all climb by one level
            now = NOW + 1 + step * LEVEL_S
            moved += sweep(timer, QUEUE, POLICY, now, since=now - 1).moved
    assert moved % (9 * jobs) == 0
    return timer, moved


def time_sweeps(
    client: redis.Redis, size_bytes: int, come: Callable[[redis.Redis, int, int], None]
) -> CallTimer:
    """The calls of some sweeps, each after jobs of a size have come to every level."""
    timer = CallTimer(client)
    for _ in range(ROUNDS):
        client.flushall()
        for level in LEVELS:
            come(client, level, size_bytes)
        sweep(timer, QUEUE, POLICY, NOW, since=NOW - 1)
    return timer


def retries_come(client: redis.Redis, level: int, size_bytes: int) -> None:
    """Hundreds come to a level, a third of them retries."""
    push(client, level, 500, LEVEL_S - 1, size_bytes)
    for number in range(100):
        push(client, level, 2, 0.5 - number * 1e-3, size_bytes)
        push(client, level, 1, LEVEL_S - 2 + number * 7 % 100, size_bytes, retries=1)


def jobs_come_back(client: redis.Redis, level: int, size_bytes: int) -> None:
    """Dozens come back to a level, with places in the midst of thousands."""
    push(client, level, 2_000, LEVEL_S - 5, size_bytes)
    push(client, level, 40, LEVEL_S - 5 - 1e-3, size_bytes, to_head=True, redelivered=True)


def calls_row(what: str, timer: CallTimer) -> dict[str, Any]:
    """How the times of calls are distributed, in milliseconds."""
    cuts, cpu = statistics.quantiles(timer.us, n=1000), timer.cpu_us
    over = f"over {LIMIT_US // 1000} ms"
    return {
        "what": what,
        "calls": len(timer.us),
        "p50 ms": cuts[499] / 1e3,
        "p99 ms": cuts[989] / 1e3,
        "longest ms": max(timer.us) / 1e3,
        over: sum(each > LIMIT_US for each in timer.us),
        "p50 ms of CPU": statistics.median(cpu) / 1e3,
        "longest ms of CPU": max(cpu) / 1e3,
        f"{over} of CPU": sum(each > LIMIT_US for each in cpu),
    }


def rows_of(
    client: redis.Redis, *, rescan: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What sweeps cost, and how long their calls are."""
    costs: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []

    def cost(what: str, figure: Spread | float, unit: str, contract: str) -> None:
        costs.append({"what": what, "figure": figure, "unit": unit, "contract": contract})

    for waiting in WAITING:
        cost(f"idle sweep, {waiting:,} waiting", time_idle(client, waiting, 1_000), "ms", "< 1")
        if rescan:
            cost(f"naive rescan, {waiting:,} waiting", time_rescan(client), "ms", "-")
    cost("idle sweep, 10,000 of 20 KB", time_idle(client, 10_000, 20_000), "ms", "< 1")
    for size, (size_bytes, jobs) in SIZES.items():
        timer, moved = time_climbing(client, size_bytes, jobs)
        cost(f"promotions, {size}", moved / timer.total_s, "per s", ">= 100,000")
        calls.append(calls_row(f"jobs climb, {size}", timer))
        for what, come in (("retries come", retries_come), ("jobs come back", jobs_come_back)):
            calls.append(calls_row(f"{what}, {size}", time_sweeps(client, size_bytes, come)))
    return costs, calls


def main() -> None:
    """On each server that can be had."""
    costs: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for number, binary in enumerate(servers()):
        with server(binary) as client:
            found = rows_of(client, rescan=number == 0)
            for rows, new in zip((costs, calls), found, strict=True):
                rows += [{"server": name_of(client)} | row for row in new]
    report("aging", "What aging costs Redis, by Redis's own clock", costs)
    report("aging-calls", "How long the calls of a sweep keep Redis", calls)
    write_plot(OUTPUT / "aging-cost.png", costs)


if __name__ == "__main__":
    main()
