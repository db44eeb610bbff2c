"""How a picture is turned upright: the orientation in its EXIF block, else in its XMP packet.

EXIF comes first if both give one, as in Pillow. Adobe's programs write both alike.

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
    """The first orientation, 1..8, that a block gives: EXIF's, then XMP's; 1 if none does.

    Args:
        exif: EXIF blocks, with or without the prefix that JPEG gives them; read if reached.
        xmp: XMP packets.
    """
    from_exif = (tags.exif_orientation(block.removeprefix(EXIF_PREFIX)) for block in exif)
    from_xmp = (_xmp_orientation(packet) for packet in xmp)
    return next((found for found in chain(from_exif, from_xmp) if found), 1)


def _xmp_orientation(packet: bytes) -> int | None:
    """The orientation in an XMP packet; None if it gives none.

    A pattern, as Pillow has it, and no XML parser: a packet may be cut, and entities may grow.
    """
    found = _IN_XMP.search(packet)
    return int(found[1] or found[2]) if found else None
