"""Where blobs lie: Redis, a directory, or wherever an fsspec URL says.

A store gives each blob a place, which follows from the bytes alone: storing the same again gives
the same place, and no place names a path or a host.
"""

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import fsspec
import redis

from agewell.shared.blobs.directory_store import MARKER, DirectoryStore, Used
from agewell.shared.blobs.packs import Blob, pack, parse
from agewell.shared.errors import SettingsError
from agewell.shared.redis import keys
from agewell.shared.text.urls import scrubbed

PIPELINE_BYTES = 4 * 2**20
"""Bytes in one pipeline: large enough to hide the round trip, small beside any memory limit."""

_MARK = b"agewell keeps image bytes here\n"


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
        """Delete what has outlived its time, if the store does not itself; how many."""

    def check(self) -> None:
        """See that the store can be reached and takes bytes; raises if not."""


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

    def check(self) -> None:
        """Nothing to do: without Redis there are no jobs either."""


class FsspecStore:
    """Packs wherever an fsspec URL says, such as an object store, whose own rules expire them."""

    scheme = "store"

    def __init__(self, url: str) -> None:
        self._url = url

    def put(self, blobs: Sequence[Blob]) -> list[str]:
        """Write a pack; an object store shows an object only when it is complete."""
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
        """Nothing to do: an object's age is what its store's rules go by."""

    def sweep(self) -> int:
        """Nothing to do: an object store has lifecycle rules."""
        return 0

    def check(self) -> None:
        """See that the store takes bytes and gives them back."""
        with _any_error():
            files, root = self._files
            mark = f"{root}/{MARKER}"
            files.pipe_file(mark, _MARK)
            if files.cat_file(mark) != _MARK:
                raise OSError(f"{mark} reads otherwise than it was written")

    def _write(self, name: str, data: bytes) -> None:
        files, root = self._files
        try:
            files.pipe_file(self._path(name), data)
        except FileNotFoundError:
            # A file system, not an object store. Its root is not made here: it may be unmounted.
            files.mkdir(f"{root}/{name[:2]}", create_parents=False)
            files.pipe_file(self._path(name), data)

    @cached_property
    def _files(self) -> tuple[Any, str]:
        """The file system and the root in it: some connect as soon as they are made."""
        found: tuple[Any, str] = fsspec.core.url_to_fs(self._url)
        return found

    def _path(self, name: str) -> str:
        return f"{self._files[1]}/{name[:2]}/{name}"


@contextlib.contextmanager
def _any_error() -> Iterator[None]:
    """Raise whatever a file system's library raises as an OSError: each has errors of its own."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def open_store(url: str, client: redis.Redis, ttl_s: int) -> Store:
    """The store that a setting names.

    Raises:
        SettingsError: no store is known for such a URL, or the package that has it is missing.
    """
    if url == "redis":
        return RedisStore(client, ttl_s)
    for scheme in ("file://", "local://"):
        if url.startswith(scheme):
            return DirectoryStore(Path(url.removeprefix(scheme)), ttl_s, Used(client, url))
    try:
        for part in url.split("::"):  # fsspec's way to name a cache in front of a store
            fsspec.get_filesystem_class(part.partition("://")[0])
    except (ValueError, ImportError) as error:  # no such kind of URL, or its package is missing
        raise SettingsError("AGEWELL_BLOB_URL", scrubbed(str(error), url)) from None
    return FsspecStore(url)
