"""The orientation of a picture, from its EXIF block or from its XMP packet.

If both give one, EXIF counts, as in Pillow. Adobe's programs write the same value in both.

Sources: Exif 3.0, 4.6.5.1.6, for the values; Adobe, "XMP specification part 2", section 2.4.
"""

import re
from collections.abc import Iterable
from itertools import chain

from agewell.workers.imaging.tiff import tags

XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
EXIF_PREFIX = b"Exif\0\0"

_IN_XMP = re.compile(
    rb"""\btiff:Orientation\s*(?:=\s*["']\s*([1-8])\s*["']|>\s*([1-8])\s*</tiff:Orientation)"""
)


def find_orientation(exif: Iterable[bytes], xmp: Iterable[bytes]) -> int:
    """Return the first orientation found, 1..8: in EXIF, then in XMP. The default is 1, upright.

    Args:
        exif: EXIF blocks, with or without the prefix that JPEG gives them. Later blocks are read
            only if the earlier ones have no orientation.
        xmp: XMP packets, read only if no EXIF block has an orientation.
    """
    from_exif = (tags.exif_orientation(block.removeprefix(EXIF_PREFIX)) for block in exif)
    from_xmp = (_xmp_orientation(packet) for packet in xmp)
    return next((found for found in chain(from_exif, from_xmp) if found), 1)


def _xmp_orientation(packet: bytes) -> int | None:
    """Return the orientation in an XMP packet, or None.

    A regular expression is used, as in Pillow, and not an XML parser: a packet may be cut off, and
    XML entities can expand to gigabytes.
    """
    found = _IN_XMP.search(packet)
    return int(found[1] or found[2]) if found else None


def with_upright_xmp(packet: bytes) -> bytes:
    """Return an XMP packet with every orientation replaced by 1. Its length does not change."""
    return _IN_XMP.sub(_upright, packet)


def _upright(found: re.Match[bytes]) -> bytes:
    digit = found.start(found.lastindex or 1) - found.start()
    return found[0][:digit] + b"1" + found[0][digit + 1 :]
