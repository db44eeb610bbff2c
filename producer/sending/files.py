"""Local image files, read safely: regular files only, and no more bytes than are allowed."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from agewell.shared.errors import BadFileError
from agewell.shared.protocol.formats import FORMATS, find_format
from agewell.shared.protocol.messages import MediaType
from agewell.shared.protocol.output_names import NAME_MAX_CHARACTERS

HEAD_BYTES = 64
"""Enough to tell the format."""

_TITLES = ", ".join(each.title for each in FORMATS.values())


@dataclass(frozen=True)
class LocalFile:
    """An image file, and the name that its job knows it by."""

    path: Path
    name: str

    def size_bytes(self) -> int:
        """The file's size.

        Raises:
            BadFileError: it is missing or no regular file, it cannot be read, or its name cannot be
                sent.
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
            raise BadFileError(str(self.path), f"{found}; at most {NAME_MAX_CHARACTERS:,}")
        try:
            self.name.encode()
        except UnicodeEncodeError:
            raise BadFileError(str(self.path), "its name is not UTF-8; rename it") from None


def read_image(file: LocalFile, max_file_bytes: int) -> tuple[MediaType, bytes]:
    """Read a file whole, after the checks that need no decoder.

    Raises:
        BadFileError: missing, no regular file, unreadable, empty, too large, of no format that
            agewell takes, or with a name that cannot be sent.
    """
    _check_size(str(file.path), file.size_bytes(), max_file_bytes)
    try:
        data = _read_at_most(file.path, max_file_bytes + 1)
    except OSError as error:
        raise BadFileError(str(file.path), reason_of(error)) from None
    return checked_image(str(file.path), data, max_file_bytes), data


def check_image(file: LocalFile, max_file_bytes: int) -> None:
    """See that a file can be sent, by its first bytes.

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
    """The first bytes of a regular file, whatever size it says it has."""
    # Without O_NONBLOCK, opening a pipe that took the file's place would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        _check_regular(path, os.fstat(descriptor).st_mode)
        return opened.read(limit_bytes) or b""  # None: it would wait, as kernel logs do


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
    """The format of encoded bytes.

    Raises:
        BadFileError: empty, too large, or of no format that agewell takes.
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
    """The format by its magic bytes, None for none of ours."""
    found = find_format(data)
    return None if found is None else found.media_type


def reason_of(error: OSError | ValueError) -> str:
    """The system's words for an error, without the path."""
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
