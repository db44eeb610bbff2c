"""The programs that benchmarks run: workers, upkeep and beat."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from agewell.producer.up.supervisor import Child, Program, celery

QUIET = "--loglevel=ERROR"


@contextmanager
def running(
    name: str, command: list[str], env: dict[str, str], folder: Path
) -> Iterator[psutil.Process]:
    """Run one program. It is ready when the block begins, and is killed at the end of the block.

    Raises:
        RuntimeError: the program ended before it was ready.
    """
    child = Child(Program(name, command, env), folder, folder)
    said: list[str] = []
    child.start()
    try:
        while not child.ready:
            child.tend(lambda _, what: said.append(what))
            if not child.alive:
                raise RuntimeError(f"{name}: {said}; {child.log.read_text()[-2000:]}")
            time.sleep(0.01)
        yield psutil.Process(int(re.findall(r"process (\d+)", said[-1])[0]))
    finally:
        child.kill_group()
        child.close()


def worker(app: str, name: str, concurrency: int, *options: str) -> list[str]:
    """Return the command of a Celery worker of the queue `cv`."""
    named = ("-n", f"{name}@{socket.gethostname()}", f"--concurrency={concurrency}")
    quiet = (QUIET, "--without-gossip", "--without-mingle")
    return celery("-A", app, "worker", "-Q", "cv", *named, *quiet, *options)


def upkeep() -> list[str]:
    """Return the command of the upkeep worker."""
    return celery(
        "-A",
        "agewell.workers.upkeep",
        "worker",
        "-Q",
        "upkeep",
        "--pool=threads",
        "--concurrency=1",
        QUIET,
    )


def beat(folder: Path) -> list[str]:
    """Return the command of Celery beat, which sends tasks to upkeep."""
    files = ("--pidfile=", f"--schedule={folder / 'schedule'}")
    return celery("-A", "agewell.workers.upkeep", "beat", *files, QUIET)


def processor_s(process: psutil.Process) -> float:
    """Return the processor time of a process so far, in seconds."""
    used = process.cpu_times()
    return float(used.user + used.system)
