"""The blob store: encoded image bytes under their SHA-256, kept for a TTL after their last use.

A reference contains a hash, never a path or a host. So no message can make a worker read anything
but its blob stores.
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
"""The place of a blob in a pack of several, in a reference after the scheme."""


_FULL = (errno.ENOSPC, errno.EDQUOT)


class Blobs:
    """Writes bytes to the configured store, and reads them from there or from Redis."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._settings = settings
        ttl_s = settings.blob_ttl_s
        self._configured = open_store(settings.blob_url or "redis", client, ttl_s)
        # Plain Celery clients may put their images into Redis, whichever store is configured.
        self._stores = {
            store.scheme: store for store in (RedisStore(client, ttl_s), self._configured)
        }

    def put(self, images: Iterable[tuple[str, MediaType, bytes]]) -> list[ImageRef]:
        """Store images.

        Args:
            images: (name, media type, encoded bytes) triples.

        Returns:
            A reference to each, in the same order.

        Raises:
            BrokerUnreachableError: Redis does not answer.
            BrokerFullError: Redis is full.
            BlobStoreError: the store cannot be written.
        """
        labels, blobs = [], []
        for name, media_type, data in images:
            labels.append((name, media_type))
            blobs.append((hashlib.sha256(data).hexdigest(), data))
        with self._errors():
            places = self._configured.put(blobs)
        return [
            ImageRef(
                uri=f"{self._configured.scheme}:{place}",
                sha256=sha256,
                size_bytes=len(data),
                media_type=media_type,
                name=name,
            )
            for (name, media_type), (sha256, data), place in zip(labels, blobs, places, strict=True)
        ]

    def get(self, ref: ImageRef) -> bytes:
        """Read the bytes of a reference, and check their size and hash. This renews their TTL.

        Raises:
            BlobMissingError: they have expired, or were never stored.
            BlobDamagedError: the size or the hash differs, or the reference names no known store.
            BrokerUnreachableError: Redis does not answer.
            BlobStoreError: the store cannot be read.
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
        """Renew the TTL of blobs. References to unknown stores are ignored.

        Raises:
            BrokerUnreachableError: Redis does not answer.
            BlobStoreError: the store cannot be written.
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
        """Delete expired files from the store. Returns how many.

        Raises:
            BlobStoreError: the store cannot be reached.
        """
        with self._errors():
            return self._configured.sweep()

    def check(self) -> None:
        """Check that the store can be reached and written. The check is cheap.

        Raises:
            BrokerUnreachableError: Redis does not answer.
            BlobStoreError: the store cannot be written.
        """
        with self._errors():
            self._configured.check()

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
        """Translate a store's errors into errors of agewell."""
        try:
            yield
        except redis.RedisError as error:
            raise unreachable(self._settings, error) from error
        except OSError as error:
            url = self._settings.blob_url or "redis"
            kind = BlobStoreFullError if error.errno in _FULL else BlobStoreError
            raise kind(without_password(url), scrubbed(str(error), url)) from error


def _inline(ref: ImageRef, rest: str) -> bytes:
    """Decode the bytes of a data: URI (RFC 2397). It must be base64."""
    header, _, body = rest.partition(",")
    if not header.endswith(";base64"):
        raise BlobDamagedError(ref.name, _short(ref), "a data: URI must be base64")
    try:
        data = base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise BlobDamagedError(ref.name, _short(ref), f"bad base64: {error}") from None
    if len(data) > INLINE_MAX_BYTES:
        raise BlobDamagedError(
            ref.name, _short(ref), f"{len(data)} bytes inline, allowed are {INLINE_MAX_BYTES}"
        )
    return data


def _short(ref: ImageRef) -> str:
    return ref.uri if len(ref.uri) <= 80 else f"{ref.uri[:40]}..."
