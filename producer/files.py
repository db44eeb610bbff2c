"""From paths to local image files: files, folders and globs; one at a time, however many."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.errors import BadFileError
from shared.messages import MediaType

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib"}
)
"""What a folder is searched for; a file that is named is taken whatever its name."""

FORMATS = "JPEG, PNG, WebP, TIFF, BMP"


@dataclass(frozen=True)
class LocalFile:
    """An image file, and the name that its job knows it by."""

    path: Path
    name: str

    def size_bytes(self) -> int:
        """The file's size.

        Raises:
            BadFileError: there is no such file, or it cannot be read.
        """
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise BadFileError(str(self.path), _reason(error)) from None


def expand(patterns: Iterable[str]) -> Iterator[LocalFile]:
    """Find the files that paths, folders (searched whole) and globs stand for.

    A file found in a folder is named by its path within it, any other by its last part.

    Raises:
        BadFileError: a glob or a folder holds no image. A missing file is reported when read.
    """
    for pattern in patterns:
        if Path(pattern).is_dir():
            yield from _nonempty(_walk(Path(pattern)), pattern, "no image in this folder")
        elif glob.has_magic(pattern) and not Path(pattern).exists():
            yield from _nonempty(_glob(pattern), pattern, "no file matches")
        else:
            yield LocalFile(Path(pattern), Path(pattern).name)


def _nonempty(files: Iterator[LocalFile], pattern: str, problem: str) -> Iterator[LocalFile]:
    first = next(files, None)
    if first is None:
        raise BadFileError(pattern, problem)
    yield first
    yield from files


def _walk(folder: Path) -> Iterator[LocalFile]:
    for parent, subfolders, names in os.walk(folder):
        subfolders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if path.suffix.lower() in IMAGE_SUFFIXES:
                yield LocalFile(path, path.relative_to(folder).as_posix())


def _glob(pattern: str) -> Iterator[LocalFile]:
    # `**` is meant as in a shell; the standard library yields without sorting, one at a time.
    for found in glob.iglob(pattern, recursive=True):  # noqa: PTH207  an absolute one is fine
        path = Path(found)
        if path.is_file():
            yield LocalFile(path, path.name)


def read_image(file: LocalFile, max_file_bytes: int) -> tuple[MediaType, bytes]:
    """Read a file whole, after the checks that need no decoder.

    Raises:
        BadFileError: missing, unreadable, empty, too large, or of no format that agewell takes.
    """
    _check_size(str(file.path), file.size_bytes(), max_file_bytes)
    try:
        data = file.path.read_bytes()
    except OSError as error:
        raise BadFileError(str(file.path), _reason(error)) from None
    return checked_image(str(file.path), data, max_file_bytes), data


def checked_image(name: str, data: bytes, max_file_bytes: int) -> MediaType:
    """The format of encoded bytes.

    Raises:
        BadFileError: empty, too large, or of no format that agewell takes.
    """
    _check_size(name, len(data), max_file_bytes)
    if not data:
        raise BadFileError(name, "empty (0 bytes)")
    media_type = sniff(data)
    if media_type is None:
        raise BadFileError(name, f"not {FORMATS}: it begins with {data[:8]!r}, whatever its name")
    return media_type


def _check_size(name: str, size_bytes: int, max_file_bytes: int) -> None:
    if size_bytes > max_file_bytes:
        reason = f"{size_bytes:,} bytes; AGEWELL_MAX_FILE_BYTES is {max_file_bytes:,}"
        raise BadFileError(name, reason)


def sniff(data: bytes) -> MediaType | None:
    """The format by its magic bytes, None for none of ours."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data.startswith((b"II*\0", b"MM\0*")):
        return "image/tiff"
    if data.startswith(b"BM"):
        return "image/bmp"
    return None


def _reason(error: OSError) -> str:
    return error.strerror.lower() if error.strerror else str(error)
