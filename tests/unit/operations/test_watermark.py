"""The operation watermark against "over" in float64, Pillow and ImageMagick."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from agewell.shared.errors import BadJobError, ParameterError, UnsupportedPixelsError
from agewell.workers.operations.declaration import ATTRIBUTE
from agewell.workers.operations.watermark import watermark
from tests.oracles.compositing import over
from tests.oracles.image_magick import convert, needs_image_magick

DEPTHS = [(), (3,), (4,)]
# The left edge of a watermark of 20 px on a photo of 101 px, and its top: 10 px on 61 px.
COLUMNS = {"west": 7, "": 40, "east": 74}
ROWS = {"north": 7, "": 25, "south": 44}
PLACES = {
    (row + column) or "center": (ROWS[row], COLUMNS[column]) for row in ROWS for column in COLUMNS
}


def an_image(*shape: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def assert_is_over(found, mark, photo, at, opacity=1.0) -> None:
    """Check that mark lies on photo at (top, left), and that nothing else changed."""
    window = (slice(at[0], at[0] + len(mark)), slice(at[1], at[1] + mark.shape[1]))
    colours, alpha = over(mark, photo[window], opacity)
    inside = found[window]
    if found.ndim == 2:
        inside = np.dstack([inside] * 3)
    if photo.shape[2:] == (4,):
        assert np.abs(inside[..., 3] - alpha).max() <= 0.5 + 1e-9
        clear = alpha == 0
        np.testing.assert_array_equal(inside[clear][:, :3], photo[window][clear][:, :3])
        assert np.abs(inside[..., :3] - colours)[~clear].max(initial=0) <= 0.5 + 1e-9
    else:
        assert found.ndim == 2 or found.shape[2] == 3
        assert np.abs(inside - colours).max() <= 0.5 + 1e-9
    outside = np.ones(found.shape[:2], bool)
    outside[window] = False
    kept = photo if photo.ndim == found.ndim else np.dstack([photo] * 3)
    np.testing.assert_array_equal(found[outside], kept[outside])


@pytest.mark.parametrize("gravity", PLACES)
def test_it_lies_at_its_side_or_corner_less_the_margin(gravity):
    photo, mark = an_image(61, 101, 3), an_image(10, 20, 4, seed=6)
    found = watermark(photo, mark, gravity=gravity, margin=7)
    assert_is_over(found, mark, photo, PLACES[gravity])


def test_it_lies_at_the_lower_right_by_default():
    photo, mark = an_image(61, 101, 3), an_image(10, 20, 4, seed=6)
    assert_is_over(watermark(photo, mark), mark, photo, (61 - 10 - 16, 101 - 20 - 16))


@pytest.mark.parametrize("photo_depth", DEPTHS)
@pytest.mark.parametrize("mark_depth", DEPTHS)
@pytest.mark.parametrize("opacity", [0, 0.3, 0.5, 1])
def test_every_kind_of_image_is_composited_by_the_formula(photo_depth, mark_depth, opacity):
    photo, mark = an_image(61, 101, *photo_depth), an_image(40, 50, *mark_depth, seed=6)
    found = watermark(photo, mark, opacity=opacity, gravity="northwest", margin=3)
    assert_is_over(found, mark, photo, (3, 3), opacity)
    assert (found.ndim == 2) == (photo_depth == mark_depth == ())


@pytest.mark.parametrize("mark_depth", DEPTHS)
def test_an_opaque_photo_with_alpha_gets_the_same_colours_and_stays_opaque(mark_depth):
    photo, mark = an_image(61, 101, 3), an_image(40, 50, *mark_depth, seed=6)
    with_alpha = np.dstack([photo, np.full((61, 101), 255, np.uint8)])
    found = watermark(with_alpha, mark, opacity=0.4)
    np.testing.assert_array_equal(found[..., :3], watermark(photo, mark, opacity=0.4))
    assert (found[..., 3] == 255).all()


# Pillow composites with whole numbers of 7 bits more than a byte, which is off by less than 1 if
# the alpha is not small.
@pytest.mark.parametrize("lowest", [40, 255])
def test_it_agrees_with_pillow_within_one(lowest):
    photo, mark = an_image(60, 90, 4), an_image(60, 90, 4, seed=6)
    photo[..., 3] = np.maximum(photo[..., 3], lowest)
    rgba = [Pillow.fromarray(each[..., [2, 1, 0, 3]]) for each in (photo, mark)]
    expected = np.asarray(Pillow.alpha_composite(*rgba), int)[..., [2, 1, 0, 3]]
    assert np.abs(watermark(photo, mark, margin=0) - expected).max() <= 1


# ImageMagick's result has 16 bits, so only our rounding is left. Its dissolve rounds the opacity.
@needs_image_magick
@pytest.mark.parametrize("gravity", ["northwest", "southeast", "north", "west"])
@pytest.mark.parametrize("depth", [3, 4])
@pytest.mark.parametrize(("opacity", "tolerance"), [(1, 0.51), (0.4, 1)])
def test_it_agrees_with_image_magick(tmp_path, gravity, depth, opacity, tolerance):
    photo, mark = an_image(61, 101, depth), an_image(11, 21, 4, seed=6)
    photo[..., 3:] |= 64
    cv2.imwrite(str(tmp_path / "logo.png"), mark)
    dissolve = ["-compose", "dissolve", "-define", f"compose:args={100 * opacity}"]
    place = ["-gravity", gravity, "-geometry", "+5+5" if len(gravity) > 5 else _shift(gravity)]
    options = [*(dissolve if opacity < 1 else []), *place, "-composite"]
    expected = convert(photo, str(tmp_path / "logo.png"), *options)
    found = watermark(photo, mark, gravity=gravity, margin=5, opacity=opacity)
    assert np.abs(found - expected).max() <= tolerance


def _shift(gravity: str) -> str:
    return "+0+5" if gravity in ("north", "south") else "+5+0"


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_relative_size_reduces_by_the_mean_of_whole_blocks(depth):
    photo, mark = an_image(60, 100, 3), an_image(80, 200, *depth, seed=6)
    found = watermark(photo, mark, size=0.5, gravity="northwest", margin=5)  # 200 px to 50 px
    values = mark.astype(float)
    if depth == (4,):
        values[..., :3] *= values[..., 3:] / 255
    blocks = values.reshape(20, 4, 50, 4, *depth).mean(axis=(1, 3))
    if depth == (4,):
        blocks[..., :3] *= 255 / blocks[..., 3:]
    # The reduced watermark is rounded to bytes, colours and alpha, before it is composited.
    assert_close = np.abs(found[5:25, 5:55] - over(blocks, photo[5:25, 5:55])[0]).max()
    assert assert_close <= 1.6
    np.testing.assert_array_equal(found[25:], photo[25:])


def test_a_relative_size_enlarges_a_small_watermark():
    photo, mark = an_image(60, 100, 3), np.full((4, 10, 3), (1, 100, 200), np.uint8)
    found = watermark(photo, mark, size=0.5, gravity="northwest", margin=5)
    assert (found[5:25, 5:55] == (1, 100, 200)).all()
    np.testing.assert_array_equal(found[25:], photo[25:])


def test_the_colour_of_a_watermarks_invisible_pixels_does_not_show():
    photo = np.zeros((60, 100, 3), np.uint8)
    mark = np.full((80, 80, 4), (255, 255, 255, 0), np.uint8)
    mark[13:50, 13:50] = (0, 0, 0, 255)
    for size in (0.1, 0.3):
        assert not watermark(photo, mark, size=size).any()


@pytest.mark.parametrize(
    ("mark", "size", "expected"),
    [
        ((40, 300), None, (12, 90)),  # too wide: 90 px is 100 less two margins
        ((200, 40), None, (50, 10)),  # too high: 60 less two margins
        ((50, 90), None, (50, 90)),  # just fits
        ((51, 90), None, (50, 88)),
        ((40, 300), 1, (12, 90)),  # the relative size is too large
        ((300, 300), 0.2, (20, 20)),
        ((1, 3000), 0.2, (1, 20)),
        ((3000, 1), None, (50, 1)),
    ],
)
def test_a_watermark_too_large_is_reduced_to_fit(mark, size, expected):
    photo = np.zeros((60, 100, 3), np.uint8)
    found = watermark(photo, np.full(mark, 255, np.uint8), margin=5, size=size, gravity="northwest")
    lit = np.argwhere(found[..., 0] == 255)
    assert tuple(lit.min(axis=0)) == (5, 5)
    assert tuple(lit.max(axis=0) - 4) == expected
    assert len(lit) == expected[0] * expected[1]


sides = st.integers(1, 40)
depths = st.sampled_from(DEPTHS)


@settings(deadline=None)
@given(
    st.tuples(sides, sides),
    st.tuples(sides, sides),
    depths,
    depths,
    st.sampled_from([0, 0.4, 1]),
    st.none() | st.floats(0.01, 1),
    st.sampled_from(list(PLACES)),
)
def test_images_of_any_shape_give_a_result_of_the_photos_size(
    photo_size, mark_size, photo_depth, mark_depth, opacity, size, gravity
):
    images = [an_image(*photo_size, *photo_depth), an_image(*mark_size, *mark_depth, seed=6)]
    copies = [image.copy() for image in images]
    for image in images:
        image.flags.writeable = False
    margin = min(3, (min(photo_size) - 1) // 2)
    found = watermark(*images, gravity=gravity, margin=margin, opacity=opacity, size=size)
    assert found.shape[:2] == photo_size
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert found.flags.writeable
    for image, copy in zip(images, copies, strict=True):
        np.testing.assert_array_equal(image, copy)


def test_a_margin_that_leaves_no_pixel_is_refused_with_the_largest():
    photo, mark = an_image(30, 100, 3), an_image(5, 5, 3)
    assert watermark(photo, mark, margin=14).shape == photo.shape
    with pytest.raises(ParameterError, match=r"margin is 15 px.*100 x 30 px; .*at most 14 px"):
        watermark(photo, mark, margin=15)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gravity", "middle"),
        ("margin", -1),
        ("margin", 1.5),
        ("opacity", -0.1),
        ("opacity", 1.1),
        ("opacity", float("nan")),
        ("size", 0),
        ("size", 1.1),
        ("size", float("nan")),
    ],
)
def test_a_value_outside_of_its_bounds_is_refused_by_name(name, value):
    with pytest.raises(BadJobError, match=name):
        getattr(watermark, ATTRIBUTE).read_parameters({name: value})


def test_the_photo_is_an_items_image_and_the_watermark_is_shared():
    schema = getattr(watermark, ATTRIBUTE).schema
    assert [each.name for each in schema.item_inputs] == ["photo"]
    assert [each.name for each in schema.shared_inputs] == ["image"]


def test_sixteen_bits_are_refused_by_the_name_of_the_image():
    wrong = np.zeros((2, 2, 3), np.uint16)
    with pytest.raises(UnsupportedPixelsError, match=r"photo.*uint16"):
        watermark(wrong, an_image(2, 2))
    with pytest.raises(UnsupportedPixelsError, match=r"image.*uint16"):
        watermark(an_image(40, 40), wrong)
