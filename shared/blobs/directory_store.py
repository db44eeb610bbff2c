"""Blobs in files below a directory, which may be unmounted and come back.

A marker file lies in the directory from its first use on. Without it the store is away: its blobs
are not missing, and nothing is written into whatever directory shows in its place.
"""

import contextlib
import errno
import logging
import os
import re
import stat
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from agewell.shared.blobs.packs import NAME, Blob, pack, parse
from agewell.shared.redis import keys

log = logging.getLogger(__name__)

MARKER = ".agewell-blobs"
PROBE_BYTES = 2**20
"""Written to see that a store takes bytes; a disk with less room than this counts as full."""

PART, SWEPT = ".part", ".swept"
LOOKS = 3
"""A file may be renamed by a sweep between two looks, and get its name back."""

_OURS = re.compile(rf"({NAME})(?:\.[0-9a-f-]+\.(?:part|swept))?")
"""A pack; the part of one that is being written; one that is being swept."""


@dataclass(frozen=True)
class Used:
    """Remembers in Redis that a store has been used: without its marker it is away, not new."""

    client: redis.Redis
    url: str

    def before(self) -> bool:
        """True if some process has used this store."""
        return bool(self.client.sismember(keys.BLOB_STORES, self.url))

    def remember(self) -> None:
        """Note that it is in use; a full Redis is told by the next process."""
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            self.client.sadd(keys.BLOB_STORES, self.url)


class DirectoryStore:
    """Packs of bytes in files below a directory."""

    scheme = "store"

    def __init__(self, root: Path, ttl_s: int, used: Used) -> None:
        self._root = root
        self._ttl_s = ttl_s
        self._used = used
        self._is_open = False

    def put(self, blobs: Sequence[Blob]) -> list[str]:
        """Write a pack that is not there yet, whole or not at all: a file is never half one."""
        if not blobs:
            return []
        self._require()
        name, data, places = pack(blobs)
        path = self._path(name)
        if not _refreshed(path, len(data)):
            _write(path, data)
        return places

    def get(self, place: str, size_bytes: int) -> bytes | None:
        """Read; the file's time is set to now."""
        found = parse(place)
        if found is None:
            return None
        self._open()
        name, offset = found
        path = self._path(name)
        for _ in range(LOOKS):
            for each in (path, *path.parent.glob(f"{name}.*{SWEPT}")):
                with contextlib.suppress(FileNotFoundError):
                    return _read(each, offset, size_bytes)
        self._require()
        return None

    def keep(self, places: Sequence[str]) -> None:
        """Set the files' times to now; a file that refuses that hinders no other."""
        self._require()
        for name in {found[0] for place in places if (found := parse(place)) is not None}:
            with self._one_of_many(name):
                os.utime(self._path(name), follow_symlinks=False)
        self._require()  # if it went away meanwhile, every file seemed to be missing

    def sweep(self) -> int:
        """Delete files unused for the time to live, and what a killed writer left.

        Files that agewell did not make stay, and a file that cannot be deleted hinders no other.
        """
        self._require()
        oldest = time.time() - self._ttl_s
        swept = 0
        for path in self._files():
            with self._one_of_many(path.name):
                swept += _swept(path, oldest)
        return swept

    def check(self) -> None:
        """See that the store is there and takes bytes."""
        self._require()
        probe = self._root / f".probe-{uuid.uuid4().hex}"
        try:
            probe.write_bytes(bytes(PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)

    def _open(self) -> None:
        """Mark a directory that is used for the first time; done once in a process."""
        if self._is_open:
            return
        used_before = self._used.before()
        if not self._is_marked():
            if used_before:
                raise self._away()
            self._root.mkdir(parents=True, exist_ok=True)
            (self._root / MARKER).touch()
        if not used_before:
            self._used.remember()
        self._is_open = True

    def _require(self) -> None:
        """Raise if the directory is not the one that was marked."""
        self._open()
        if not self._is_marked():
            raise self._away()

    def _is_marked(self) -> bool:
        try:
            (self._root / MARKER).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _away(self) -> OSError:
        return FileNotFoundError(
            errno.ENOENT,
            f"the store is not there: {self._root / MARKER} is missing. Mount the directory; "
            f"if you emptied it on purpose, make that file again with mkdir and touch",
        )

    def _files(self) -> Iterator[Path]:
        """The files of ours, in folders of ours; links are not followed."""
        for folder in os.scandir(self._root):
            if len(folder.name) == 2 and folder.is_dir(follow_symlinks=False):
                with self._one_of_many(folder.name), os.scandir(folder.path) as files:
                    for file in files:
                        if _OURS.fullmatch(file.name) and file.is_file(follow_symlinks=False):
                            yield Path(file.path)

    @contextlib.contextmanager
    def _one_of_many(self, name: str) -> Iterator[None]:
        """Go on if a file has vanished or cannot be changed; not if the whole store is away."""
        try:
            yield
        except FileNotFoundError:
            return
        except OSError as error:
            self._require()
            log.warning("left alone in the blob store: %s: %s", name, error)

    def _path(self, name: str) -> Path:
        return self._root / name[:2] / name


def _read(path: Path, offset: int, size_bytes: int) -> bytes | None:
    try:
        # No link is followed: a blob is a file of this directory, or it is none.
        with open(path, "rb", opener=_open_no_link) as file:
            os.utime(file.fileno())
            file.seek(offset)
            return file.read(size_bytes)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _refreshed(path: Path, size_bytes: int) -> bool:
    """Set a file's time to now; False if there is none of this size."""
    try:
        os.utime(path, follow_symlinks=False)
        found = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size_bytes


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}{PART}")
    try:
        try:
            part.write_bytes(data)
        except FileNotFoundError:
            path.parent.mkdir(exist_ok=True)  # not the store itself: that would be another one
            part.write_bytes(data)
        part.replace(path)
    except BaseException:
        # A full disk keeps no room for what nobody will read.
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _swept(path: Path, oldest: float) -> bool:
    """Delete a file that nobody has used since a time; False if somebody has.

    A pack is renamed first. Whoever puts the same bytes again then either finds no file, and writes
    one with this name, or has refreshed this one before: that is seen now, and it gets its name
    back. So does one that a killed sweep has left renamed.
    """
    if path.lstat().st_mtime >= oldest and path.suffix != SWEPT:
        return False
    if path.suffix == PART:
        path.unlink()
        return True
    name = path.name.partition(".")[0]
    aside = path.with_name(f"{name}.{uuid.uuid4().hex}{SWEPT}")
    path.rename(aside)
    in_use = aside.lstat().st_mtime >= oldest
    if in_use:
        with contextlib.suppress(FileExistsError):
            os.link(aside, aside.with_name(name))
    aside.unlink()
    return not in_use
