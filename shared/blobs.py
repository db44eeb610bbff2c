"""The blob store: encoded image bytes under their SHA-256, kept for a time after their last use.

A reference names a hash, never a path or a host: whatever a message says, a worker reads nothing
but its own store.
"""

import base64
import binascii
import hashlib
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, cast

import fsspec
import redis

from shared import keys
from shared.errors import BlobDamagedError, BlobMissingError
from shared.messages import INLINE_MAX_BYTES, ImageRef, MediaType
from shared.redis_client import REDIS_ERRORS, unreachable
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


class FileStore:
    """Bytes wherever an fsspec URL says: a directory, an object store, memory."""

    scheme = "store"

    def __init__(self, url: str, ttl_s: int) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)
        self._ttl_s = ttl_s
        self._local = "file" in _protocols(self._fs)

    def put(self, blobs: Sequence[tuple[str, bytes]]) -> None:
        """Write each blob whole or not at all."""
        for sha256, data in blobs:
            self._write(self._path(sha256), data)

    def _write(self, path: str, data: bytes) -> None:
        if not self._local:  # an object store shows an object only when it is complete
            self._fs.pipe_file(path, data)
            return
        part = f"{path}.{uuid.uuid4().hex}.part"
        try:
            self._fs.pipe_file(part, data)
        except FileNotFoundError:
            self._fs.makedirs(self._fs._parent(path), exist_ok=True)
            self._fs.pipe_file(part, data)
        self._fs.mv_file(part, path)

    def get(self, sha256: str) -> bytes | None:
        """Read; on a local disk the file's time is set to now."""
        path = self._path(sha256)
        try:
            data: bytes = self._fs.cat_file(path)
            if self._local:
                self._fs.touch(path, truncate=False)
        except FileNotFoundError:
            return None
        return data

    def sweep(self) -> int:
        """Delete local files unused for the time to live; an object store has lifecycle rules."""
        if not self._local:
            return 0
        oldest = time.time() - self._ttl_s
        found = self._fs.find(self._root, detail=True).values()
        expired = [entry["name"] for entry in found if entry["mtime"] < oldest]
        for path in expired:
            self._fs.rm_file(path)
        return len(expired)

    def _path(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256}"


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


class Blobs:
    """Puts bytes into the configured store, and gets them from any store that a reference names."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._settings = settings
        in_redis = RedisStore(client, settings.blob_ttl_s)
        self._home: Store = in_redis
        self._stores: dict[str, Store] = {in_redis.scheme: in_redis}
        if settings.blob_url is not None and settings.blob_url != "redis":
            self._home = FileStore(settings.blob_url, settings.blob_ttl_s)
            self._stores[self._home.scheme] = self._home

    def put(self, images: Iterable[tuple[str, MediaType, bytes]]) -> list[ImageRef]:
        """Store the bytes of each (name, media type, bytes); their references, in order.

        Raises:
            BrokerUnreachableError: Redis does not take them.
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
        try:
            self._home.put(list(blobs.items()))
        except redis.RedisError as error:
            raise unreachable(self._settings, error) from error
        return refs

    def get(self, ref: ImageRef) -> bytes:
        """The bytes that a reference names, checked against its hash and size.

        Raises:
            BlobMissingError: they have expired, or were never stored.
            BlobDamagedError: they are others than the reference says, or it names no store of ours.
            BrokerUnreachableError: Redis does not answer.
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
        try:
            data = store.get(ref.sha256)
        except REDIS_ERRORS as error:
            raise unreachable(self._settings, error) from error
        if data is None:
            raise BlobMissingError(ref.name, _short(ref))
        return data


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
