"""Packs: several blobs in one file or object, and the place of each blob in it.

Creating a file or an object can take longer than writing its bytes, so blobs that are stored
together share one.
"""

import hashlib
import re
from collections.abc import Sequence

Blob = tuple[str, bytes]
"""(SHA-256 in hexadecimal, bytes)."""

NAME = r"[0-9a-f]{64}"
_PLACE = re.compile(rf"({NAME})(?:\+([0-9]{{1,12}}))?")


def pack(blobs: Sequence[Blob]) -> tuple[str, bytes, list[str]]:
    """Concatenate blobs.

    Returns:
        The pack's name, its bytes, and the place of each blob. The name of a single blob is its
        hash. The name of several is the hash of their hashes.
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


def parse(place: str) -> tuple[str, int] | None:
    """Split a place into the pack's name and the offset in bytes. Returns None if malformed."""
    found = _PLACE.fullmatch(place)
    return (found[1], int(found[2] or 0)) if found else None
