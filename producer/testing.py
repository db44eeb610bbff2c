"""A running agewell for your own tests: Redis, workers, beat, Flower, and a client.

    from agewell.testing import running_stack

    with running_stack(concurrency=1) as stack:
        (image,) = stack.client.put("photo.jpg")
        job_id = stack.client.send(HsvJob(items=(HsvItem(image=image),)))
        assert stack.client.wait(job_id).state == "done"

It is `agewell up` in a directory of its own. It needs the extra `stack` and no network. A start
takes five to ten seconds, so let tests share one: a pytest fixture of scope `session` does that.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

from pydantic import SecretStr

from agewell.producer.client import Client
from agewell.producer.up.child_process import start_child
from agewell.shared.settings import Settings
from agewell.shared.state_dir import Running, StateDir

READY_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 120.0
LOOK_S = 0.05

AGEWELL = (sys.executable, "-P", "-m", "agewell.producer")
"""The command `agewell` of this very environment."""


class StackError(RuntimeError):
    """The stack did not start, or did not stop; the text has all that `agewell up` wrote."""


def environment(state_dir: Path, **settings: object) -> dict[str, str]:
    """This process's environment, with these settings of agewell and no others.

    Args:
        state_dir: the stack's directory.
        settings: as in `Settings`, such as ``concurrency=2``.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("AGEWELL_")}
    own = {"state_dir": state_dir, "flower_port": 0} | settings
    return inherited | {f"AGEWELL_{name.upper()}": str(value) for name, value in own.items()}


class RunningStack:
    """One `agewell up`. `running_stack` starts it, waits until it is ready, and stops it."""

    command: ClassVar[Sequence[str]] = AGEWELL

    def __init__(self, state_dir: Path, **settings: object) -> None:
        self.state_dir = state_dir
        self.env = environment(state_dir, **settings)
        """The environment with which `agewell` and Celery's commands find this stack."""
        # Outside of the state directory: a second life on the same one writes to another file.
        with tempfile.NamedTemporaryFile(prefix="aw-", suffix=".log", delete=False) as log:
            self._log = Path(log.name)
            self.process = start_child([*self.command, "up"], log=log.fileno(), env=self.env)

    @property
    def log(self) -> str:
        """Everything that `agewell up` has written so far."""
        return self._log.read_text()

    @property
    def running(self) -> Running:
        """The addresses of Redis, of the blob store, of Flower and of the metrics.

        Raises:
            StackError: the stack does not run.
        """
        found = StateDir(self.state_dir).running()
        if found is None:
            raise StackError(f"agewell up does not run:\n{self.log}")
        return found

    @property
    def settings(self) -> Settings:
        """Settings with which a program of yours finds this stack."""
        found = self.running
        return Settings(
            state_dir=self.state_dir,
            redis_url=SecretStr(found.redis_url),
            blob_url=found.blob_url,
        )

    @cached_property
    def client(self) -> Client:
        """A client of this stack, closed with it."""
        return Client.open(self.settings)

    def run(self, *args: object, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run a command of `agewell` beside the stack, to its end.

        Args:
            args: such as ``"enqueue", "hsv", folder``.
            settings: further ones, for this command alone.
        """
        return subprocess.run(
            [*self.command, *map(str, args)],
            env=self.env | {f"AGEWELL_{name.upper()}": str(v) for name, v in settings.items()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CALL_TIMEOUT_S,
            check=False,
        )

    def wait_ready(
        self, timeout_s: float = READY_TIMEOUT_S, report: Callable[[str], None] | None = None
    ) -> Self:
        """Wait until every part is ready.

        Args:
            timeout_s: how long, in seconds.
            report: called with what `agewell up` has written so far, again and again.

        Raises:
            StackError: `agewell up` has ended, or is not ready in time.
        """
        deadline = time.monotonic() + timeout_s
        while "all ready" not in (log := self.log):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"agewell up does not get ready:\n{log}")
            if report is not None:
                report(log)
            time.sleep(LOOK_S)
        return self

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop it as Ctrl-C does; running jobs may end first.

        Raises:
            StackError: it did not stop in time and was killed, or it ended with an error.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.end()
            raise StackError(f"agewell up did not stop in {timeout_s:g} s:\n{self.log}") from None
        if status != 0:
            raise StackError(f"agewell up ended with status {status}:\n{self.log}")

    def end(self) -> None:
        """Kill whatever still runs of it; the kernel ends the children of a killed parent."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def forget(self) -> None:
        """Close the client, and delete the log."""
        if "client" in vars(self):
            with contextlib.suppress(Exception):
                self.client.close()
        self._log.unlink(missing_ok=True)


@contextmanager
def state_directory() -> Iterator[Path]:
    """A new directory, deleted afterwards; its path is short enough for Redis's unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="aw-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_stack(**settings: object) -> Iterator[RunningStack]:
    """Run a whole agewell until the block ends.

    Args:
        settings: as in `Settings`, such as ``concurrency=2``; nothing is taken from AGEWELL_...
            variables of this process.

    Raises:
        StackError: it does not start or does not stop; the error has its output.
    """
    with state_directory() as folder:
        stack = RunningStack(folder, **settings)
        try:
            yield stack.wait_ready()
            stack.stop()
        finally:
            stack.end()
            stack.forget()
