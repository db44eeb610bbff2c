"""Faults of a stack. Each strikes a scene once, and returns when it is over.

Add one by writing its `strike` and entering it in `FAULTS`.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from tests.chaos.away import (
    empty_redis,
    kill_while_jobs_are_scheduled,
    leave_without_upkeep,
    unmount_store,
)
from tests.chaos.brokers import Broker, one_redis, watched_redis
from tests.chaos.clocks import outlast_the_visibility_timeout, set_clock
from tests.chaos.kills import (
    Strike,
    kill,
    kill_pool_process,
    kill_with_a_message_on_its_way,
    stop_worker,
    terminate,
    without_torch,
)
from tests.chaos.memory import fill_redis, run_out_of_memory, without_groups
from tests.chaos.scene import DIGITS, HSV, Scene, Work
from tests.chaos.sentinels import master_port
from tests.chaos.upkeep import kill_in_mid_admission, second_pair
from tests.support.stack import until

SILENCE_S = 3.0
AWAY_S = 1.0
FAIL_OVER_S = 60.0


@dataclass(frozen=True)
class Fault:
    """One fault, how often it strikes, and how many jobs stream by."""

    name: str
    strike: Strike
    work: Work = HSV
    jobs: int = 150
    times: int = 2
    long_jobs: int = 2_000
    long_times: int = 10
    settings: Mapping[str, object] = field(default_factory=dict)
    """Further settings of the stack, without AGEWELL_."""
    broker: Callable[[Path], AbstractContextManager[Broker]] = one_redis
    stores_files: bool = False
    """The images lie in a directory instead of in Redis."""
    spoils: bool = False
    """The scene is fit for no other fault afterwards."""
    slow: bool = False
    """Only in the long form."""
    unless: Callable[[], str] = str
    """Why it cannot happen on this machine. Empty if it can."""


def cut(scene: Scene) -> None:
    """Close every connection, and refuse new ones for a while."""
    scene.proxy.refusing = True
    scene.proxy.cut()
    time.sleep(AWAY_S)
    scene.proxy.refusing = False


def flap(scene: Scene) -> None:
    """Close every connection five times. New ones work at once."""
    for _ in range(5):
        scene.proxy.cut()
        time.sleep(0.2)


def delay(scene: Scene) -> None:
    """2 ms each way, from now on."""
    scene.proxy.delay_s = 0.002


def go_half_open(scene: Scene) -> None:
    """Hold every byte back, but end no connection. After a while new connections work."""
    scene.proxy.go_silent()
    time.sleep(SILENCE_S)
    scene.proxy.speak()


def kill_connections(scene: Scene) -> None:
    """CLIENT KILL of every connection, the onlooker's subscription among them."""
    for kind in ("normal", "pubsub"):
        scene.client.client_kill_filter(_type=kind, skipme=True)


def restart_redis(scene: Scene) -> None:
    """Redis is killed (kill -9) and starts again from its append-only file.

    While the disk is slow, a Redis with `appendfsync everysec` answers before it has written. What
    it has answered by then is promised to nobody (docs/security.md), so it writes first here.
    """
    scene.client.config_set("appendfsync", "always")
    scene.server.kill()
    time.sleep(AWAY_S)
    scene.server.restart()


def stop_redis(scene: Scene) -> None:
    """Redis does not answer for a while (SIGSTOP), and then answers all that it was asked."""
    scene.server.stop_answering()
    time.sleep(SILENCE_S)
    scene.server.answer_again()


def fail_over(scene: Scene) -> None:
    """Kill the master (kill -9). The sentinels make its replica the master."""
    scene.server.kill()

    def taken_over() -> bool:
        try:
            return master_port(scene.client) != scene.server.port
        except redis.RedisError:
            return False

    until(taken_over, FAIL_OVER_S, lambda: "the replica takes over")


FAULTS = (
    Fault("Redis: every connection cut, none taken for 1 s", cut),
    Fault("Redis: every connection cut five times in a second", flap),
    Fault("Redis: 2 ms away", delay, times=1),
    Fault("Redis: half-open connections", go_half_open, times=1),
    Fault("Redis: CLIENT KILL of every connection", kill_connections),
    Fault("Redis: kill -9, restart from its append-only file", restart_redis),
    Fault("Redis: silent for 3 s (SIGSTOP)", stop_redis),
    Fault(
        "Sentinel: kill -9 of the master, its replica takes over",
        fail_over,
        times=1,
        long_times=1,
        broker=watched_redis,
        spoils=True,
    ),
    Fault("Redis: full (maxmemory) for 3 s", fill_redis(3), times=1),
    Fault("Redis: full (maxmemory) for 30 s", fill_redis(30), times=1, long_times=2, slow=True),
    Fault("kill -9 of a process that runs a job", kill_pool_process),
    Fault(
        "out of memory: the kernel ends a process that runs a job",
        run_out_of_memory,
        times=1,
        unless=without_groups,
    ),
    Fault("kill -9 of the worker", kill("-Q cv"), long_jobs=20_000, long_times=100),
    Fault("kill -9 of the worker, a message on its way to it", kill_with_a_message_on_its_way),
    Fault("SIGTERM of the worker", terminate("-Q cv")),
    Fault("SIGSTOP of the worker beyond its heartbeat, SIGCONT", stop_worker, times=1),
    Fault(
        "kill -9 of the infer worker", kill("-Q infer", 2), DIGITS, times=1, unless=without_torch
    ),
    Fault(
        "SIGTERM of the infer worker, in mid-batch",
        terminate("-Q infer", 2),
        DIGITS,
        times=1,
        unless=without_torch,
    ),
    Fault(
        "kill -9 of the upkeep worker, in mid-admission",
        kill_in_mid_admission("-Q upkeep"),
        times=1,
        unless=without_torch,
    ),
    Fault(
        "kill -9 of beat, in mid-admission",
        kill_in_mid_admission("beat"),
        times=1,
        unless=without_torch,
    ),
    Fault(
        "kill -9 of the worker, 40 jobs scheduled",
        kill_while_jobs_are_scheduled,
        times=1,
    ),
    Fault("upkeep and beat away for 4 s (SIGSTOP)", leave_without_upkeep(4), times=1),
    Fault(
        "upkeep and beat away for 60 s (SIGSTOP)",
        leave_without_upkeep(60),
        long_times=2,
        slow=True,
    ),
    Fault("Redis: FLUSHALL", empty_redis, times=1),
    Fault("two beats, and two upkeeps of one name", second_pair, times=1),
    Fault("a producer's clock, set 30 s forward", set_clock(30), times=1),
    Fault("a producer's clock, set 30 s back", set_clock(-30), times=1),
    Fault(
        "a job that takes longer than the visibility timeout",
        outlast_the_visibility_timeout,
        times=1,
        long_jobs=12_000,
        long_times=3,
        slow=True,
    ),
    Fault("blob store away for 3 s", unmount_store(3), times=1, stores_files=True),
    Fault(
        "blob store away for 60 s",
        unmount_store(60),
        long_times=2,
        stores_files=True,
        slow=True,
    ),
)
