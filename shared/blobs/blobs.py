"""The blob store: encoded image bytes under their SHA-256, kept for a time after their last use.

A reference names a hash, never a path or a host: whatever a message says, a worker reads nothing
but its own store.
"""

import base64
import binascii
import errno
import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import redis

from agewell.shared.blobs.stores import RedisStore, open_store
from agewell.shared.errors import (
    BlobDamagedError,
    BlobMissingError,
    BlobStoreError,
    BlobStoreFullError,
)
from agewell.shared.protocol.messages import INLINE_MAX_BYTES, ImageRef, MediaType
from agewell.shared.redis.connection import unreachable
from agewell.shared.settings import Settings
from agewell.shared.text.urls import scrubbed, without_password

_PLACE_IN_PACK = re.compile(r"[0-9a-f]{64}\+[0-9]{1,12}")
"""What follows a store's scheme where several blobs lie together; a single one's is its hash."""


_FULL = (errno.ENOSPC, errno.EDQUOT)


class Blobs:
    """Puts bytes into the configured store, and gets them from any store that a reference names."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._settings = settings
        ttl_s = settings.blob_ttl_s
        self._home = open_store(settings.blob_url or "redis", client, ttl_s)
        # A plain Celery client may put its images into Redis whatever store we use ourselves.
        self._stores = {store.scheme: store for store in (RedisStore(client, ttl_s), self._home)}

    def put(self, images: Iterable[tuple[str, MediaType, bytes]]) -> list[ImageRef]:
        """Store the bytes of each (name, media type, bytes); their references, in order.

        Raises:
            BrokerUnreachableError: Redis does not take them.
            BlobStoreError: the store does not, for want of space or of rights.
        """
        labels, blobs = [], []
        for name, media_type, data in images:
            labels.append((name, media_type))
            blobs.append((hashlib.sha256(data).hexdigest(), data))
        with self._errors():
            places = self._home.put(blobs)
        return [
            ImageRef(
                uri=f"{self._home.scheme}:{place}",
                sha256=sha256,
                size_bytes=len(data),
                media_type=media_type,
                name=name,
            )
            for (name, media_type), (sha256, data), place in zip(labels, blobs, places, strict=True)
        ]

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

    def keep(self, uris: Iterable[str]) -> None:
        """Begin the time to live anew of what these references name, where it lies in our stores.

        Raises:
            BrokerUnreachableError: Redis does not answer.
            BlobStoreError: the store does not.
        """
        places: dict[str, list[str]] = {}
        for uri in uris:
            scheme, _, place = uri.partition(":")
            places.setdefault(scheme, []).append(place)
        with self._errors():
            for scheme, found in places.items():
                if scheme in self._stores:
                    self._stores[scheme].keep(found)

    def sweep(self) -> int:
        """Delete what has outlived its time; how many blobs.

        Raises:
            BlobStoreError: the store is away.
        """
        with self._errors():
            return self._home.sweep()

    def check(self) -> None:
        """See that the store can be reached and takes bytes; cheap, and asked while it does not.

        Raises:
            BrokerUnreachableError: Redis does not answer.
            BlobStoreError: the store does not.
        """
        with self._errors():
            self._home.check()

    def _read(self, ref: ImageRef) -> bytes:
        scheme, _, rest = ref.uri.partition(":")
        if scheme == "data":
            return _inline(ref, rest)
        store = self._stores.get(scheme)
        if store is None or (rest != ref.sha256 and not _PLACE_IN_PACK.fullmatch(rest)):
            known = ", ".join(f"{name}:<sha256>" for name in self._stores)
            raise BlobDamagedError(ref.name, _short(ref), f"this worker reads {known} and data:")
        with self._errors():
            data = store.get(rest, ref.size_bytes)
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
            url = self._settings.blob_url or "redis"
            kind = BlobStoreFullError if error.errno in _FULL else BlobStoreError
            raise kind(without_password(url), scrubbed(str(error), url)) from error


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
