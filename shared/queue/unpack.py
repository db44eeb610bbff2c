"""Bounded decompression of message bodies.

kombu unpacks a body whole, and 4 MiB can become 4 GiB.
"""

import base64
import bz2
import lzma
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

from kombu.compression import get_encoder

from agewell.shared.queue.oversize import without_body

LZMA_MEMORY_BYTES = 64 * 2**20
"""Memory limit for LZMA's dictionary, whose size the data chooses."""

_STREAMS: dict[str, Callable[[], Any]] = {
    "application/x-gzip": zlib.decompressobj,
    "application/x-bz2": bz2.BZ2Decompressor,
    "application/x-lzma": partial(lzma.LZMADecompressor, memlimit=LZMA_MEMORY_BYTES),
}


def unpack(message: dict[str, Any], max_bytes: int) -> dict[str, Any]:
    """Return a message without compression.

    If its body is larger than `max_bytes` allows, the body is left out (see `oversize`).

    Raises:
        ValueError: the kind of compression is unknown, or the data is damaged.
    """
    kind = message["headers"].get("compression")
    if not kind:
        return message
    headers = {name: value for name, value in message["headers"].items() if name != "compression"}
    body = _unpacked(base64.b64decode(message["body"], validate=True), kind, max_bytes * 3 // 4)
    if body is None:
        return without_body(message, headers, max_bytes + 1)
    return message | {"headers": headers, "body": base64.b64encode(body).decode()}


def _unpacked(data: bytes, kind: Any, most: int) -> bytes | None:
    """Unpack bytes. Returns None if there are more than `most`."""
    try:
        stream = _STREAMS[get_encoder(kind)[1]]()
    except (KeyError, TypeError):
        raise ValueError(
            f"compressed with {kind!r:.40}, which no worker can unpack; use gzip, bzip2 or lzma"
        ) from None
    try:
        body: bytes = stream.decompress(data, most + 1)
    except (zlib.error, OSError, lzma.LZMAError) as error:
        raise ValueError(f"its compressed body is damaged: {error}") from None
    if len(body) > most:
        return None
    if not stream.eof:
        raise ValueError("its compressed body is cut off")
    return body
