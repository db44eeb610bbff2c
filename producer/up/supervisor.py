"""Runs child processes: starts them, restarts dead ones, and drains them at the end."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from agewell.producer.up.child_log import DEFAULT_ROTATION, ChildLog, Pump, Rotation
from agewell.producer.up.child_process import start_child

POLL_S = 0.1
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.5, 30.0
STEADY_S = 2.0
"""If a child was ready for this long, the delay before its next restart is short again."""

QUIT_GRACE_S = 5.0

Report = Callable[[str, str], None]
"""Called with the name of a child and an event, such as "ready"."""


@dataclass(frozen=True)
class Program:
    """A program to run as a child.

    Attributes:
        name: the name in logs and reports.
        command: the command line.
        env: variables beside the environment of this process.
        ready_url: a URL that answers when the program is ready. None: it notifies NOTIFY_SOCKET.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    ready_url: str | None = None


class Child:
    """The process of one program. It is replaced after each restart."""

    def __init__(
        self, program: Program, logs: Path, sockets: Path, rotation: Rotation = DEFAULT_ROTATION
    ) -> None:
        self.program = program
        self.log = logs / f"{program.name.replace(' ', '-')}.log"
        self._log = ChildLog(self.log, rotation)
        self._pump: Pump | None = None
        self._socket = sockets / f"{program.name}.sock"
        self._notify: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._backoff_s = BACKOFF_MIN_S
        self._ready_at = 0.0
        self._due_at = 0.0
        self.ready = False

    def start(self) -> None:
        """Start the process. Its output is appended to the log."""
        self.ready = False
        self._listen()
        env = {**os.environ, **self.program.env, "NOTIFY_SOCKET": str(self._socket)}
        self._pump = Pump(self._log)
        self._process = start_child(
            self.program.command,
            log=self._pump.write_end,
            env=env,
            also_open=(self._pump.read_end,),
        )
        self._pump.begin()

    def tend(self, report: Report) -> None:
        """Check if the process is ready or dead, and restart it when the delay is over."""
        if self._process is None:
            if time.monotonic() >= self._due_at:
                self.start()
            return
        status = self._process.poll()
        if status is not None:
            self._plan_restart(status, report)
        elif not self.ready and self._is_ready():
            self.ready = True
            self._ready_at = time.monotonic()
            report(self.program.name, f"ready (process {self._process.pid})")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill_group(self) -> None:
        """Kill the child and all processes that it started."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            self._process.wait()

    @property
    def alive(self) -> bool:
        """True while the child runs."""
        return self._process is not None and self._process.poll() is None

    def _plan_restart(self, status: int, report: Report) -> None:
        self.kill_group()  # pool processes left behind must not take jobs beside the new ones
        self._process = None
        if self._pump is not None:
            self._pump.finish()
        if self.ready and time.monotonic() - self._ready_at > STEADY_S:
            self._backoff_s = BACKOFF_MIN_S
        self._due_at = time.monotonic() + self._backoff_s
        report(
            self.program.name,
            f"{_describe(status)}; starts again in {self._backoff_s:g} s; see {self.log}",
        )
        self._backoff_s = min(2 * self._backoff_s, BACKOFF_MAX_S)

    def _listen(self) -> None:
        if self._notify is not None:
            self._notify.close()
        self._socket.unlink(missing_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(self._socket))
        self._notify.setblocking(False)

    def _is_ready(self) -> bool:
        if self.program.ready_url is not None:
            return _answers(self.program.ready_url)
        try:
            return self._notify is not None and b"READY=1" in self._notify.recv(256)
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Write the rest of the log, and close the notification socket."""
        if self._pump is not None:
            self._pump.finish()
        self._log.close()
        if self._notify is not None:
            self._notify.close()
            self._socket.unlink(missing_ok=True)


class Supervisor:
    """Runs programs until SIGINT or SIGTERM. Use it as a context manager."""

    def __init__(
        self,
        programs: Sequence[Program],
        logs: Path,
        sockets: Path,
        report: Report,
        rotation: Rotation = DEFAULT_ROTATION,
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._children = [Child(program, logs, sockets, rotation) for program in programs]
        self._report = report
        self._stops = 0

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        for child in self._children:
            child.start()
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.kill_group()
            child.close()

    def _on_signal(self, *_: object) -> None:
        self._stops += 1

    @property
    def stopping(self) -> bool:
        """True after SIGINT or SIGTERM."""
        return self._stops > 0

    def run(self, each_turn: Callable[[], None], on_ready: Callable[[], None]) -> None:
        """Watch the children until the first SIGINT or SIGTERM.

        Args:
            each_turn: called about ten times a second.
            on_ready: called once, when all children are ready.
        """
        announced = False
        while not self._stops:
            each_turn()
            for child in self._children:
                child.tend(self._report)
            if not announced and all(child.ready for child in self._children):
                announced = True
                on_ready()
            time.sleep(POLL_S)

    def drain(self, timeout_s: float) -> None:
        """Let running jobs end. Jobs that still run after the time-out return to their queue.

        Celery finishes running jobs on SIGTERM, and requeues them on SIGQUIT. A second Ctrl-C ends
        the wait early.
        """
        for child in self._children:
            child.signal(signal.SIGTERM)
        stops = self._stops
        self._wait(timeout_s, until=lambda: self._stops > stops)
        for child in self._children:
            if child.alive:
                self._report(child.program.name, "still busy: its jobs return to the queue")
                child.signal(signal.SIGQUIT)
        self._wait(QUIT_GRACE_S, until=lambda: False)

    def _wait(self, timeout_s: float, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not until():
            if not any(child.alive for child in self._children):
                return
            time.sleep(POLL_S)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=0.5):  # noqa: S310  the URL is our own
            return True
    except urllib.error.HTTPError:
        return True  # also if it asks for a password
    except OSError:
        return False


def _describe(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def celery(*args: str) -> list[str]:
    """Make the command line of a Celery program in the Python environment of this process."""
    return [sys.executable, "-m", "agewell.producer.up.celery_program", *args]
