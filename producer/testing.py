"""A running agewell for your own tests: Redis, workers, beat, Flower, and a client.

    from agewell import HsvItem, HsvJob
    from agewell.testing import running_stack

    with running_stack(concurrency=1) as stack:
        (image,) = stack.client.put("photo.jpg")
        job_id = stack.client.send(HsvJob(items=(HsvItem(image=image),)))
        assert stack.client.wait(job_id, timeout_s=60).state == "done"

It is `agewell up` in a temporary directory. You need the extra `stack` (`pip install
'agewell[stack]'`) and no network. A start takes five to ten seconds, so let your tests share one
stack, such as by a pytest fixture of scope `session`:

    @pytest.fixture(scope="session")
    def stack():
        with running_stack(concurrency=1) as running:
            yield running

On Linux the stack ends when the thread that started it ends, so that a crashed test run leaves no
processes behind. Start it in a thread that lives long enough.
"""

import contextlib
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
from typing import Any, ClassVar, Self

from pydantic import SecretStr

from agewell.producer.client import Client
from agewell.producer.up.child_process import start_child
from agewell.producer.up.given_settings import GivenSettings, environment, variables
from agewell.shared.settings import Settings
from agewell.shared.state_dir import Running, StateDir

READY_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 60.0
FAILED_STOP_TIMEOUT_S = 15.0
CALL_TIMEOUT_S = 120.0
LOOK_S = 0.05

AGEWELL = (sys.executable, "-P", "-m", "agewell.producer")
"""Command line of `agewell` in the Python environment of this process."""


class StackError(RuntimeError):
    """The stack did not start or did not stop. The text includes the output of `agewell up`."""


class RunningStack:
    """One `agewell up` as a child process. Use `running_stack` to start and stop it."""

    command: ClassVar[Sequence[str]] = AGEWELL
    """The words that run `agewell`. A subclass may name an installed command here."""

    def __init__(self, state_dir: Path, **settings: object) -> None:
        """Start `agewell up`, without waiting for it.

        Args:
            state_dir: a directory for its data. Keep the path short: Redis's Unix socket is there.
            settings: names and values of `Settings`, such as ``concurrency=2``.
        """
        self.state_dir = state_dir
        self.env = environment(state_dir, **settings)
        """The environment in which `agewell` and Celery's commands find this stack."""
        self._given = {name.lower(): value for name, value in settings.items() if value is not None}
        # Outside of the state directory: a second stack in the same directory has a log too.
        with tempfile.NamedTemporaryFile(prefix="aw-", suffix=".log", delete=False) as log:
            self._log = Path(log.name)
            self.process = start_child([*self.command, "up"], log=log.fileno(), env=self.env)

    @property
    def log(self) -> str:
        """The output of `agewell up` so far."""
        return self._log.read_text()

    @property
    def running(self) -> Running:
        """The addresses of Redis, of the blob store, of Flower and of the metrics.

        Raises:
            StackError: the stack is not running.
        """
        found = StateDir(self.state_dir).running()
        if found is None:
            raise StackError(f"agewell up is not running. Its output:\n{self.log}")
        return found

    @property
    def settings(self) -> Settings:
        """Settings for a client of this stack: those that it was started with, and its addresses.

        AGEWELL_ variables of this process have no effect on them.

        Raises:
            StackError: the stack is not running.
        """
        found = self.running
        addresses = {"redis_url": SecretStr(found.redis_url), "blob_url": found.blob_url}
        given: dict[str, Any] = self._given | addresses | {"state_dir": self.state_dir}
        return GivenSettings(**given)

    @cached_property
    def client(self) -> Client:
        """A client of this stack, connected at first use. It is closed with the stack."""
        return Client.open(self.settings)

    def run(self, *args: object, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run a command of `agewell` against this stack, and wait until it has ended.

        Args:
            args: the command and its arguments, such as ``"enqueue", "hsv", folder``.
            settings: further settings for this command alone.

        Returns:
            The exit status in ``returncode``, the output in ``stdout`` and ``stderr``. A status
            other than 0 raises nothing.

        Raises:
            subprocess.TimeoutExpired: it has not ended within two minutes, and was killed.
        """
        return subprocess.run(
            [*self.command, *map(str, args)],
            env=self.env | variables(settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CALL_TIMEOUT_S,
            check=False,
        )

    def wait_ready(
        self, timeout_s: float = READY_TIMEOUT_S, report: Callable[[str], None] | None = None
    ) -> Self:
        """Wait until every part is ready, and return this stack.

        Args:
            timeout_s: the longest wait, in seconds.
            report: called about 20 times a second with the output of `agewell up` so far.

        Raises:
            StackError: `agewell up` has ended, or is not ready in time.
        """
        deadline = time.monotonic() + timeout_s
        while "all ready" not in (log := self.log):
            status = self.process.poll()
            if status is not None or time.monotonic() > deadline:
                late = f"not within {timeout_s:g} s"
                why = late if status is None else f"it ended with status {status}"
                raise StackError(f"agewell up does not get ready: {why}. Its output:\n{log}")
            if report is not None:
                report(log)
            time.sleep(LOOK_S)
        return self

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop `agewell up` as Ctrl-C does, after running jobs have ended.

        Args:
            timeout_s: kill it if it has not ended by then, in seconds.

        Raises:
            StackError: it had to be killed, or it ended with an error.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.end()
            problem = f"agewell up did not stop within {timeout_s:g} s and was killed"
            raise StackError(f"{problem}. Its output:\n{self.log}") from None
        if status != 0:
            raise StackError(f"agewell up ended with status {status}. Its output:\n{self.log}")

    def end(self) -> None:
        """Kill `agewell up` if it still runs. On Linux the kernel then ends its children."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def forget(self) -> None:
        """Close the client, and delete the log file."""
        if "client" in vars(self):
            with contextlib.suppress(Exception):
                self.client.close()
        self._log.unlink(missing_ok=True)


@contextmanager
def state_directory() -> Iterator[Path]:
    """Make a temporary directory with a path short enough for Redis's Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="aw-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_stack(**settings: object) -> Iterator[RunningStack]:
    """Run a whole agewell until the block ends.

    Args:
        settings: names and values of `Settings`, such as ``concurrency=2``. AGEWELL_ variables of
            this process have no effect.

    Yields:
        The stack, ready for jobs. Its processes and its directory are gone after the block.

    Raises:
        StackError: it does not start or does not stop. The text includes its output.
    """
    with state_directory() as folder:
        stack = RunningStack(folder, **settings)
        try:
            yield stack.wait_ready()
        except BaseException:
            # In order as well: killed, its Redis would write into a directory being deleted.
            with contextlib.suppress(StackError):
                stack.stop(FAILED_STOP_TIMEOUT_S)
            raise
        else:
            stack.stop()
        finally:
            stack.end()
            stack.forget()
