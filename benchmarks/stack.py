"""A running `agewell up` of a benchmark's own, and a session with it."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from producer.session import Session, open_session
from shared.child_process import start_child


@contextmanager
def running_stack(**settings: object) -> Iterator[tuple[Session, Path]]:
    """Start the stack with some settings; yields a session, and the state directory."""
    with tempfile.TemporaryDirectory(prefix="aw-") as folder:
        os.environ.update({"AGEWELL_STATE_DIR": folder, "AGEWELL_FLOWER_PORT": "0"})
        os.environ.update({f"AGEWELL_{k.upper()}": str(v) for k, v in settings.items()})
        command = [sys.executable, "-m", "producer", "up"]
        process = start_child(command, log=subprocess.PIPE)
        try:
            _wait_until_ready(process)
            yield open_session(), Path(folder)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            for name in settings:
                del os.environ[f"AGEWELL_{name.upper()}"]


def _wait_until_ready(process: "subprocess.Popen[bytes]") -> None:
    lines = []
    for line in process.stdout or ():
        lines.append(line.decode())
        if "all ready" in lines[-1]:
            return
    raise RuntimeError("agewell up did not start:\n" + "".join(lines))
