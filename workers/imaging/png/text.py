"""Find EXIF blocks and XMP packets in the text chunks of a PNG.

XMP has a chunk with a fixed keyword. ImageMagick and ExifTool wrote EXIF as hexadecimal text
before PNG had a chunk for it, under the keyword "Raw profile type".

Only the first text of each keyword is unpacked, and only up to a limit, because a kilobyte can
unpack to a megabyte.
"""

import binascii
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from agewell.workers.imaging.orientation import EXIF_PREFIX, XMP_IN_JPEG

_MOST_TEXT_BYTES = 2**20  # an EXIF block has at most 64 KiB, twice that in hexadecimal
_LONGEST_KEYWORD = 79
XMP = b"XML:com.adobe.xmp"
_RAW_EXIF = (b"Raw profile type exif", b"Raw profile type APP1")
_RAW_XMP = (b"Raw profile type xmp", b"Raw profile type APP1")
_RAW_PROFILE = re.compile(rb"\n[^\n]*\n\s*(\d+)\n([0-9A-Fa-f\s]*)")  # name, length, content


class Text(NamedTuple):
    """A text chunk (tEXt, zTXt or iTXt) and the position of its content in the file."""

    kind: bytes
    data: bytes
    start: int
    end: int

    @property
    def keyword(self) -> bytes:
        """The chunk's keyword: the name of the text."""
        head = self.data[self.start : min(self.end, self.start + _LONGEST_KEYWORD + 1)]
        return head.partition(b"\0")[0]

    def content(self) -> bytes:
        """Return the text, unpacked and cut to _MOST_TEXT_BYTES, or b"" if it is damaged."""
        rest = self.data[self.start + len(self.keyword) + 1 : self.end]
        if self.kind == b"tEXt":
            return rest[:_MOST_TEXT_BYTES]
        if self.kind == b"zTXt":
            return _unpacked(rest[1:])
        packed, rest = rest[:1] == b"\1", rest[2:]
        _language, _, rest = rest.partition(b"\0")
        _translated, _, rest = rest.partition(b"\0")
        return _unpacked(rest) if packed else rest[:_MOST_TEXT_BYTES]


def exif_in(texts: Sequence[Text]) -> Iterator[bytes]:
    """Yield the EXIF blocks in a PNG's texts."""
    profiles = (_raw_profile(text.content()) for text in _first_of(texts, _RAW_EXIF))
    return (each for each in profiles if not each.startswith(XMP_IN_JPEG))


def xmp_in(texts: Sequence[Text]) -> Iterator[bytes]:
    """Yield the XMP packets in a PNG's texts."""
    yield from (text.content() for text in _first_of(texts, [XMP]))
    profiles = (_raw_profile(text.content()) for text in _first_of(texts, _RAW_XMP))
    yield from (each for each in profiles if not each.startswith(EXIF_PREFIX))


def _first_of(texts: Sequence[Text], keywords: Iterable[bytes]) -> Iterator[Text]:
    """Yield the first text of each keyword."""
    for keyword in keywords:
        yield from [text for text in texts if text.keyword == keyword][:1]


def _raw_profile(text: bytes) -> bytes:
    """Return the bytes of a profile written in hexadecimal, or b"" if it is damaged."""
    found = _RAW_PROFILE.match(text)
    if found is None:
        return b""
    digits = b"".join(found[2].split())
    try:
        return binascii.unhexlify(digits[: len(digits) // 2 * 2])
    except binascii.Error:
        return b""


def _unpacked(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _MOST_TEXT_BYTES)
    except zlib.error:
        return b""
