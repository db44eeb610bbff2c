"""An `agewell up` for one program, in a state directory of its own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from shared.child_process import start_child

AGEWELL = Path(sys.executable).with_name("agewell")
START_TIMEOUT_S, STOP_TIMEOUT_S = 90.0, 30.0
POLL_S = 0.1


class DemoError(Exception):
    """Something failed; the text says what."""


@contextmanager
def private_stack(console: Console) -> Iterator[dict[str, str]]:
    """Run `agewell up` in a state directory of its own; the environment that finds it.

    Raises:
        DemoError: it does not start. Its logs are kept then, and where another one is raised.
    """
    state = Path(tempfile.mkdtemp(prefix="agewell-"))
    # Whatever is set for the user's own stack must not reach into this one.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AGEWELL_")}
    own = {"AGEWELL_STATE_DIR": str(state), "AGEWELL_FLOWER_PORT": "0", "PYTHONUNBUFFERED": "1"}
    env = inherited | own
    with (state / "up.log").open("wb") as log:
        process = start_child([str(AGEWELL), "up"], log=log, env=env)
    try:
        _wait_until_ready(process, state / "up.log", console)
        yield env
    except DemoError as error:
        raise DemoError(f"{error}\nThe logs are in {state}") from None
    finally:
        _stop(process, console)
        if not isinstance(sys.exception(), DemoError):
            shutil.rmtree(state)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path, console: Console) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    with console.status("starting") as spinner:
        while "all ready" not in (text := log.read_text()):
            if process.poll() is not None or time.monotonic() > deadline:
                raise DemoError(f"`agewell up` does not get ready:\n{text.strip()}")
            ready = [line[:14].strip() for line in text.splitlines() if " ready (" in line]
            spinner.update(f"starting; ready: {', '.join(ready) or 'nothing yet'}")
            time.sleep(POLL_S)


def _stop(process: subprocess.Popen[bytes], console: Console) -> None:
    """Stop the stack as Ctrl-C in its terminal would; a Ctrl-C meanwhile does not wait."""
    with console.status("stopping"):
        for _ in range(2):
            try:
                process.send_signal(signal.SIGINT)
                process.wait(STOP_TIMEOUT_S)
            except (KeyboardInterrupt, subprocess.TimeoutExpired):
                continue
            return
    process.kill()
    raise DemoError("`agewell up` did not stop, and was killed")
