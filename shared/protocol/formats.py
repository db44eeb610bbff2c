"""The image formats that agewell reads and writes, with one row for each.

To add a format, add a row here, and its reader and decoder in workers/imaging.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Format = Literal["png", "jpeg", "webp", "tiff", "bmp"]
"""The name of a format, as in job messages and in `--format`."""

Effort = Literal["fast", "small"]
"""The effort of lossless encoding: little time, or a small file. The pixels are the same."""

ImageMediaType = Literal["image/png", "image/jpeg", "image/webp", "image/tiff", "image/bmp"]


@dataclass(frozen=True)
class ImageFormat:
    """One image format."""

    name: Format
    title: str  # for people
    media_type: ImageMediaType
    suffixes: tuple[str, ...]  # in lower case
    magics: tuple[bytes, ...]  # a file begins with one of these
    magic_at_8: bytes = b""  # and has this at byte 8
    has_quality: bool = False  # an encoder has a quality of 1..100
    has_alpha: bool = True
    longest_side: int = 2**31 - 1  # px, the most that an encoder can write

    def matches(self, data: bytes) -> bool:
        """Return True if a file begins like one of this format."""
        end = 8 + len(self.magic_at_8)
        return data.startswith(self.magics) and data[8:end] == self.magic_at_8


_ROWS: Final = (
    ImageFormat(
        name="jpeg",
        title="JPEG",
        media_type="image/jpeg",
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"),
        magics=(b"\xff\xd8\xff",),
        has_quality=True,
        has_alpha=False,
        longest_side=65_500,
    ),
    ImageFormat(
        name="png",
        title="PNG",
        media_type="image/png",
        suffixes=(".png",),
        magics=(b"\x89PNG\r\n\x1a\n",),
    ),
    ImageFormat(
        name="webp",
        title="WebP",
        media_type="image/webp",
        suffixes=(".webp",),
        magics=(b"RIFF",),
        magic_at_8=b"WEBP",
        has_quality=True,
        longest_side=16_383,
    ),
    ImageFormat(
        name="tiff",
        title="TIFF",
        media_type="image/tiff",
        suffixes=(".tif", ".tiff"),
        magics=(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # the last two are BigTIFF
    ),
    ImageFormat(
        name="bmp",
        title="BMP",
        media_type="image/bmp",
        suffixes=(".bmp", ".dib"),
        magics=(b"BM",),
    ),
)

FORMATS: Final[Mapping[Format, ImageFormat]] = MappingProxyType({each.name: each for each in _ROWS})
"""The formats by name."""

IMAGE_SUFFIXES: Final = frozenset(suffix for each in _ROWS for suffix in each.suffixes)
"""The suffixes of all formats, in lower case, by which images in folders are found. A file that is
named directly may have any suffix."""


def find_format(data: bytes) -> ImageFormat | None:
    """Recognise the format of a file by its first bytes, or return None."""
    return next((each for each in _ROWS if each.matches(data)), None)
