"""Blob store in files below a directory, which may be a mount that comes and goes.

The first use of the directory creates a marker file in it. If the marker is missing later, the
directory is not mounted. Then reads fail instead of reporting missing blobs, and nothing is written
into the empty directory.
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
"""Size of the file that checks the store. A disk with less room counts as full."""

PART, SWEPT = ".part", ".swept"
READ_ATTEMPTS = 3
"""How often to look for a file: a sweep may rename it and rename it back between two looks."""

_OURS = re.compile(rf"({NAME})(?:\.[0-9a-f-]+\.(?:part|swept))?")
"""A pack, a pack that is being written, or a pack that is being swept."""


_DIRECTORY = os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)
"""Opens a directory for paths relative to it. On Linux that needs no right to list it."""


@dataclass(frozen=True)
class StoreUse:
    """Notes in Redis that a store has been used, to tell an unmounted store from a new one."""

    client: redis.Redis
    url: str

    def is_known(self) -> bool:
        """Return True if a process has used this store."""
        return bool(self.client.sismember(keys.BLOB_STORES, self.url))

    def remember(self) -> None:
        """Note that the store is in use. If Redis is full, the next process does it."""
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            self.client.sadd(keys.BLOB_STORES, self.url)


class DirectoryStore:
    """Packs of bytes in files below a directory."""

    scheme = "store"

    def __init__(self, root: Path, ttl_s: int, use: StoreUse) -> None:
        self._root = root
        self._ttl_s = ttl_s
        self._use = use
        self._is_open = False

    def put(self, blobs: Sequence[Blob]) -> list[str]:
        """Write the blobs as one pack, atomically, unless the same pack is there already."""
        if not blobs:
            return []
        with self._mounted_root() as root:
            name, data, places = pack(blobs)
            path = f"{name[:2]}/{name}"
            if not _refresh(root, path, len(data)):
                _write(root, path, data)
        return places

    def get(self, place: str, size_bytes: int) -> bytes | None:
        """Read a blob, and set its file's modification time to now."""
        found = parse(place)
        if found is None:
            return None
        self._open()
        name, offset = found
        folder = f"{self._root}/{name[:2]}"
        for _ in range(READ_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                return _read(f"{folder}/{name}", offset, size_bytes)
            # Listed only now: a folder can have many files.
            for swept in Path(folder).glob(f"{name}.*{SWEPT}"):
                with contextlib.suppress(FileNotFoundError):
                    return _read(swept, offset, size_bytes)
        self._check_mounted()
        return None

    def keep(self, places: Sequence[str]) -> None:
        """Set the files' modification times to now. A file that fails does not stop the rest."""
        self._check_mounted()
        for name in {found[0] for place in places if (found := parse(place)) is not None}:
            with self._skip_if_unusable(name):
                os.utime(self._path(name), follow_symlinks=False)
        self._check_mounted()  # if it was unmounted meanwhile, every file seemed to be missing

    def sweep(self) -> int:
        """Delete files that were not used for the TTL, and partial files of killed writers.

        Files that agewell did not create stay. A file that cannot be deleted does not stop the
        rest.
        """
        self._check_mounted()
        oldest = time.time() - self._ttl_s
        swept = 0
        for path in self._files():
            with self._skip_if_unusable(path.name):
                swept += _sweep_file(path, oldest)
        return swept

    def check(self) -> None:
        """Check that the store is mounted and can be written."""
        probe = f".probe-{uuid.uuid4().hex}"
        with self._mounted_root() as root:
            try:
                _write_file(root, probe, bytes(PROBE_BYTES))
            finally:
                _unlink(root, probe)

    def _open(self) -> None:
        """Create the marker if the directory is used for the first time. Runs once per process."""
        if self._is_open:
            return
        used_before = self._use.is_known()
        if not self._is_marked():
            if used_before:
                raise self._unmounted_error()
            self._root.mkdir(parents=True, exist_ok=True)
            (self._root / MARKER).touch()
        if not used_before:
            self._use.remember()
        self._is_open = True

    @contextlib.contextmanager
    def _mounted_root(self) -> Iterator[int]:
        """Open the directory that was marked. Yields its file descriptor.

        Write relative to it. If the store is unmounted meanwhile, nothing gets into the directory
        that then shows in its place.
        """
        self._open()
        try:
            root = os.open(self._root, _DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            raise self._unmounted_error() from None
        try:
            try:
                os.stat(MARKER, dir_fd=root)
            except FileNotFoundError:
                raise self._unmounted_error() from None
            yield root
        finally:
            os.close(root)

    def _check_mounted(self) -> None:
        """Raise if the directory is not the one that was marked."""
        with self._mounted_root():
            pass

    def _is_marked(self) -> bool:
        try:
            (self._root / MARKER).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _unmounted_error(self) -> OSError:
        return FileNotFoundError(
            errno.ENOENT,
            f"the store is not there: {self._root / MARKER} is missing. Mount the directory. "
            f"If you emptied it on purpose, create that file again with mkdir and touch",
        )

    def _files(self) -> Iterator[Path]:
        """Yield the store's files. Links are not followed."""
        for folder in os.scandir(self._root):
            if len(folder.name) == 2 and folder.is_dir(follow_symlinks=False):
                with self._skip_if_unusable(folder.name), os.scandir(folder.path) as files:
                    for file in files:
                        if _OURS.fullmatch(file.name) and file.is_file(follow_symlinks=False):
                            yield Path(file.path)

    @contextlib.contextmanager
    def _skip_if_unusable(self, name: str) -> Iterator[None]:
        """Ignore a file that has vanished or cannot be changed, unless the store is unmounted."""
        try:
            yield
        except FileNotFoundError:
            return
        except OSError as error:
            self._check_mounted()
            log.warning("skipped a file of the blob store: %s: %s", name, error)

    def _path(self, name: str) -> Path:
        return self._root / name[:2] / name


def _read(path: str | Path, offset: int, size_bytes: int) -> bytes | None:
    try:
        # Links are not followed: a blob must be a file in this directory.
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


def _refresh(root: int, path: str, size_bytes: int) -> bool:
    """Set a file's modification time to now. Returns False if no file of this size exists."""
    try:
        os.utime(path, dir_fd=root, follow_symlinks=False)
        found = os.stat(path, dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size_bytes


def _write(root: int, path: str, data: bytes) -> None:
    part = f"{path}.{os.getpid()}-{threading.get_ident()}{PART}"
    try:
        try:
            _write_file(root, part, data)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                os.mkdir(path.partition("/")[0], dir_fd=root)
            _write_file(root, part, data)
        os.replace(part, path, src_dir_fd=root, dst_dir_fd=root)
    except BaseException:
        # A partial file would waste room on a disk that is perhaps full.
        with contextlib.suppress(OSError):
            _unlink(root, part)
        raise


def _write_file(root: int, path: str, data: bytes) -> None:
    def open_below(name: str, flags: int) -> int:
        return os.open(name, flags, 0o666, dir_fd=root)

    with open(path, "wb", opener=open_below) as file:
        file.write(data)


def _unlink(root: int, path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path, dir_fd=root)


def _sweep_file(path: Path, oldest: float) -> bool:
    """Delete a file unless it was used since `oldest`, a Unix time. Returns True if deleted.

    A pack is renamed first, because another process may put the same bytes at the same time. If
    that process comes after the rename, it finds no file and writes a new one. If it came before,
    it has refreshed the modification time, and the pack gets its name back here. A pack that a
    killed sweep left renamed is handled in the same way.
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
