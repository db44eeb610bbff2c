"""Lets a command go on if stdout or stderr is closed, full, or a pipe that nobody reads."""

import errno
import io
import os
import sys
from typing import Any, TextIO


class Stream:
    """A text stream that keeps the first error of a write, and drops all text after it."""

    def __init__(self, stream: TextIO, closed: OSError | None = None) -> None:
        self._stream = stream
        self._closed = closed
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write text. After an error it is dropped."""
        if text and self._closed:
            self.error = self._closed
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """Write the buffered text. After an error it is dropped."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.error = self.error or error
        # The buffered text goes there too. Otherwise Python fails on it again when it exits.
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard() -> None:
    """Replace sys.stdout and sys.stderr by streams that raise no errors."""
    while (reserved := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # or else the next socket or file opened would become stdout
    os.close(reserved)
    sys.stdout = _guarded(sys.stdout)
    sys.stderr = _guarded(sys.stderr)


def _guarded(stream: TextIO | None) -> Any:
    if stream is None:
        # It stays open until the process ends.
        nowhere = open(os.devnull, "w")  # noqa: PTH123, SIM115
        return Stream(nowhere, OSError(errno.EBADF, "it is closed"))
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return Stream(stream)


def stdout_error() -> OSError | None:
    """Return the first error of a write to stdout, or None if everything was written."""
    sys.stdout.flush()
    return getattr(sys.stdout, "error", None)


def exit_status(code: str | int | None) -> str | int | None:
    """Return the exit status: 1 instead of 0 if stdout could not be written to."""
    sys.stderr.flush()
    error = stdout_error()
    if error is None:
        return code
    if error.errno != errno.EPIPE:  # EPIPE: the reader has seen enough, such as `head`
        sys.stderr.write(f"error: stdout cannot be written to: {error.strerror}\n")
        sys.stderr.flush()
    return code or 1
