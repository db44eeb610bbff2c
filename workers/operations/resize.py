"""Change the size of images."""

from typing import Any, Literal

from agewell.shared.errors import ParameterError
from agewell.workers.imaging.geometry import (
    Gravity,
    Side,
    Size,
    check_result,
    cut,
    fitted,
    gravitate,
)
from agewell.workers.imaging.image import Image
from agewell.workers.imaging.resampling import Filter, reduce_part, resample
from agewell.workers.imaging.shrunk import whole_size
from agewell.workers.operations.context import JobContext
from agewell.workers.operations.declaration import operation

Mode = Literal["fit", "fill", "exact"]


def _needs(
    whole: Size,
    *,
    width: int | None,
    height: int | None,
    mode: Mode,
    enlarge: bool,
    filter: Filter,  # noqa: A002
    **_others: Any,
) -> Size | None:
    """Twice the size of the result suffices, except to copy single pixels."""
    if filter == "nearest" or _is_incomplete(width, height, mode):
        return None
    part, size = planned(whole, width, height, mode, enlarge)
    return 2 * size[0] * whole[0] // part[0], 2 * size[1] * whole[1] // part[1]


def _is_incomplete(width: int | None, height: int | None, mode: Mode) -> bool:
    return None in (width, height) and (mode != "fit" or width is height)


@operation(example="photos/ --width 1600", needs=_needs)
def resize(
    image: Image,
    *,
    width: Side | None = None,
    height: Side | None = None,
    mode: Mode = "fit",
    enlarge: bool = False,
    filter: Filter = "auto",  # noqa: A002
    gravity: Gravity = "center",
    context: JobContext,
) -> Image:
    """Resize images, in the same aspect ratio or another.

    Without ``enlarge``, no side becomes longer than it is. A smaller image then stays as it is
    (fit), keeps its pixels and is only cut to the box (fill), or becomes smaller in one direction
    (exact). So the result can be smaller than the box.

    A JPEG that becomes less than half as large is decoded at a half, a quarter or an eighth of its
    size, which is faster.

    Args:
        image: the image to resize. uint8, (H, W) gray, (H, W, 3) BGR or
            (H, W, 4) BGR with straight alpha.
        width: width of the result, px. With `fit` you may give only one of width and height.
        height: height of the result, px.
        mode: `fit` keeps the aspect ratio, within width and height. `fill` covers both, and cuts
            off the rest. `exact` takes both as they are, and distorts the image.
        enlarge: allow the result to be larger than the image.
        filter: `auto` reduces by `area` and enlarges by `lanczos`. `lanczos` is sharper when it
            reduces. `linear` enlarges faster, and `nearest` only copies pixels.
        gravity: the side or corner that `fill` keeps, or the middle.
        context: gives the largest size.

    Returns:
        The resized image, with the channels of the given one. With `fit`, the side that the box
        does not set is rounded to nearest, halves upwards, and is at least 1 px. With `fill`, whole
        pixels of the image are cut off before it is resized, so the aspect ratio may change by half
        a pixel of the image.

    Raises:
        ParameterError: neither width nor height is given, or only one for `fill` or `exact`.
        ImageTooLargeError: the result would be larger than the settings allow.
    """
    whole, scale = whole_size(image, context.files.get("image"))
    part, size = planned(whole, width, height, mode, enlarge)
    check_result(size, context.settings)
    x, y = gravitate(part, whole, gravity)
    if scale == 1:
        return resample(cut(image, (x, y), part), size, filter)
    box = x * scale, y * scale, part[0] * scale, part[1] * scale
    return reduce_part(image, size, box, filter)


def planned(
    given: Size, width: int | None, height: int | None, mode: Mode, enlarge: bool
) -> tuple[Size, Size]:
    """Return the size of the part of an image to resize, and the size of the result."""
    if mode == "fit":
        size = fitted(given, width, height)
        return given, size if enlarge or size == _smaller(size, given) else given
    box = _both(width, height, mode)
    size = box if enlarge else _smaller(box, given)
    return _part(given, box, enlarge) if mode == "fill" else given, size


def _smaller(one: Size, other: Size) -> Size:
    return min(one[0], other[0]), min(one[1], other[1])


def _both(width: int | None, height: int | None, mode: Mode) -> Size:
    if width is None or height is None:
        missing = "width" if width is None else "height"
        raise ParameterError(
            missing, "not given", f"a number of pixels, as {mode} needs both sides"
        )
    return width, height


def _part(given: Size, box: Size, enlarge: bool) -> Size:
    """Return the size of the part of an image that becomes the result of `fill`."""
    if not enlarge and (given[0] <= box[0] or given[1] <= box[1]):
        return _smaller(box, given)
    return fitted(box, given[0], given[1])
