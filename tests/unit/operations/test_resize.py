"""Sizes of resized images against fractions, and pixels against Pillow and ImageMagick."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agewell.shared.errors import BadJobError, ImageTooLargeError, ParameterError
from agewell.shared.settings import Settings
from agewell.workers.imaging.resampling import resample
from agewell.workers.operations.context import JobContext
from agewell.workers.operations.declaration import ATTRIBUTE
from agewell.workers.operations.resize import resize
from tests.oracles.image_magick import convert, needs_image_magick
from tests.oracles.resampling import by_coverage, by_pillow

CONTEXT = JobContext(Settings())
CHANNELS = [(), (3,), (4,)]


def an_image(*shape: int) -> np.ndarray:
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    image.flags.writeable = False
    return image


def resized(image: np.ndarray, **options) -> np.ndarray:
    return resize(image, context=CONTEXT, **options)


def size_of(image: np.ndarray) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def rounded(value: Fraction) -> int:
    """Round to nearest, halves upwards, but not to 0."""
    return max(1, int(value + Fraction(1, 2)))


sides = st.integers(1, 60)
boxes = st.tuples(st.none() | sides, st.none() | sides).filter(any)


@settings(deadline=None)
@given(sides, sides, boxes, st.booleans(), st.sampled_from(CHANNELS))
def test_fit_keeps_the_aspect_ratio_within_the_box(width, height, box, enlarge, channels):
    found = resized(
        an_image(height, width, *channels), width=box[0], height=box[1], enlarge=enlarge
    )
    scale = min(
        Fraction(wanted, given)
        for wanted, given in zip(box, (width, height), strict=True)
        if wanted is not None
    )
    if not enlarge:
        scale = min(scale, Fraction(1))
    assert size_of(found) == (rounded(width * scale), rounded(height * scale))
    assert found.shape[2:] == channels
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous


@settings(deadline=None)
@given(sides, sides, sides, sides, st.sampled_from(["fill", "exact"]))
def test_fill_and_exact_have_the_size_of_the_box(width, height, wanted_width, wanted_height, mode):
    image = an_image(height, width, 3)
    box = {"width": wanted_width, "height": wanted_height, "mode": mode}
    assert size_of(resized(image, enlarge=True, **box)) == (wanted_width, wanted_height)
    expected = min(wanted_width, width), min(wanted_height, height)
    assert size_of(resized(image, **box)) == expected


@pytest.mark.parametrize("mode", ["fit", "exact"])
def test_a_smaller_image_stays_as_it_is(mode):
    image = an_image(20, 30, 3)
    np.testing.assert_array_equal(resized(image, width=40, height=40, mode=mode), image)


def test_fill_without_enlarging_cuts_but_does_not_scale():
    image = an_image(20, 30, 3)
    found = resized(image, width=10, height=40, mode="fill", gravity="east")
    np.testing.assert_array_equal(found, image[:, 20:])


@pytest.mark.parametrize(
    ("gravity", "part"),
    [("west", (0, 20)), ("northwest", (0, 20)), ("center", (20, 40)), ("south", (20, 40)),
     ("east", (40, 60)), ("southeast", (40, 60))],
)  # fmt: skip
def test_fill_keeps_the_part_at_the_gravity(gravity, part):
    image = an_image(20, 60, 3)
    found = resized(image, width=5, height=5, mode="fill", gravity=gravity)
    expected = by_coverage(image[:, slice(*part)], (5, 5))
    assert np.abs(found - expected).max() <= 0.51  # one rounding


def test_fill_of_a_line_needs_no_large_image_in_between():
    line = an_image(1, 10_000, 3)
    found = resized(line, width=500, height=500, mode="fill", enlarge=True)
    assert (found == line[0, 4999]).all()


def test_exact_distorts():
    image = an_image(20, 60, 3)
    found = resized(image, width=6, height=10, mode="exact", filter="area")
    assert np.abs(found - by_coverage(image, (6, 10))).max() <= 0.51  # one rounding


@pytest.mark.parametrize("by", ["lanczos", "linear", "nearest"])
@pytest.mark.parametrize("size", [(250, 167), (50, 33), (750, 500)])
def test_a_picture_agrees_with_pillow(by, size):
    image = cv2.GaussianBlur(an_image(333, 500, 3), (0, 0), 1)
    found = resized(image, width=size[0], filter=by, enlarge=True)
    difference = np.abs(found.astype(int) - by_pillow(image, size, by))
    if by == "nearest":  # a centre between two pixels may fall to either
        assert (difference > 0).mean() < 0.01
        return
    # Both round after each direction. A rounding of the first may change that of the second.
    assert difference.max() <= 2
    assert (difference > 1).mean() < 1e-4


@needs_image_magick
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("size", [(50, 33), (75, 50), (20, 13)])
def test_lanczos_agrees_with_imagemagick(channels, size):
    image = cv2.GaussianBlur(an_image(133, 200, *channels), (0, 0), 2)
    found = resized(image, width=size[0], height=size[1], mode="exact", filter="lanczos")
    options = ["-filter", "Lanczos", "-resize", f"{size[0]}x{size[1]}!"]
    expected = convert(image, *options)
    # ImageMagick's Lanczos is the same kernel. Rounding of two directions, and 16 bits.
    visible = found[..., 3] > 20 if channels == (4,) else ...
    assert np.abs(found[visible] - expected[visible]).max() <= 1.5


@needs_image_magick
@pytest.mark.parametrize("gravity", ["northwest", "center", "southeast"])
def test_fill_agrees_with_imagemagick_on_a_smooth_image(gravity):
    image = cv2.GaussianBlur(an_image(120, 200, 3), (0, 0), 6)
    found = resized(image, width=40, height=40, mode="fill", gravity=gravity, filter="lanczos")
    options = ["-filter", "Lanczos", "-resize", "40x40^", "-gravity", gravity, "-extent", "40x40"]
    # It cuts after resizing to 67 pixels, so its part lies at another fraction of a pixel.
    assert np.abs(found - convert(image, *options)).max() <= 3


def test_alpha_is_premultiplied():
    image = an_image(20, 60, 4)
    found = resized(image, width=30)
    np.testing.assert_array_equal(found, resample(image, (30, 10)))
    hidden = np.array(image)
    hidden[image[..., 3] == 0] = (255, 255, 255, 0)
    np.testing.assert_array_equal(resized(hidden, width=30), found)


@pytest.mark.parametrize("mode", ["fill", "exact"])
@pytest.mark.parametrize(("given", "missing"), [("width", "height"), ("height", "width")])
def test_fill_and_exact_need_both_sides(mode, given, missing):
    with pytest.raises(ParameterError, match=f"{missing} is not given; .* as {mode} needs both"):
        resized(an_image(4, 4), mode=mode, **{given: 3})


def test_fit_needs_one_side():
    with pytest.raises(ParameterError, match="a width, a height or both"):
        resized(an_image(4, 4))


def test_a_result_over_the_limit_is_refused_before_it_is_made():
    limits = JobContext(Settings(max_side=1000, max_pixels=50_000))
    with pytest.raises(ImageTooLargeError, match="image: the result would be 1001 x 10 px"):
        resize(an_image(1, 100), width=1001, enlarge=True, context=limits)
    with pytest.raises(ImageTooLargeError, match=r"1000 x 1000 px; the limit is 50,000 pixels"):
        resize(an_image(5, 5), width=1000, enlarge=True, context=limits)
    # Without enlarging, a large box is no large result.
    assert resize(an_image(5, 5), width=60_000, context=limits).shape == (5, 5)


@pytest.mark.parametrize(
    "values",
    [
        {"width": 0},
        {"height": -1},
        {"width": 65_536},
        {"width": 1, "mode": "crop"},
        {"width": 1, "filter": "cubic"},
        {"width": 1, "gravity": "up"},
    ],
)
def test_bad_parameters_are_refused(values):
    with pytest.raises(BadJobError):
        getattr(resize, ATTRIBUTE).read_parameters(values)
