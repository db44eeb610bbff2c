"""Where blobs lie: Redis, a directory, or wherever an fsspec URL says.

A store gives each blob a place, which follows from the bytes alone: storing the same again gives
the same place, and no place names a path or a host.
"""

import contextlib
import errno
import hashlib
import os
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import fsspec
import redis

from shared import keys

PIPELINE_BYTES = 4 * 2**20
"""Bytes in one pipeline: large enough to hide the round trip, small beside any memory limit."""

Blob = tuple[str, bytes]
"""(SHA-256 in hexadecimal, bytes)."""


class Store(Protocol):
    """Bytes by place."""

    scheme: str

    def put(self, blobs: Sequence[Blob]) -> list[str]:
        """Keep blobs for the time to live; the place of each, in order."""

    def get(self, place: str, size_bytes: int) -> bytes | None:
        """What lies at a place, its time to live begun anew; None where nothing does."""

    def keep(self, places: Sequence[str]) -> None:
        """Begin the time to live anew of what lies at these places."""

    def sweep(self) -> int:
        """Delete what has outlived its time, where the store does not itself; how many."""


class RedisStore:
    """Bytes in Redis, which expires them itself. A place is the blob's SHA-256."""

    scheme = "redis"

    def __init__(self, client: redis.Redis, ttl_s: int) -> None:
        self._client = client
        self._ttl_s = ttl_s

    def put(self, blobs: Sequence[Blob]) -> list[str]:
        """Store in pipelines of a few MiB."""
        pipe = self._client.pipeline(transaction=False)
        pending_bytes = 0
        for sha256, data in blobs:
            pipe.set(keys.blob(sha256), data, ex=self._ttl_s)
            pending_bytes += len(data)
            if pending_bytes >= PIPELINE_BYTES:
                pipe.execute()
                pending_bytes = 0
        pipe.execute()
        return [sha256 for sha256, _ in blobs]

    def get(self, place: str, size_bytes: int) -> bytes | None:
        """Read, and refresh the time to live in the same command."""
        del size_bytes
        return cast("bytes | None", self._client.getex(keys.blob(place), ex=self._ttl_s))

    def keep(self, places: Sequence[str]) -> None:
        """One pipeline."""
        pipe = self._client.pipeline(transaction=False)
        for place in places:
            pipe.expire(keys.blob(place), self._ttl_s)
        pipe.execute()

    def sweep(self) -> int:
        """Nothing to do: Redis expires its keys."""
        return 0


_PACK_PLACE = re.compile(r"([0-9a-f]{64})(?:\+([0-9]{1,12}))?")


def _pack(blobs: Sequence[Blob]) -> tuple[str, bytes, list[str]]:
    """Lay blobs end to end: the pack's name, its bytes, and the place of each blob.

    To make a file, or an object, can cost more than to write it. A pack of one is named by the
    blob's own hash, one of several by the hash of theirs.
    """
    if len(blobs) == 1:
        [(sha256, data)] = blobs
        return sha256, data, [sha256]
    name = hashlib.sha256("".join(sha256 for sha256, _ in blobs).encode()).hexdigest()
    places, offset = [], 0
    for _, data in blobs:
        places.append(f"{name}+{offset}")
        offset += len(data)
    return name, b"".join(data for _, data in blobs), places


def _parse(place: str) -> tuple[str, int] | None:
    """A place's pack and offset; None for what is no place."""
    found = _PACK_PLACE.fullmatch(place)
    return (found[1], int(found[2] or 0)) if found else None


class DirectoryStore:
    """Packs of bytes in files below a directory."""

    scheme = "store"

    def __init__(self, root: Path, ttl_s: int) -> None:
        self._root = root
        self._ttl_s = ttl_s

    def put(self, blobs: Sequence[Blob]) -> list[str]:
        """Write a pack that is not there yet, whole or not at all: a file is never half one."""
        if not blobs:
            return []
        name, data, places = _pack(blobs)
        path = self._path(name)
        if not _refreshed(path, len(data)):
            _write(path, data)
        return places

    def get(self, place: str, size_bytes: int) -> bytes | None:
        """Read; the file's time is set to now."""
        found = _parse(place)
        if found is None:
            return None
        name, offset = found
        try:
            # No link is followed: a blob is a file of this directory, or it is none.
            with open(self._path(name), "rb", opener=_open_no_link) as file:
                os.utime(file.fileno())
                file.seek(offset)
                return file.read(size_bytes)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None
            raise

    def keep(self, places: Sequence[str]) -> None:
        """Set the files' times to now."""
        for name in {found[0] for place in places if (found := _parse(place)) is not None}:
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._path(name), follow_symlinks=False)

    def sweep(self) -> int:
        """Delete files unused for the time to live, and what a killed writer left."""
        oldest = time.time() - self._ttl_s
        expired = [path for path in self._root.glob("??/*") if path.stat().st_mtime < oldest]
        for path in expired:
            path.unlink(missing_ok=True)
        return len(expired)

    def _path(self, name: str) -> Path:
        return self._root / name[:2] / name


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _refreshed(path: Path, size_bytes: int) -> bool:
    """Set a file's time to now; False where there is none of this size."""
    try:
        os.utime(path)
        return path.stat().st_size == size_bytes
    except FileNotFoundError:
        return False


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        part.write_bytes(data)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
    part.replace(path)


class FsspecStore:
    """Packs wherever an fsspec URL says, such as an object store, whose own rules expire them."""

    scheme = "store"

    def __init__(self, url: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)

    def put(self, blobs: Sequence[Blob]) -> list[str]:
        """Write a pack; an object store shows an object only when it is complete."""
        if not blobs:
            return []
        name, data, places = _pack(blobs)
        self._fs.pipe_file(self._path(name), data)
        return places

    def get(self, place: str, size_bytes: int) -> bytes | None:
        """Read the blob's part of its pack."""
        found = _parse(place)
        if found is None:
            return None
        name, offset = found
        try:
            data = self._fs.cat_file(self._path(name), start=offset, end=offset + size_bytes)
        except FileNotFoundError:
            return None
        return cast("bytes", data)

    def keep(self, places: Sequence[str]) -> None:
        """Nothing to do: an object's age is what its store's rules go by."""

    def sweep(self) -> int:
        """Nothing to do: an object store has lifecycle rules."""
        return 0

    def _path(self, name: str) -> str:
        return f"{self._root}/{name[:2]}/{name}"


def open_store(url: str, client: redis.Redis, ttl_s: int) -> Store:
    """The store that a setting names."""
    if url == "redis":
        return RedisStore(client, ttl_s)
    if url.startswith("file://"):
        return DirectoryStore(Path(url.removeprefix("file://")), ttl_s)
    return FsspecStore(url)
