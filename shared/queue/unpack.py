"""Bodies that their sender compressed: unpacked here, and no further than a message may be.

kombu unpacks them whole: 4 MiB become 4 GiB.
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
"""For the dictionary, which the data may ask to be of any size."""

_STREAMS: dict[str, Callable[[], Any]] = {
    "application/x-gzip": zlib.decompressobj,
    "application/x-bz2": bz2.BZ2Decompressor,
    "application/x-lzma": partial(lzma.LZMADecompressor, memlimit=LZMA_MEMORY_BYTES),
}


def unpack(message: dict[str, Any], max_bytes: int) -> dict[str, Any]:
    """A message without compression; without its body, if that is larger than a message may be.

    Raises:
        ValueError: it is compressed in a way that is unknown here, or damaged.
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
    """The unpacked bytes; None if there are more than so many."""
    try:
        stream = _STREAMS[get_encoder(kind)[1]]()
    except (KeyError, TypeError):
        raise ValueError(f"compressed with {kind!r:.40}, which no worker unpacks") from None
    try:
        body: bytes = stream.decompress(data, most + 1)
    except (zlib.error, OSError, lzma.LZMAError) as error:
        raise ValueError(f"compressed, and damaged: {error}") from None
    if len(body) > most:
        return None
    if not stream.eof:
        raise ValueError("compressed, and cut off")
    return body
