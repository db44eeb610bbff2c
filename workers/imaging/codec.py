"""Bytes <-> arrays, limits first.

An image is a uint8 array with its origin at the top left: (H, W) gray, (H, W, 3) BGR or
(H, W, 4) BGR and straight alpha. Whatever breaks a limit is refused by its header, before
a decoder sees it. Truncation is found in every format. Damage within the pixels is found by a
checksum in PNG and some TIFF files; elsewhere only if it makes them undecodable.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from agewell.shared.errors import (
    ImageTooLargeError,
    MultiFrameError,
    OperationError,
    ParameterError,
    UndecodableError,
    UnsupportedPixelsError,
)
from agewell.shared.metrics import Metric, tally
from agewell.workers.imaging.decoders import decode_pixels
from agewell.workers.imaging.headers import Header, ImageFormat, read_header
from agewell.workers.process import memory

Image = npt.NDArray[np.uint8]

_UPRIGHT: dict[int, Callable[[Image], cv2.typing.MatLike]] = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
_LONGEST_SIDES = {"jpeg": 65_500, "webp": 16_383}  # px, that the encoders can write
# Plain lossless WebP clears the colours under a clear alpha; this mode leaves them.
_LOSSLESS_WEBP = [cv2.IMWRITE_WEBP_LOSSLESS_MODE, cv2.IMWRITE_WEBP_LOSSLESS_PRESERVE_COLOR]
_DEFAULT_JPEG_QUALITY = 95


@dataclass(frozen=True)
class Limits:
    """What one image may measure."""

    max_file_bytes: int = 64 * 2**20
    max_pixels: int = 50_000_000
    max_side: int = 16_384  # px


def probe(data: bytes, name: str, limits: Limits) -> Header:
    """Read an image's header, and refuse what is too large or not taken.

    Args:
        data: the whole file: JPEG, PNG, WebP, TIFF or BMP.
        name: the caller's name for it; every error's text begins with it.
        limits: what it may measure.

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
        raise UnsupportedPixelsError(name, f"not taken: {header.refusal}")
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
"""The pixels, with alpha, twice; and what a decoder keeps beside them."""

ENCODING_BYTES_A_PIXEL = 16
"""Lossless WebP keeps the pixels as 32 bits each, several times."""


def decode(data: bytes, name: str, limits: Limits) -> Image:
    """Decode an image, upright: its EXIF orientation is applied, in every format alike.

    Args:
        data: the whole file: JPEG, PNG, WebP, TIFF or BMP.
        name: the caller's name for it; every error's text begins with it.
        limits: what it may measure.

    Returns:
        (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8. One-bit images
        are 0 and 255, palettes are resolved, gray with alpha becomes BGR with alpha.

    Raises:
        BadImageError: one of its kinds, as ``probe`` raises them; UndecodableError also when
            the pixels are truncated or damaged.
        MemoryError: this process may not allocate what it takes.
    """
    header = probe(data, name, limits)
    try:
        with tally.timed(Metric.DECODE, header.image_format):
            image = decode_pixels(header.image_format, data, name)
    except UndecodableError:
        if memory.lacks(DECODING_BYTES_A_PIXEL * header.width * header.height):
            raise MemoryError("OpenCV calls a file damaged if it cannot allocate") from None
        raise
    upright = _UPRIGHT.get(header.orientation)
    if upright:
        image = cast(Image, upright(image))
    expected = (header.height, header.width)
    if image.shape[:2] != (expected if header.orientation < 5 else expected[::-1]):
        raise UndecodableError(name, "damaged: its size is not what its header says")
    return image


def encode(image: Image, image_format: ImageFormat, quality: int | None, name: str) -> bytes:
    """Encode an image.

    Args:
        image: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8.
        image_format: what to write.
        quality: 1..100, for JPEG and WebP alone; None is 95 for JPEG and lossless for WebP.
        name: what the errors call the image.

    Raises:
        ParameterError: a quality outside of its range, or for a format that has none.
        UnsupportedPixelsError: no such image, or alpha, which JPEG cannot hold.
        ImageTooLargeError: a side longer than the format can hold.
        OperationError: OpenCV cannot encode it.
    """
    _check_encodable(image, image_format, name)
    options = _options(image_format, quality)
    try:
        with tally.timed(Metric.ENCODE, image_format):
            done, encoded = cv2.imencode(f".{image_format}", np.ascontiguousarray(image), options)
    except cv2.error as error:
        if memory.is_exhausted(error):
            raise
        raise OperationError(name, f"cv2.imencode: {error.err}") from error
    if not done:
        if memory.lacks(ENCODING_BYTES_A_PIXEL * image.shape[0] * image.shape[1]):
            raise MemoryError("OpenCV makes nothing if it cannot allocate")
        raise OperationError(name, f"cv2.imencode: no {image_format} can be made of it")
    return encoded.tobytes()


def _check_encodable(image: Image, image_format: ImageFormat, name: str) -> None:
    if channels(image, name) == 4 and image_format == "jpeg":
        reason = "an alpha channel, which JPEG cannot hold; choose png, webp, tiff or bmp"
        raise UnsupportedPixelsError(name, reason)
    longest = _LONGEST_SIDES.get(image_format, 2**31 - 1)
    if max(image.shape[:2]) > longest:
        found = f"{image.shape[1]} x {image.shape[0]} px"
        raise ImageTooLargeError(name, f"{found}; the limit of {image_format} is {longest:,} px")


def _options(image_format: ImageFormat, quality: int | None) -> list[int]:
    """OpenCV's parameters: pairs of a name and a value."""
    if quality is not None and image_format not in ("jpeg", "webp"):
        raise ParameterError("quality", f"{quality} for {image_format}", "none: it is lossless")
    if quality is not None and not 1 <= quality <= 100:
        raise ParameterError("quality", str(quality), "1..100")
    if image_format == "jpeg":
        return [cv2.IMWRITE_JPEG_QUALITY, _DEFAULT_JPEG_QUALITY if quality is None else quality]
    if image_format == "webp":
        return _LOSSLESS_WEBP if quality is None else [cv2.IMWRITE_WEBP_QUALITY, quality]
    return []


def channels(image: Image, name: str) -> int:
    """How many channels an image has: 1, 3 or 4.

    Raises:
        UnsupportedPixelsError: it is no image as ``decode`` returns them.
    """
    count = 1 if image.ndim == 2 else image.shape[2] if image.ndim == 3 else 0
    if image.dtype != np.uint8 or count not in (1, 3, 4) or image.size == 0:
        found = f"an array of shape {image.shape} and type {image.dtype}"
        raise UnsupportedPixelsError(name, f"{found}; taken: uint8, (H, W), (H, W, 3), (H, W, 4)")
    return count


def split_alpha(image: Image, name: str) -> tuple[Image, Image | None]:
    """The colours, (H, W, 3) BGR, gray repeated; and the alpha, (H, W), if there is one."""
    count = channels(image, name)
    if count == 1:
        return cast(Image, cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)), None
    if count == 3:
        return image, None
    colours = cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
    return cast(Image, colours), cast(Image, cv2.extractChannel(image, 3))


def as_bgr(image: Image, name: str) -> Image:
    """(H, W, 3) BGR of an image without alpha; gray is repeated.

    Raises:
        UnsupportedPixelsError: it has an alpha channel, which would be lost.
    """
    colours, alpha = split_alpha(image, name)
    if alpha is not None:
        raise UnsupportedPixelsError(name, "has an alpha channel; flatten it first")
    return colours


def as_mask(image: Image, name: str) -> Image:
    """(H, W) mask, 0..255, of an image without alpha.

    Colours are averaged over their three channels, as fpie does, and rounded. A mask whose
    largest value is 1 is one of zeros and ones, and is spread to 0 and 255.

    Raises:
        UnsupportedPixelsError: it has an alpha channel, so that it is unclear which is meant.
    """
    if channels(image, name) == 4:
        raise UnsupportedPixelsError(name, "a mask with an alpha channel; save it as gray")
    mask = image if image.ndim == 2 else _channel_mean(image)
    return mask * np.uint8(255) if mask.max() == 1 else mask


def _channel_mean(image: Image) -> Image:
    """The mean of one or three channels, rounded; a third of a whole number is never a tie."""
    if image.shape[2] == 1:
        return image[..., 0]
    return cast(Image, cv2.transform(image, np.full((1, 3), 1 / 3)))
