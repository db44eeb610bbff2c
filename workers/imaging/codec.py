"""Decode image files into arrays and encode arrays as image files, within limits.

An image is a uint8 array with its origin at the top left: (H, W) gray, (H, W, 3) BGR or
(H, W, 4) BGR with straight alpha. A file that breaks a limit is refused by its header, before
a decoder sees it. Truncated files are detected in every format. Damaged pixels are detected by
the checksums of PNG and of some TIFF files. In other formats they are detected only if they
cannot be decoded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from agewell.shared.errors import (
    ImageTooLargeError,
    MultiFrameError,
    OperationError,
    ParameterError,
    UndecodableError,
    UnsupportedPixelsError,
)
from agewell.shared.metrics import Metric, tally
from agewell.shared.protocol.formats import FORMATS, Effort, Format
from agewell.workers.imaging.channels import channels
from agewell.workers.imaging.decoders import decode_pixels
from agewell.workers.imaging.headers import Header, read_header
from agewell.workers.imaging.image import Image
from agewell.workers.imaging.jpeg.pixels import reduced_size, reduction
from agewell.workers.imaging.metadata import Metadata
from agewell.workers.imaging.metadata_io import add_metadata
from agewell.workers.imaging.png import encode as png
from agewell.workers.process import memory

_UPRIGHT: dict[int, Callable[[Image], cv2.typing.MatLike]] = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
# Plain lossless WebP discards the colours of transparent pixels. This mode keeps them.
_LOSSLESS_WEBP = [cv2.IMWRITE_WEBP_LOSSLESS_MODE, cv2.IMWRITE_WEBP_LOSSLESS_PRESERVE_COLOR]
_DEFAULT_JPEG_QUALITY = 95


@dataclass(frozen=True)
class Limits:
    """The largest image that is accepted."""

    max_file_bytes: int = 64 * 2**20
    max_pixels: int = 50_000_000  # width times height
    max_side: int = 16_384  # px


def probe(data: bytes, name: str, limits: Limits) -> Header:
    """Read an image's header, and refuse the image if it is too large or not supported.

    Args:
        data: the whole file: JPEG, PNG, WebP, TIFF or BMP.
        name: the caller's name for the image. Every error message begins with it.
        limits: the largest image to accept.

    Returns:
        The header: format, width and height in px, frames and orientation.

    Raises:
        UnknownFormatError: the bytes are none of the five formats.
        ImageTooLargeError: more bytes, more pixels or a longer side than the limits allow.
        MultiFrameError: an animation, or several pages.
        UndecodableError: the header is damaged, or the file truncated.
        UnsupportedPixelsError: not 8 bits a channel, or neither gray nor RGB.
    """
    if len(data) > limits.max_file_bytes:
        found = f"{len(data):,} bytes; the limit is {limits.max_file_bytes:,} bytes a file"
        raise ImageTooLargeError(name, found)
    header = read_header(data, name)
    _check_size(header, name, limits)
    if header.frames > 1:
        raise MultiFrameError(name, f"{header.frames} frames or pages; the limit is 1")
    if header.refusal:
        raise UnsupportedPixelsError(name, f"not supported: {header.refusal}")
    return header


def _check_size(header: Header, name: str, limits: Limits) -> None:
    size = f"{header.width} x {header.height} px"
    if max(header.width, header.height) > limits.max_side:
        raise ImageTooLargeError(name, f"{size}; the limit is {limits.max_side:,} px a side")
    pixels = header.width * header.height
    if pixels > limits.max_pixels:
        found = f"{size} = {pixels:,} pixels; the limit is {limits.max_pixels:,} pixels"
        raise ImageTooLargeError(name, found)


DECODING_BYTES_A_PIXEL = 12
"""Memory to decode one pixel: the pixel with alpha, twice, and a decoder's own buffers."""

ENCODING_BYTES_A_PIXEL = 16
"""Memory to encode one pixel. Lossless WebP needs most: several copies of 32 bits a pixel."""


def decode(
    data: bytes, name: str, limits: Limits, at_least: tuple[int, int] | None = None
) -> Image:
    """Decode an image and turn it upright by its EXIF orientation, in every format.

    Args:
        data: the whole file: JPEG, PNG, WebP, TIFF or BMP.
        name: the caller's name for the image. Every error message begins with it.
        limits: the largest image to accept. They apply to its full size.
        at_least: the width and the height of the upright image, px, that suffice, or None for
            its full size. A JPEG is then decoded at a half, a quarter or an eighth of its size,
            the smallest that is at least this large in both directions. Other formats keep their
            full size.

    Returns:
        (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8. One-bit images
        are 0 and 255, palettes are resolved, gray with alpha becomes BGR with alpha.

    Raises:
        BadImageError: the errors of ``probe``, which are its subclasses. UndecodableError also
            means that the pixels are truncated or damaged.
        MemoryError: this process cannot allocate enough memory.
    """
    header = probe(data, name, limits)
    divisor = _divisor(header, at_least)
    try:
        with tally.timed(Metric.DECODE, header.image_format):
            image = decode_pixels(header.image_format, data, name, divisor)
    except UndecodableError:
        if memory.lacks(DECODING_BYTES_A_PIXEL * header.width * header.height):
            raise MemoryError("OpenCV calls a file damaged if it cannot allocate") from None
        raise
    sizes = (reduced_size(header.width, header.height, each) for each in (divisor, 1))
    if image.shape[1::-1] not in sizes:
        raise UndecodableError(name, "damaged: its size is not what its header says")
    upright = _UPRIGHT.get(header.orientation)
    return cast(Image, upright(image)) if upright else image


def _divisor(header: Header, at_least: tuple[int, int] | None) -> int:
    """Return how many times smaller than stored the image may be decoded."""
    if at_least is None or header.image_format != "jpeg":
        return 1
    turned = header.orientation >= 5  # by a right angle
    return reduction(header.width, header.height, at_least[::-1] if turned else at_least)


def encode(
    image: Image,
    image_format: Format,
    quality: int | None,
    name: str,
    effort: Effort = "fast",
    metadata: Metadata | None = None,
) -> bytes:
    """Encode an image.

    Args:
        image: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8.
        image_format: the format to write.
        quality: 1..100, only for JPEG and WebP. None is 95 for JPEG and lossless for WebP.
        name: the name of the image in error messages.
        effort: "fast" takes a third of the time of OpenCV's PNG for a file of the same size.
            "small" takes twenty times as long as "fast" and saves 10 to 30 %. It changes only PNG.
        metadata: EXIF and XMP to write, as far as the format can hold them. None writes none.

    Returns:
        The bytes of the file.

    Raises:
        ParameterError: the quality is outside its range, or the format has no quality.
        UnsupportedPixelsError: the array is not such an image, or it has an alpha channel and the
            format is JPEG.
        ImageTooLargeError: a side is longer than the format allows.
        OperationError: OpenCV cannot encode it.
        MemoryError: this process cannot allocate enough memory.
    """
    _check_encodable(image, image_format, name)
    options = _options(image_format, quality)
    data = _encoded(image, image_format, options, name, effort)
    return data if metadata is None else add_metadata(data, image_format, metadata)


def _encoded(
    image: Image, image_format: Format, options: list[int], name: str, effort: Effort
) -> bytes:
    try:
        with tally.timed(Metric.ENCODE, image_format):
            if image_format == "png":
                return png.encode(image, effort)
            done, encoded = cv2.imencode(f".{image_format}", np.ascontiguousarray(image), options)
    except cv2.error as error:
        if memory.is_exhausted(error):
            raise
        raise OperationError(name, f"OpenCV cannot encode it: {error.err}") from error
    if not done:
        if memory.lacks(ENCODING_BYTES_A_PIXEL * image.shape[0] * image.shape[1]):
            raise MemoryError("OpenCV returns no file if it cannot allocate memory")
        raise OperationError(name, f"cv2.imencode cannot write this image as {image_format}")
    return encoded.tobytes()


def _check_encodable(image: Image, image_format: Format, name: str) -> None:
    row = FORMATS[image_format]
    if channels(image, name) == 4 and not row.has_alpha:
        *others, last = (each.name for each in FORMATS.values() if each.has_alpha)
        choice = f"choose {', '.join(others)} or {last}"
        reason = f"an alpha channel, which {row.title} cannot hold; {choice}"
        raise UnsupportedPixelsError(name, reason)
    longest = row.longest_side
    if max(image.shape[:2]) > longest:
        found = f"{image.shape[1]} x {image.shape[0]} px"
        raise ImageTooLargeError(name, f"{found}; the limit of {image_format} is {longest:,} px")


def _options(image_format: Format, quality: int | None) -> list[int]:
    """Return OpenCV's encoding parameters: a flat list of pairs of name and value."""
    if quality is not None and not FORMATS[image_format].has_quality:
        raise ParameterError("quality", f"{quality} for {image_format}", "none: it is lossless")
    if quality is not None and not 1 <= quality <= 100:
        raise ParameterError("quality", str(quality), "1..100")
    if image_format == "jpeg":
        return [cv2.IMWRITE_JPEG_QUALITY, _DEFAULT_JPEG_QUALITY if quality is None else quality]
    if image_format == "webp":
        return _LOSSLESS_WEBP if quality is None else [cv2.IMWRITE_WEBP_QUALITY, quality]
    return []
