"""Child processes that never outlive their parent, and that the parent alone signals."""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent ends, even by SIGKILL."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def start_child(
    command: Sequence[str],
    *,
    log: IO[bytes] | int,
    env: Mapping[str, str] | None = None,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    also_open: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own: a Ctrl-C in the terminal reaches the parent only.

    Args:
        command: the program and its arguments.
        log: takes what it writes to stdout and stderr.
        env: its whole environment; None is that of this process.
        stdin: what it reads.
        also_open: further file descriptors that it inherits.

    Raises:
        OSError: the program cannot be started.
    """
    return subprocess.Popen(
        list(command),
        stdin=stdin,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=dict(env) if env is not None else None,
        start_new_session=True,
        pass_fds=tuple(also_open),
        # Runs between fork and exec in the child; it only makes one system call.
        preexec_fn=_die_with_parent,
    )


def end_child(process: subprocess.Popen[bytes], *, timeout_s: float) -> int:
    """Ask a child to end (SIGTERM), insist after a while (SIGKILL), and return its exit status."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
