"""Writing results to files, one by one: what cannot be written stops nothing else."""

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
    """The files that were written for one job, and those that could not be."""

    paths: list[Path] = field(default_factory=list)
    failures: list[tuple[Path, AgewellError]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        failures = [{"file": str(path), "error": str(error)} for path, error in self.failures]
        return {"files": [str(path) for path in self.paths], "not_written": failures}


class ResultWriter:
    """Writes the results of jobs below a folder."""

    def __init__(
        self, blobs: Blobs, out: Path, *, overwrite: bool = False, patience_s: float = 0.0
    ) -> None:
        """Keep what all results have in common.

        Args:
            blobs: the store that they are in.
            out: the folder.
            overwrite: replace files that exist.
            patience_s: how long to try each result again while the store, or Redis, is away.
        """
        self._blobs = blobs
        self._out = out
        self._overwrite = overwrite
        self._patience_s = patience_s

    def write(self, items: Iterable[ItemResult]) -> Written:
        """Write the files of each item that has some; two of the same name get a file each."""
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
    """Write a file whole or not at all, and its folder first; a device or a pipe is written to.

    Raises:
        BadFileError: it cannot be written, or exists with other bytes and may not be overwritten.
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
            raise BadFileError(str(path), "exists already, with other contents") from None
    except (OSError, ValueError) as error:
        raise BadFileError(str(path), getattr(error, "strerror", "") or str(error)) from error
    return path


def _write_to_device(path: Path, data: bytes) -> None:
    """Write to a device or a pipe; one that nobody reads is an error, as opening it would wait."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(data)


@contextlib.contextmanager
def _part_of(path: Path) -> Iterator[Path]:
    """Path to write a file to before it gets its name. It is gone afterwards, and its name short.

    Threads and processes that write the same file have one each, on any host.
    """
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield part
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _put_if_new(part: Path, path: Path) -> None:
    """Give a file its name, in one step, if nothing has that name."""
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
    """See that a folder exists, or make it, and that files can be written into it.

    Raises:
        ParameterError: it cannot be.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _part_of(out / "agewell-check") as part:
            part.write_bytes(bytes(4096))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "") or str(error)
        raise ParameterError("--out", str(out), f"a folder to write into ({reason})") from None
