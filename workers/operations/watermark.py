"""Place a watermark over photos."""

from collections.abc import Iterator
from typing import Annotated, Final, cast

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from agewell.shared.errors import ParameterError
from agewell.workers.imaging.alpha import is_opaque
from agewell.workers.imaging.channels import channels, split_alpha
from agewell.workers.imaging.geometry import (
    Gravity,
    Size,
    cut,
    described,
    fitted,
    gravitate,
    size_of,
)
from agewell.workers.imaging.image import Image
from agewell.workers.imaging.resampling import resample
from agewell.workers.operations.alpha_blend import alpha_blend
from agewell.workers.operations.declaration import SharedImage, operation

_ROWS: Final = 16  # rows composited at a time, so that intermediate values stay in the cache

Values = npt.NDArray[np.float64]


@operation
def watermark(
    photo: Image,
    image: SharedImage,
    *,
    gravity: Gravity = "southeast",
    margin: Annotated[int, Field(ge=0, le=65_535)] = 16,
    opacity: Annotated[float, Field(ge=0, le=1)] = 1.0,
    size: Annotated[float, Field(gt=0, le=1)] | None = None,
) -> Image:
    """Place a watermark, such as a logo, over photos.

    The watermark keeps its aspect ratio. If it is larger than the photo less the margin at all four
    sides, it is reduced to fit. It is reduced by area, and enlarged by Lanczos. Only the pixels
    under it are computed.

    Args:
        photo: the image to mark.
        image: the watermark. It may have an alpha channel.
        gravity: the side or corner of the photo at which the watermark lies, or the middle.
        margin: distance from that side or corner, px.
        opacity: 0 hides the watermark, 1 shows it as it is. It is multiplied with its alpha.
        size: the width of the watermark as a part of the photo's width, above 0 to 1. By default,
            it keeps its own width in px.

    Returns:
        uint8, the size of the photo: gray if both images are gray, or else BGR. If the photo has
        alpha, the result has, too, and is composited "over" the photo, with straight alpha.
        Outside the watermark, it is the unchanged photo.

    Raises:
        ParameterError: the margin leaves no pixel of the photo.
        UnsupportedPixelsError: an array is not an image.

    Source: Porter and Duff, "Compositing digital images", SIGGRAPH 1984 ("over").
    """
    depth = channels(photo, "photo"), channels(image, "image")
    photo = np.ascontiguousarray(photo)
    mark = resample(image, _mark_size(size_of(image), size_of(photo), margin, size))
    corner = gravitate(size_of(mark), size_of(photo), gravity, margin)
    if depth[0] < 4:
        result = alpha_blend(mark, photo, alpha=opacity, offset=corner)
        return cast(Image, cv2.extractChannel(result, 0)) if depth == (1, 1) else result
    result = photo.copy()
    place = cut(result, corner, size_of(mark))
    place[:] = _over(mark, place, opacity)
    return result


def _mark_size(own: Size, photo: Size, margin: int, size: float | None) -> Size:
    """Return the width and the height of a watermark on a photo."""
    room = photo[0] - 2 * margin, photo[1] - 2 * margin
    if min(room) < 1:
        found = f"{margin} px at each side of {described(photo)}"
        raise ParameterError("margin", found, f"at most {(min(photo) - 1) // 2} px for this photo")
    wanted = own if size is None else fitted(own, max(1, round(size * photo[0])), None)
    fits = wanted[0] <= room[0] and wanted[1] <= room[1]
    return wanted if fits else fitted(own, *room)


def _over(mark: Image, photo: Image, opacity: float) -> Image:
    """Composite a watermark over a photo of the same size that has alpha: (H, W, 4)."""
    if is_opaque(photo):
        colours, alpha = split_alpha(photo, "photo")
        blended = alpha_blend(mark, colours, alpha=opacity)
        return cast(Image, cv2.merge([blended, alpha]))  # type: ignore[list-item]
    colours, own_alpha = split_alpha(mark, "image")
    result = np.empty(photo.shape, np.uint8)
    for rows in _blocks(len(photo)):
        over: Values = np.full(photo[rows].shape[:2], opacity, np.float64)
        if own_alpha is not None:
            over *= own_alpha[rows] / 255
        result[rows] = _rounded_over(colours[rows], over, photo[rows])
    return result


def _rounded_over(colours: Image, over: Values, under: Image) -> Values:
    """Composite colours of the weight over, 0..1, on an image with alpha.

    With straight alpha, the alpha is over + (1 - over) * under, and the colours are a mean by the
    weights over and (1 - over) * under. A pixel without any alpha keeps the colour it has.
    """
    alpha = over + (1 - over) * (under[..., 3] / 255)
    weight = np.divide(over, alpha, out=np.zeros_like(over), where=alpha > 0)
    below = under[..., :3].astype(np.float64)
    mixed = below + weight[..., None] * (colours - below)
    return np.dstack([mixed, 255 * alpha]) + 0.5  # rounded as it becomes uint8


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(top, top + _ROWS) for top in range(0, rows, _ROWS))
