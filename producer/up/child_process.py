"""Starts child processes that end with their parent, and that get signals only from it."""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """Make the kernel send SIGTERM to this process when its parent ends, even by SIGKILL."""
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
    """Start a command in a new session, so that Ctrl-C in the terminal reaches only the parent.

    Args:
        command: the program and its arguments.
        log: the file for its stdout and stderr.
        env: its whole environment. None: that of this process.
        stdin: the file for its stdin.
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
        # It runs between fork and exec in the child, and makes only one system call.
        preexec_fn=_die_with_parent,
    )


def end_child(process: subprocess.Popen[bytes], *, timeout_s: float) -> int:
    """Send SIGTERM to a child, then SIGKILL after a time-out, and return its exit status."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
