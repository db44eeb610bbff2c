"""Reads local image files safely: regular files only, and no more bytes than allowed."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from agewell.shared.errors import BadFileError
from agewell.shared.protocol.formats import FORMATS, find_format
from agewell.shared.protocol.messages import MediaType
from agewell.shared.protocol.output_names import NAME_MAX_CHARACTERS

HEAD_BYTES = 64
"""Bytes to read to recognise a format."""

_TITLES = ", ".join(each.title for each in FORMATS.values())


@dataclass(frozen=True)
class LocalFile:
    """An image file, and its name in jobs and results."""

    path: Path
    name: str

    def size_bytes(self) -> int:
        """Return the size of the file.

        Raises:
            BadFileError: the file is missing, is no regular file or cannot be read, or its name is
                too long or not UTF-8.
        """
        self._check_name()
        try:
            found = self.path.stat()
        except (OSError, ValueError) as error:
            raise BadFileError(str(self.path), reason_of(error)) from None
        _check_regular(self.path, found.st_mode)
        return found.st_size

    def _check_name(self) -> None:
        if len(self.name) > NAME_MAX_CHARACTERS:
            found = f"its name has {len(self.name):,} characters"
            raise BadFileError(
                str(self.path), f"{found}, at most {NAME_MAX_CHARACTERS:,} are allowed; rename it"
            )
        try:
            self.name.encode()
        except UnicodeEncodeError:
            raise BadFileError(str(self.path), "its name is not UTF-8; rename it") from None


def read_image(file: LocalFile, max_file_bytes: int) -> tuple[MediaType, bytes]:
    """Read a whole file, and check everything that needs no decoder.

    Returns:
        The media type, by the first bytes, and the bytes.

    Raises:
        BadFileError: the file is missing, no regular file, unreadable, empty, too large or of an
            unknown format, or its name is too long or not UTF-8.
    """
    _check_size(str(file.path), file.size_bytes(), max_file_bytes)
    try:
        data = _read_at_most(file.path, max_file_bytes + 1)
    except OSError as error:
        raise BadFileError(str(file.path), reason_of(error)) from None
    return checked_image(str(file.path), data, max_file_bytes), data


def check_image(file: LocalFile, max_file_bytes: int) -> None:
    """Check by its size and its first bytes that a file can be sent.

    Raises:
        BadFileError: as `read_image` does.
    """
    _check_size(str(file.path), file.size_bytes(), max_file_bytes)
    try:
        head = _read_at_most(file.path, HEAD_BYTES)
    except OSError as error:
        raise BadFileError(str(file.path), reason_of(error)) from None
    checked_image(str(file.path), head, max(max_file_bytes, HEAD_BYTES))


def _read_at_most(path: Path, limit_bytes: int) -> bytes:
    """Read the first bytes of a regular file. Files in /proc and files that grow lie about size."""
    # Without O_NONBLOCK, opening a pipe that took the file's place would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        _check_regular(path, os.fstat(descriptor).st_mode)
        return opened.read(limit_bytes) or b""  # None if the read would block, as with kernel logs


KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "something else")
        raise BadFileError(str(path), f"{kind}, not a regular file")


def checked_image(name: str, data: bytes, max_file_bytes: int) -> MediaType:
    """Check encoded bytes, and return their media type.

    Raises:
        BadFileError: they are empty, too large, or of an unknown format.
    """
    _check_size(name, len(data), max_file_bytes)
    if not data:
        raise BadFileError(name, "empty (0 bytes)")
    media_type = sniff(data)
    if media_type is None:
        raise BadFileError(name, f"not {_TITLES}: it begins with {data[:8]!r}, whatever its name")
    return media_type


def _check_size(name: str, size_bytes: int, max_file_bytes: int) -> None:
    if size_bytes > max_file_bytes:
        reason = f"{size_bytes:,} bytes; AGEWELL_MAX_FILE_BYTES is {max_file_bytes:,}"
        raise BadFileError(name, reason)


def sniff(data: bytes) -> MediaType | None:
    """Recognise a format by its magic bytes. Returns None if it is unknown."""
    found = find_format(data)
    return None if found is None else found.media_type


def reason_of(error: OSError | ValueError) -> str:
    """Return the message of a system error in lower case, without the path."""
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
