"""The blob store: encoded image bytes under their SHA-256, kept for a time after their last use.

A reference names a hash, never a path or a host: whatever a message says, a worker reads nothing
but its own store.
"""

import base64
import binascii
import hashlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, cast

import fsspec
import redis

from shared import keys
from shared.errors import BlobDamagedError, BlobMissingError, BlobStoreError
from shared.messages import INLINE_MAX_BYTES, ImageRef, MediaType
from shared.redis_client import unreachable
from shared.settings import Settings

PUT_CHUNK_BYTES = 4 * 2**20
"""Bytes in one pipeline: large enough to hide the round trip, small beside any memory limit."""


class Store(Protocol):
    """Bytes by hash."""

    scheme: str

    def put(self, blobs: Sequence[tuple[str, bytes]]) -> None:
        """Keep each (sha256, bytes) for the time to live."""

    def get(self, sha256: str) -> bytes | None:
        """The bytes, their time to live begun anew; None when there are none."""

    def sweep(self) -> int:
        """Delete what has outlived its time, where the store does not itself; how many."""


class RedisStore:
    """Bytes in Redis, which expires them itself."""

    scheme = "redis"

    def __init__(self, client: redis.Redis, ttl_s: int) -> None:
        self._client = client
        self._ttl_s = ttl_s

    def put(self, blobs: Sequence[tuple[str, bytes]]) -> None:
        """Store in pipelines of a few MiB."""
        pipe = self._client.pipeline(transaction=False)
        pending_bytes = 0
        for sha256, data in blobs:
            pipe.set(keys.blob(sha256), data, ex=self._ttl_s)
            pending_bytes += len(data)
            if pending_bytes >= PUT_CHUNK_BYTES:
                pipe.execute()
                pending_bytes = 0
        pipe.execute()

    def get(self, sha256: str) -> bytes | None:
        """Read, and refresh the time to live in the same command."""
        return cast("bytes | None", self._client.getex(keys.blob(sha256), ex=self._ttl_s))

    def sweep(self) -> int:
        """Nothing to do: Redis expires its keys."""
        return 0


class DirectoryStore:
    """Bytes in files below a directory."""

    scheme = "store"

    def __init__(self, root: Path, ttl_s: int) -> None:
        self._root = root
        self._ttl_s = ttl_s

    def put(self, blobs: Sequence[tuple[str, bytes]]) -> None:
        """Write each blob that is not there yet, whole or not at all: a file is never half one."""
        for sha256, data in blobs:
            path = self._path(sha256)
            if not _refreshed(path, len(data)):
                _write(path, data)

    def get(self, sha256: str) -> bytes | None:
        """Read; the file's time is set to now."""
        path = self._path(sha256)
        try:
            data = path.read_bytes()
            os.utime(path)
        except FileNotFoundError:
            return None
        return data

    def sweep(self) -> int:
        """Delete files unused for the time to live, and what a killed writer left."""
        oldest = time.time() - self._ttl_s
        expired = [path for path in self._root.glob("??/*") if path.stat().st_mtime < oldest]
        for path in expired:
            path.unlink(missing_ok=True)
        return len(expired)

    def _path(self, sha256: str) -> Path:
        return self._root / sha256[:2] / sha256


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
    """Bytes wherever an fsspec URL says, such as an object store, whose own rules expire them."""

    scheme = "store"

    def __init__(self, url: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)

    def put(self, blobs: Sequence[tuple[str, bytes]]) -> None:
        """Write each blob; an object store shows an object only when it is complete."""
        self._fs.pipe({self._path(sha256): data for sha256, data in blobs})

    def get(self, sha256: str) -> bytes | None:
        """Read."""
        try:
            return cast("bytes", self._fs.cat_file(self._path(sha256)))
        except FileNotFoundError:
            return None

    def sweep(self) -> int:
        """Nothing to do: an object store has lifecycle rules."""
        return 0

    def _path(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256}"


def _open_store(url: str, client: redis.Redis, ttl_s: int) -> Store:
    """The store that a setting names."""
    if url == "redis":
        return RedisStore(client, ttl_s)
    if url.startswith("file://"):
        return DirectoryStore(Path(url.removeprefix("file://")), ttl_s)
    return FsspecStore(url)


class Blobs:
    """Puts bytes into the configured store, and gets them from any store that a reference names."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._settings = settings
        ttl_s = settings.blob_ttl_s
        self._home = _open_store(settings.blob_url or "redis", client, ttl_s)
        # A plain Celery client may put its images into Redis whatever store we use ourselves.
        self._stores = {store.scheme: store for store in (RedisStore(client, ttl_s), self._home)}

    def put(self, images: Iterable[tuple[str, MediaType, bytes]]) -> list[ImageRef]:
        """Store the bytes of each (name, media type, bytes); their references, in order.

        Raises:
            BrokerUnreachableError: Redis does not take them.
            BlobStoreError: the store does not, for want of space or of rights.
        """
        refs, blobs = [], {}
        for name, media_type, data in images:
            sha256 = hashlib.sha256(data).hexdigest()
            blobs[sha256] = data
            uri = f"{self._home.scheme}:{sha256}"
            refs.append(
                ImageRef(
                    uri=uri, sha256=sha256, size_bytes=len(data), media_type=media_type, name=name
                )
            )
        with self._errors():
            self._home.put(list(blobs.items()))
        return refs

    def get(self, ref: ImageRef) -> bytes:
        """The bytes that a reference names, checked against its hash and size.

        Raises:
            BlobMissingError: they have expired, or were never stored.
            BlobDamagedError: they are others than the reference says, or it names no store of ours.
            BrokerUnreachableError: Redis does not answer.
            BlobStoreError: the store does not.
        """
        data = self._read(ref)
        if len(data) != ref.size_bytes:
            raise BlobDamagedError(
                ref.name, _short(ref), f"{len(data)} bytes, expected {ref.size_bytes}"
            )
        found = hashlib.sha256(data).hexdigest()
        if found != ref.sha256:
            raise BlobDamagedError(ref.name, _short(ref), f"SHA-256 is {found}")
        return data

    def sweep(self) -> int:
        """Delete what has outlived its time; how many blobs."""
        return self._home.sweep()

    def _read(self, ref: ImageRef) -> bytes:
        scheme, _, rest = ref.uri.partition(":")
        if scheme == "data":
            return _inline(ref, rest)
        store = self._stores.get(scheme)
        if store is None or rest != ref.sha256:
            known = ", ".join(f"{name}:<sha256>" for name in self._stores)
            raise BlobDamagedError(ref.name, _short(ref), f"this worker reads {known} and data:")
        with self._errors():
            data = store.get(ref.sha256)
        if data is None:
            raise BlobMissingError(ref.name, _short(ref))
        return data

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise a store's own errors as ours."""
        try:
            yield
        except redis.RedisError as error:
            raise unreachable(self._settings, error) from error
        except OSError as error:
            raise BlobStoreError(self._settings.blob_url or "redis", str(error)) from error


def _inline(ref: ImageRef, rest: str) -> bytes:
    """The bytes of a data: URI (RFC 2397), base64 only."""
    header, _, body = rest.partition(",")
    if not header.endswith(";base64"):
        raise BlobDamagedError(ref.name, _short(ref), "a data: URI must be base64")
    try:
        data = base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise BlobDamagedError(ref.name, _short(ref), f"bad base64: {error}") from None
    if len(data) > INLINE_MAX_BYTES:
        raise BlobDamagedError(
            ref.name, _short(ref), f"{len(data)} bytes inline, at most {INLINE_MAX_BYTES}"
        )
    return data


def _short(ref: ImageRef) -> str:
    return ref.uri if len(ref.uri) <= 80 else f"{ref.uri[:40]}..."
