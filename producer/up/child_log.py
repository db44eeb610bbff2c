"""The log files of child processes: read from each child through a pipe, and rotated by size.

Because a child writes to a pipe and not to the file, a rotation loses none of its output, and the
output of C libraries is in the log too.
"""

import contextlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

CHUNK_BYTES = 64 * 1024
LAST_WORDS_S = 2.0
"""How long to read the rest of a dead child's output. Only a process that it left writes more."""


@dataclass(frozen=True)
class Rotation:
    """Size at which a log is rotated, and number of old logs to keep."""

    max_bytes: int = 10 * 2**20
    keep: int = 5


DEFAULT_ROTATION = Rotation()


def rotate(path: Path, keep: int) -> None:
    """Rename a log to .1, the old .1 to .2, and so on, and delete the oldest one.

    Raises:
        OSError: the folder cannot be written.
    """
    last = next((n for n in range(keep) if not _numbered(path, n).exists()), keep)
    for number in range(last, 0, -1):
        _numbered(path, number - 1).replace(_numbered(path, number))
    path.unlink(missing_ok=True)  # it still exists only if no old log is kept


def rotate_if_large(path: Path, rotation: Rotation) -> None:
    """Rotate a log whose writer opens it again for each line.

    Errors, such as a full disk, are ignored: the log then grows on.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size >= rotation.max_bytes:
            rotate(path, rotation.keep)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path


class ChildLog:
    """One log file that is appended to. A rotation never splits a line."""

    def __init__(self, path: Path, rotation: Rotation) -> None:
        self.path = path
        self._rotation = rotation
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._size = 0
        self._mid_line = False
        self._dropped_bytes = 0

    def write(self, data: bytes) -> None:
        """Append data. If the disk is full, the data is dropped, and its size is logged later."""
        with self._lock:
            try:
                self._note_what_was_dropped()
                self._append(data)
            except OSError:
                self._dropped_bytes += len(data)
                self._close()

    def end_line(self) -> None:
        """End the last line, if an earlier child ended in the middle of it."""
        with self._lock, contextlib.suppress(OSError):
            self._open()
            if self._mid_line:
                self._put(b"\n")

    def close(self) -> None:
        """Close the file. A later write opens it again."""
        with self._lock:
            self._close()

    def _append(self, data: bytes) -> None:
        """Write data in pieces of whole lines that fit. A line may exceed the size of a log."""
        while data:
            self._open()
            fits = self._rotation.max_bytes - self._size
            cut = len(data) if len(data) <= fits else data.rfind(b"\n", 0, max(fits, 0)) + 1
            if not cut and (self._mid_line or not self._size):
                cut = data.find(b"\n") + 1 or len(data)
            self._put(data[:cut])
            data = data[cut:]
            if data and not self._mid_line:
                self._close()
                rotate(self.path, self._rotation.keep)

    def _put(self, piece: bytes) -> None:
        while piece and self._file is not None:
            written = self._file.write(piece)
            self._size += written
            self._mid_line = piece[:written][-1:] != b"\n"
            piece = piece[written:]

    def _open(self) -> None:
        if self._file is None:
            self._file = self.path.open("ab+", buffering=0)
            self._size = self._file.seek(0, os.SEEK_END)
            if self._size:
                self._file.seek(-1, os.SEEK_END)
                self._mid_line = self._file.read(1) != b"\n"
            else:
                self._mid_line = False

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _note_what_was_dropped(self) -> None:
        if self._dropped_bytes:
            note = f"[{self._dropped_bytes} bytes of this log could not be written]\n"
            self._append((b"\n" if self._mid_line else b"") + note.encode())
            self._dropped_bytes = 0


class Pump:
    """Copies the output of one child process to its log, until the child and its children end."""

    def __init__(self, log: ChildLog) -> None:
        self._log = log
        self.read_end, self.write_end = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        """Start to read, after the child has inherited both ends of the pipe.

        The child needs the read end too. If this process is killed, the child's last writes then
        go into the pipe, although nobody reads them, and do not fail.
        """
        os.close(self.write_end)
        self._log.end_line()
        self._thread.start()

    def finish(self) -> None:
        """Wait until the rest of the output of a child that has ended is written."""
        self._thread.join(LAST_WORDS_S)

    def _run(self) -> None:
        with os.fdopen(self.read_end, "rb", buffering=0) as pipe:
            while data := pipe.read(CHUNK_BYTES):
                self._log.write(data)
