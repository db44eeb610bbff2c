"""The blob stores: Redis, a directory, or any file system that fsspec knows.

A store gives each blob a place, which depends only on the stored bytes. Storing the same bytes
again gives the same place. A place contains no path and no host.
"""

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import fsspec
import redis

from agewell.shared.blobs.directory_store import MARKER, DirectoryStore, StoreUse
from agewell.shared.blobs.packs import Blob, pack, parse
from agewell.shared.errors import SettingsError
from agewell.shared.redis import keys
from agewell.shared.text.urls import scrubbed

PIPELINE_BYTES = 4 * 2**20
"""Bytes per pipeline: enough to hide the round trip, and little compared to any memory limit."""

_MARK = b"agewell keeps image bytes here\n"


class Store(Protocol):
    """Interface of a blob store."""

    scheme: str

    def put(self, blobs: Sequence[Blob]) -> list[str]:
        """Store blobs for the TTL. Returns the place of each, in the same order."""

    def get(self, place: str, size_bytes: int) -> bytes | None:
        """Read a blob and renew its TTL. Returns None if there is none at the place."""

    def keep(self, places: Sequence[str]) -> None:
        """Renew the TTL of the blobs at these places."""

    def sweep(self) -> int:
        """Delete expired files, if the store does not expire them itself. Returns how many."""

    def check(self) -> None:
        """Check that the store can be reached and written.

        Raises:
            OSError: it cannot.
        """


class RedisStore:
    """Blobs in Redis, which expires them itself. A place is the blob's SHA-256."""

    scheme = "redis"

    def __init__(self, client: redis.Redis, ttl_s: int) -> None:
        self._client = client
        self._ttl_s = ttl_s

    def put(self, blobs: Sequence[Blob]) -> list[str]:
        """Store blobs in pipelines of a few MiB."""
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
        """Read a blob and renew its TTL in the same command."""
        del size_bytes
        return cast("bytes | None", self._client.getex(keys.blob(place), ex=self._ttl_s))

    def keep(self, places: Sequence[str]) -> None:
        """Renew the TTL of blobs in one pipeline."""
        pipe = self._client.pipeline(transaction=False)
        for place in places:
            pipe.expire(keys.blob(place), self._ttl_s)
        pipe.execute()

    def sweep(self) -> int:
        """Do nothing, because Redis expires its keys."""
        return 0

    def check(self) -> None:
        """Do nothing, because without Redis there are no jobs either."""


class FsspecStore:
    """Packs in any file system that fsspec knows, such as an object store.

    agewell never deletes them. Give the store a lifecycle rule that does.
    """

    scheme = "store"

    def __init__(self, url: str) -> None:
        self._url = url

    def put(self, blobs: Sequence[Blob]) -> list[str]:
        """Write a pack. An object store shows an object only when it is complete."""
        if not blobs:
            return []
        name, data, places = pack(blobs)
        with _any_error():
            self._write(name, data)
        return places

    def get(self, place: str, size_bytes: int) -> bytes | None:
        """Read the blob's part of its pack."""
        found = parse(place)
        if found is None:
            return None
        name, offset = found
        with _any_error():
            files, _ = self._files
            try:
                data = files.cat_file(self._path(name), start=offset, end=offset + size_bytes)
            except FileNotFoundError:
                self.check()  # an object is missing, or the whole bucket
                return None
        return cast("bytes", data)

    def keep(self, places: Sequence[str]) -> None:
        """Do nothing, because the store's lifecycle rules go by an object's age."""

    def sweep(self) -> int:
        """Do nothing, because the store's lifecycle rules delete objects."""
        return 0

    def check(self) -> None:
        """Write a marker and read it back.

        Raises:
            OSError: the store cannot be written or read.
        """
        with _any_error():
            files, root = self._files
            mark = f"{root}/{MARKER}"
            files.pipe_file(mark, _MARK)
            if files.cat_file(mark) != _MARK:
                raise OSError(f"{mark} has other bytes than were just written")

    def _write(self, name: str, data: bytes) -> None:
        files, root = self._files
        try:
            files.pipe_file(self._path(name), data)
        except FileNotFoundError:
            # A file system, not an object store. Do not create its root: it may be unmounted.
            files.mkdir(f"{root}/{name[:2]}", create_parents=False)
            files.pipe_file(self._path(name), data)

    @cached_property
    def _files(self) -> tuple[Any, str]:
        """The file system and the root in it, opened on first use: some connect at once."""
        found: tuple[Any, str] = fsspec.core.url_to_fs(self._url)
        return found

    def _path(self, name: str) -> str:
        return f"{self._files[1]}/{name[:2]}/{name}"


@contextlib.contextmanager
def _any_error() -> Iterator[None]:
    """Raise any error of a file system's library as an OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def open_store(url: str, client: redis.Redis, ttl_s: int) -> Store:
    """Open the store of AGEWELL_BLOB_URL.

    Args:
        url: `redis`, or an fsspec URL.
        client: Redis.
        ttl_s: seconds to keep a blob after its last use.

    Raises:
        SettingsError: fsspec does not know the URL's scheme, or its package is not installed.
    """
    if url == "redis":
        return RedisStore(client, ttl_s)
    for scheme in ("file://", "local://"):
        if url.startswith(scheme):
            return DirectoryStore(Path(url.removeprefix(scheme)), ttl_s, StoreUse(client, url))
    try:
        for part in url.split("::"):  # fsspec's way to name a cache in front of a store
            fsspec.get_filesystem_class(part.partition("://")[0])
    except (ValueError, ImportError) as error:  # no such kind of URL, or its package is missing
        raise SettingsError("AGEWELL_BLOB_URL", scrubbed(str(error), url)) from None
    return FsspecStore(url)
