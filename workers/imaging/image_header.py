"""The header of an image as every format's reader returns it."""

from dataclasses import dataclass

from agewell.shared.protocol.formats import Format

MOST_PARTS = 100_000  # segments or chunks of one file; a 64 MiB PNG in 8 KiB chunks has 8,192
SAVE_8_BITS = "save it with 8 bits a channel"


@dataclass(frozen=True, slots=True)
class Header:
    """Facts about an image that are known before it is decoded."""

    image_format: Format
    width: int  # px, as stored: before the orientation is applied
    height: int  # px, as stored
    frames: int = 1  # pictures of an animation, or pages
    orientation: int = 1  # EXIF's 1..8; 1 is upright
    refusal: str | None = None  # why its pixels are not supported; None if they are
