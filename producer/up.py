"""`agewell up`: the whole stack on one machine, in the foreground."""

import ipaddress
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from producer.infer_workers import infer_programs
from producer.supervisor import Program, Report, Supervisor, celery
from shared.embedded_redis import EmbeddedRedis, embedded_redis
from shared.errors import SettingsError
from shared.names import Queue
from shared.redis_client import connect, require_redis, url_of, without_password
from shared.settings import PREFIX, Settings
from shared.state_dir import Running, StateDir


@dataclass(frozen=True)
class Stack:
    """What runs: its settings, completed, and the embedded Redis where there is one."""

    settings: Settings
    state: StateDir
    redis: EmbeddedRedis | None


@contextmanager
def _stack(settings: Settings, report: Report) -> Iterator[Stack]:
    """Hold the state directory, and have a Redis."""
    state = StateDir(settings.state_dir)
    with state.locked():
        if settings.redis_url is not None:
            completed = settings.model_copy(update={"blob_url": settings.blob_url or "redis"})
            require_redis(completed, connect(completed))
            report("redis", f"ready (at {without_password(url_of(completed))})")
            yield Stack(completed, state, None)
            return
        with embedded_redis(state.redis) as server:
            report("redis", f"ready (process {server.process.pid}, data in {state.redis})")
            found = {
                "redis_url": SecretStr(server.url),
                # Pixels in files: Redis then holds jobs only, and its memory stays small.
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
        settings: as read from the environment.
        report: told what happens to each part.
        on_ready: called once, when all parts are.
        gpus: the GPUs to start an infer worker for; none: one worker, on what it finds.

    Raises:
        SettingsError: the state directory or Flower's port is in use, or it needs a password.
        BrokerUnreachableError: the Redis that is set does not answer.
        BackendError: the embedded Redis does not start.
    """
    settings.flower_login()
    with _stack(settings, report) as stack, tempfile.TemporaryDirectory() as sockets:
        port = _free_port(settings.flower_host, settings.flower_port)
        flower_url = _flower_url(settings, port)
        running = Running(
            pid=os.getpid(),
            redis_url=url_of(stack.settings),
            blob_url=stack.settings.blob_url or "redis",
            flower_url=flower_url,
        )
        env = _environment(stack.settings)
        programs = _programs(stack.settings, stack.state, env, port, flower_url)
        programs += infer_programs(stack.settings, gpus, env, report)
        supervisor = Supervisor(programs, stack.state.logs, Path(sockets), report)
        with stack.state.announced(running), supervisor:
            supervisor.run(
                each_turn=lambda: _tend_redis(stack.redis, report),
                on_ready=lambda: on_ready(running),
            )
            report("agewell", "draining: running jobs may end, the rest stays queued")
            supervisor.drain(settings.drain_s)


def _tend_redis(server: EmbeddedRedis | None, report: Report) -> None:
    if server is not None and server.restart_if_dead():
        report("redis", f"had ended; started again (process {server.process.pid}), data kept")


def _environment(settings: Settings) -> dict[str, str]:
    """What every child is told beside this process's own environment."""
    return {
        f"{PREFIX}REDIS_URL": url_of(settings),
        f"{PREFIX}BLOB_URL": settings.blob_url or "redis",
        f"{PREFIX}STATE_DIR": str(settings.state_dir),
        "PYTHONUNBUFFERED": "1",
    }


def _programs(
    settings: Settings, state: StateDir, env: dict[str, str], flower_port: int, flower_url: str
) -> list[Program]:
    level = f"--loglevel={settings.log_level}"
    host = socket.gethostname()
    cv = celery(
        *("-A", "workers.app", "worker", "-Q", Queue.CV.value, "-n", f"cv@{host}", level),
        # Flower asks for events only every five seconds, and would miss the first jobs.
        *(f"--pool={settings.pool}", f"--concurrency={settings.concurrency}", "--task-events"),
    )
    upkeep = celery(
        *("-A", "workers.upkeep", "worker", "-Q", Queue.UPKEEP.value, "-n", f"upkeep@{host}"),
        # Its tasks come every few seconds and say themselves what is worth a line.
        *("--pool=threads", "--concurrency=1", "--loglevel=WARNING"),
    )
    schedule = state.path / "beat-schedule"
    beat = celery("-A", "workers.upkeep", "beat", level, "--pidfile=", f"--schedule={schedule}")
    flower = [sys.executable, "-m", "workers.dashboard"]
    flower_env = {f"{PREFIX}FLOWER_PORT": str(flower_port)}
    return [
        Program("cv worker", cv, env),
        Program("upkeep worker", upkeep, env),
        Program("beat", beat, env),
        Program("flower", flower, env | flower_env, ready_url=f"{flower_url}/healthcheck"),
    ]


def _flower_url(settings: Settings, port: int) -> str:
    """Where a browser on this machine finds Flower, whatever address it listens on."""
    host = settings.flower_host
    try:
        address = ipaddress.ip_address(host)
        host = "localhost" if address.is_unspecified else f"[{host}]" if ":" in host else host
    except ValueError:
        host = host or "localhost"
    prefix = settings.flower_url_prefix.strip("/")
    return f"http://{host}:{port}" + (f"/{prefix}" if prefix else "")


def _free_port(host: str, port: int) -> int:
    """The port to listen on; asked for now, so that a taken one is an error and not a loop."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = f"{host}:{port} cannot be used: {error.strerror}; choose another, or 0 for any"
            raise SettingsError(f"{PREFIX}FLOWER_PORT", reason) from error
        chosen: int = probe.getsockname()[1]
        return chosen
