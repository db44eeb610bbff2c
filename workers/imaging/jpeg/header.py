"""The JPEG format: reading the header, and removing the metadata.

Source: ITU-T T.81, annex B.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from agewell.workers.imaging.image_header import MOST_PARTS, SAVE_8_BITS, Header
from agewell.workers.imaging.orientation import EXIF_PREFIX, XMP_IN_JPEG, find_orientation

MOST_SCANS = 100
"""The most scans of one file. libjpeg processes the whole picture for each scan, even for a scan
of a few bytes. Encoders write 10 to 30 scans. libjpeg-turbo's tools suggest limits of 100 to 500.
"""

MOST_SCANNED_PIXELS = 1_000_000_000
"""The largest product of scans and pixels: 20 scans of the largest picture, 50 megapixels."""

_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])", re.DOTALL)
"""A marker that begins a segment or ends the picture: any but 0x01 and 0xD0 to 0xD8."""

_APP0, _APP1, _APP14, _COMMENT = 0xE0, 0xE1, 0xEE, 0xFE
_END, _SCAN = 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
METADATA = frozenset(range(_APP0, 0xF0)) | {_COMMENT}
_COLOUR_MODEL = {_APP0: b"JFIF\0", _APP14: b"Adobe"}  # metadata that decoders need for the colours
_PROCESSES = {
    0xC3: "lossless JPEG", 0xC5: "hierarchical JPEG", 0xC6: "hierarchical JPEG",
    0xC7: "hierarchical JPEG", 0xCB: "lossless JPEG", 0xCD: "hierarchical JPEG",
    0xCE: "hierarchical JPEG", 0xCF: "hierarchical JPEG",
}  # fmt: skip


class Segment(NamedTuple):
    """A marker and the position of its content."""

    marker: int
    begin: int  # of the marker
    start: int  # of the content
    end: int  # of the content


def read_header(data: bytes) -> Header:
    """Read the header of a JPEG file.

    Raises:
        ValueError: the file has no picture, is damaged, or ends before its end mark.
        struct.error: the file ends within its header.
    """
    segments = list(read_segments(data))
    frames = [each for each in segments if each.marker in _FRAMES]
    scans = sum(each.marker == _SCAN for each in segments)
    if not frames or not scans:
        raise ValueError("a JPEG that has no picture")
    if len(frames) > 1:
        raise ValueError(f"damaged: a JPEG with {len(frames)} frame headers")
    bits, height, width, channels = struct.unpack_from(">BHHB", data, frames[0].start)
    if height == 0:
        raise ValueError(
            f"its header says {width} x 0 px: the height is given after the pixels (DNL), "
            "which is not supported; save it again as JPEG"
        )
    refusal = _refusal(frames[0].marker, bits, channels) or _scans_refusal(scans, width * height)
    return Header("jpeg", width, height, 1, _orientation(data, segments), refusal)


def pixels_only(data: bytes) -> bytes:
    """Return the file without its metadata and without bytes after its end mark."""
    segments = list(read_segments(data))
    following = [each.begin for each in segments[1:]] + [len(data)]
    kept = [
        data[each.begin : end]
        for each, end in zip(segments, following, strict=True)
        if each.marker not in METADATA or _decides_on_colours(data, each)
    ]
    return b"".join([data[:2], *kept])


def _decides_on_colours(data: bytes, segment: Segment) -> bool:
    prefix = _COLOUR_MODEL.get(segment.marker)
    return prefix is not None and data.startswith(prefix, segment.start, segment.end)


def read_segments(data: bytes) -> Iterator[Segment]:
    """Yield every segment. The end mark is the last one.

    Raises:
        ValueError: there is no end mark, or there are too many segments.
        struct.error: the file ends within a segment's length.
    """
    position = 2
    for _ in range(MOST_PARTS):
        found = _MARKER.search(data, position)
        if found is None:
            raise ValueError("truncated: a JPEG without its end mark")
        marker, begin, start = found[1][0], found.start(), found.end()
        if marker == _END:
            yield Segment(marker, begin, start, start)
            return
        (length,) = struct.unpack_from(">H", data, start)
        yield Segment(marker, begin, start + 2, start + length)
        position = start + max(2, length)
    raise ValueError(f"a JPEG of more than {MOST_PARTS} segments")


def _orientation(data: bytes, segments: list[Segment]) -> int:
    blocks = [data[each.start : each.end] for each in segments if each.marker == _APP1]
    exif = [block for block in blocks if block.startswith(EXIF_PREFIX)]
    xmp = [block for block in blocks if block.startswith(XMP_IN_JPEG)]
    return find_orientation(exif, xmp)


def _refusal(process: int, bits: int, channels: int) -> str | None:
    if process in _PROCESSES:
        return f"{_PROCESSES[process]}; save it as PNG"
    if bits != 8:
        return f"{bits} bits a channel; {SAVE_8_BITS}"
    if channels not in (1, 3):
        return f"{channels} channels, as CMYK has; save it as RGB or gray"
    return None


def _scans_refusal(scans: int, pixels: int) -> str | None:
    """Return the reason to refuse this number of scans, or None."""
    most = min(MOST_SCANS, MOST_SCANNED_PIXELS // max(1, pixels))
    if scans <= most:
        return None
    return f"{scans:,} scans; the limit is {most} for a JPEG of its size; save it again as JPEG"
