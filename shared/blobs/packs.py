"""Blobs laid end to end in packs: a pack's name, and the place of each blob in it.

To make a file, or an object, can cost more than to write it, so what is stored together is one.
"""

import hashlib
import re
from collections.abc import Sequence

Blob = tuple[str, bytes]
"""(SHA-256 in hexadecimal, bytes)."""

NAME = r"[0-9a-f]{64}"
_PLACE = re.compile(rf"({NAME})(?:\+([0-9]{{1,12}}))?")


def pack(blobs: Sequence[Blob]) -> tuple[str, bytes, list[str]]:
    """Lay blobs end to end: the pack's name, its bytes, and the place of each blob.

    A pack of one is named by the blob's own hash, one of several by the hash of theirs.
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
    """A place's pack and offset; None if it is no place."""
    found = _PLACE.fullmatch(place)
    return (found[1], int(found[2] or 0)) if found else None
