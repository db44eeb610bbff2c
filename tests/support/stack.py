"""`agewell up` as a user starts it: the installed command, in a state directory of its own."""

import json
import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import celery
import psutil
import redis

from agewell.producer.testing import (
    CALL_TIMEOUT_S,
    READY_TIMEOUT_S,
    STOP_TIMEOUT_S,
    RunningStack,
    environment,
    state_directory,
)
from agewell.producer.up.given_settings import variables
from tests.support.commands import can_fork, run_forked

__all__ = ["READY_TIMEOUT_S", "STOP_TIMEOUT_S", "environment", "state_directory"]

COMMAND = Path(sys.executable).parent / "agewell"
AWAY = (redis.ConnectionError, redis.exceptions.BusyLoadingError)

Found = TypeVar("Found")


def until(look: Callable[[], Found], timeout_s: float, what: Callable[[], object]) -> Found:
    """Ask again and again until the answer is a true value, and return that."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what()}"
        time.sleep(0.05)
    return found


def agewell(
    *args: object,
    env: Mapping[str, str],
    timeout_s: float = CALL_TIMEOUT_S,
    installed: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end. It must never show a traceback.

    Args:
        args: the command and its arguments.
        env: its whole environment.
        timeout_s: kill it if it has not ended by then.
        installed: True to start the installed command, which imports everything first.
    """
    words = [*map(str, args)]
    run = run_forked if can_fork(words, env) and not installed else _run_installed
    done = run(words, env, timeout_s)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def _run_installed(
    words: Sequence[str], env: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(COMMAND), *words],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def _value(raw: bytes) -> float | str:
    try:
        return float(raw)
    except ValueError:
        return raw.decode(errors="replace")  # the inputs are packed


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def command_of(process: psutil.Process) -> str:
    """A process's command line, empty for one that has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


class Stack(RunningStack):
    """A running `agewell up`, and every way to ask it something."""

    command = (str(COMMAND),)

    def wait_said(self, text: str, times: int = 1, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until `agewell up` has written something so many times."""

        def written() -> bool:
            assert self.process.poll() is None, self.log
            return self.log.count(text) >= times

        until(written, timeout_s, lambda: f"{times} times {text!r} in\n{self.log}")

    def run(self, *args: object, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run a command beside the stack. It must never show a traceback."""
        return agewell(*args, env=self.env | variables(settings))

    def ok(self, *args: object, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run a command that must succeed."""
        done = self.run(*args, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def documents(self, *args: object) -> list[dict[str, Any]]:
        """Run a command with --json. Returns its documents, whatever its exit status."""
        return [json.loads(line) for line in self.run(*args, "--json").stdout.splitlines()]

    def enqueue(self, *args: object) -> list[str]:
        """Enqueue without waiting. Returns the ids of the jobs."""
        return [each["id"] for each in self.documents("enqueue", *args)]

    def jobs(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The records of jobs, read from Redis. `agewell status` takes longer to start."""
        pipe = self.redis.pipeline()
        for each in ids:
            pipe.hgetall(f"agewell:job:{each}")
        return [
            {"started_at": None, "id": each} | {k.decode(): _value(v) for k, v in record.items()}
            for each, record in zip(ids, pipe.execute(), strict=True)
        ]

    def states(self, ids: Iterable[str]) -> list[str | None]:
        """The states of jobs, in one round trip. Empty while Redis is away."""
        pipe = self.redis.pipeline()
        for each in ids:
            pipe.hget(f"agewell:job:{each}", "state")
        try:
            return [state and state.decode() for state in pipe.execute()]
        except AWAY:
            return []

    def waiting(self, queue: str = "cv") -> list[int]:
        """How many jobs wait on each level at present, by the scores in Redis."""
        pipe = self.redis.pipeline()
        pipe.time()
        pipe.zrange(f"agewell:order:{queue}", 0, -1, withscores=True)
        (seconds, microseconds), places = pipe.execute()
        now, k = seconds + microseconds / 1e6, float(self.env.get("AGEWELL_AGING_K", 0.05))
        levels = Counter(max(0, math.ceil(k * (score - now))) for _, score in places)
        return [levels[level] for level in range(10)]

    def wait_ended(self, ids: Sequence[str], timeout_s: float = 60.0) -> list[dict[str, Any]]:
        """Wait until every job has ended. Returns their records."""

        def all_ended() -> bool:
            states = self.states(ids)
            return bool(states) and set(states) <= {
                "done",
                "failed",
                "cancelled",
                "expired",
                "dead",
            }

        until(all_ended, timeout_s, lambda: f"{len(ids)} jobs end: {self.states(ids)}")
        return self.jobs(ids)

    def wait_running(self, job_id: str, timeout_s: float = 60.0) -> None:
        """Wait until a job runs."""
        until(lambda: self.states([job_id]) == ["running"], timeout_s, lambda: f"{job_id} runs")

    @cached_property
    def redis(self) -> redis.Redis:
        """A client of the embedded Redis."""
        return redis.Redis.from_url(self.running.redis_url)

    @cached_property
    def celery(self) -> celery.Celery:
        """A Celery app as a program of somebody else's would make it."""
        path = self.redis.connection_pool.connection_kwargs.get("path")
        url = f"redis+socket://{path}" if path else self.running.redis_url
        return celery.Celery("somebody-else", broker=url, backend=url, set_as_current=False)

    @property
    def worker(self) -> psutil.Process:
        """The cv worker's parent process. Waits while it is being restarted."""

        def find() -> list[psutil.Process]:
            children = psutil.Process(self.process.pid).children()
            return [each for each in children if "-Q cv" in command_of(each)]

        return until(find, READY_TIMEOUT_S, lambda: self.log)[0]

    @property
    def pool(self) -> list[psutil.Process]:
        """The cv worker's processes that run jobs."""
        return [each for each in self.worker.children() if "spawn_main" in command_of(each)]

    @property
    def family(self) -> list[psutil.Process]:
        """Every process below `agewell up`."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End as Ctrl-C does: with status 0, and without leaving a process behind."""
        family = self.family
        super().stop(timeout_s)
        until(lambda: all(map(is_gone, family)), 10, lambda: f"nothing is left of {family}")
        assert "Traceback" not in self.log

    def end(self) -> None:
        """End whatever is left, however a test went."""
        if self.process.poll() is None:
            family = self.family
            super().end()
            for each in family:
                if not is_gone(each):
                    each.kill()


@contextmanager
def started(state_dir: Path, **settings: object) -> Iterator[Stack]:
    """Start a stack, and wait until it is ready. Nothing of it is left afterwards."""
    stack = Stack(state_dir, **settings)
    try:
        yield stack.wait_ready()
    finally:
        stack.end()
        stack.forget()
