"""Writes results to files, one by one. An error with one file does not stop the others."""

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agewell.producer.receiving.result_names import UniqueNames, confined
from agewell.shared.blobs.blobs import Blobs
from agewell.shared.errors import AgewellError, BadFileError, ParameterError, PassingError
from agewell.shared.protocol.messages import ImageRef, ItemResult

NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV}
"""The errors of file systems that have no hard links."""

TRY_AGAIN_S = 0.5


@dataclass
class Written:
    """The files that were written for one job, and the errors of those that were not."""

    paths: list[Path] = field(default_factory=list)
    failures: list[tuple[Path, AgewellError]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return the paths and the errors as JSON values."""
        failures = [{"file": str(path), "error": str(error)} for path, error in self.failures]
        return {"files": [str(path) for path in self.paths], "not_written": failures}


class ResultWriter:
    """Writes the results of jobs below a folder."""

    def __init__(
        self, blobs: Blobs, out: Path, *, overwrite: bool = False, patience_s: float = 0.0
    ) -> None:
        """Prepare to write.

        Args:
            blobs: the store with the images.
            out: the folder to write into.
            overwrite: replace files that exist.
            patience_s: how long to retry each result while the store or Redis is away, in seconds.
        """
        self._blobs = blobs
        self._out = out
        self._overwrite = overwrite
        self._patience_s = patience_s

    def write(self, items: Iterable[ItemResult]) -> Written:
        """Write the files of all items. Two files of the same name get different numbers."""
        written, names = Written(), UniqueNames()
        for image in (each for item in items for each in (item.image, *(item.extras or ()))):
            if image is None:
                continue
            path = confined(self._out, names.claim(image.name)[0])
            try:
                data = self._get(image)
                written.paths.append(write_file(path, data, overwrite=self._overwrite))
            except AgewellError as error:
                written.failures.append((path, error))
        return written

    def _get(self, image: ImageRef) -> bytes:
        gives_up_at = time.monotonic() + self._patience_s
        while True:
            try:
                return self._blobs.get(image)
            except PassingError:
                if time.monotonic() >= gives_up_at:
                    raise
                time.sleep(TRY_AGAIN_S)


def write_file(path: Path, data: bytes, *, overwrite: bool = False) -> Path:
    """Write a file atomically, and make its folder if needed.

    If the path is a device or a pipe, the bytes go to it.

    Raises:
        BadFileError: the file cannot be written, or it exists with other contents and `overwrite`
            is False.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            _write_to_device(path, data)
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with _part_of(path) as part:
            part.write_bytes(data)
            if overwrite:
                part.replace(path)
            else:
                _put_if_new(part, path)
    except FileExistsError:
        if not _holds(path, data):
            raise BadFileError(
                str(path), "exists already, with other contents; use --overwrite to replace it"
            ) from None
    except (OSError, ValueError) as error:
        raise BadFileError(str(path), getattr(error, "strerror", "") or str(error)) from error
    return path


def _write_to_device(path: Path, data: bytes) -> None:
    """Write to a device or a pipe. A pipe that nobody reads is an error, and does not block."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(data)


@contextlib.contextmanager
def _part_of(path: Path) -> Iterator[Path]:
    """Give a path for writing a file before it gets its real name, and delete it afterwards.

    The name is short and random, so threads, processes and hosts that write the same file do not
    share it.
    """
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield part
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _put_if_new(part: Path, path: Path) -> None:
    """Give a file its real name, in one step. Raises FileExistsError if that name is taken."""
    try:
        path.hardlink_to(part)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError from None
        part.replace(path)


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def prepare_folder(out: Path) -> None:
    """Make the output folder if needed, and check that files can be written into it.

    Raises:
        ParameterError: the folder cannot be made or written into.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _part_of(out / "agewell-check") as part:
            part.write_bytes(bytes(4096))
    except (OSError, ValueError) as error:
        broken_link = _broken_link(out) if isinstance(error, FileExistsError) else ""
        reason = broken_link or getattr(error, "strerror", "") or str(error)
        raise ParameterError("--out", str(out), f"a folder to write into ({reason})") from None


def _broken_link(path: Path) -> str:
    """Say which part of a path is a link that leads nowhere. Empty if there is none.

    Making a folder there fails with "File exists", as the link itself does.
    """
    for part in (path, *path.parents):
        if part.is_symlink() and not part.exists():
            return f"{part} is a link to {part.readlink()}, which does not exist"
    return ""
