"""stdout and stderr that may be closed, full, or a pipe that nobody reads: work goes on."""

import errno
import io
import os
import sys
from typing import Any, TextIO


class Stream:
    """A text stream that remembers the first error of a write, and drops what follows."""

    def __init__(self, stream: TextIO, closed: OSError | None = None) -> None:
        self._stream = stream
        self._closed = closed
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write text, or drop it."""
        if text and self._closed:
            self.error = self._closed
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """Write what is buffered, or drop it."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.error = self.error or error
        # What is buffered goes there too: Python would fail on it again when it exits.
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard() -> None:
    """Replace sys.stdout and sys.stderr by streams whose errors end nothing."""
    while (reserved := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # else the next socket or file would be taken for stdout
    os.close(reserved)
    sys.stdout = _guarded(sys.stdout)
    sys.stderr = _guarded(sys.stderr)


def _guarded(stream: TextIO | None) -> Any:
    if stream is None:
        # Open until the process ends.
        nowhere = open(os.devnull, "w")  # noqa: PTH123, SIM115
        return Stream(nowhere, OSError(errno.EBADF, "it is closed"))
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return Stream(stream)


def stdout_error() -> OSError | None:
    """Why something could not be written to stdout; None if everything was."""
    sys.stdout.flush()
    return getattr(sys.stdout, "error", None)


def settle(code: str | int | None) -> str | int | None:
    """The exit status: 1 instead of 0 if something could not be written to stdout."""
    sys.stderr.flush()
    error = stdout_error()
    if error is None:
        return code
    if error.errno != errno.EPIPE:  # a reader that has seen enough, such as `head`
        sys.stderr.write(f"error: stdout cannot be written to: {error.strerror}\n")
        sys.stderr.flush()
    return code or 1
