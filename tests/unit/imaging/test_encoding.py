"""Arrays to bytes, and the small conversions that operations need."""

import dataclasses

import cv2
import numpy as np
import pytest

from agewell.shared.errors import ImageTooLargeError, ParameterError, UnsupportedPixelsError
from agewell.workers.imaging.channels import as_bgr, as_mask, split_alpha
from agewell.workers.imaging.codec import Limits, decode, encode
from tests.support.image_files import read_by_pillow

LIMITS = Limits()
LOSSLESS = ["png", "webp", "tiff", "bmp"]


def an_image(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("image_format", LOSSLESS)
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (20, 30, 4), (1, 1, 3)])
def test_lossless_encoding_decodes_to_the_same_pixels(image_format, shape):
    image = an_image(*shape)
    decoded = decode(encode(image, image_format, None, "x"), "x", LIMITS)
    if image_format == "webp" and len(shape) == 2:  # which knows no gray
        decoded = decoded[..., 0]
    np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize("image_format", LOSSLESS)
def test_pillow_reads_what_is_encoded(image_format):
    image = an_image(20, 30, 3)
    data = encode(image, image_format, None, "x")
    np.testing.assert_array_equal(read_by_pillow(data, 3), image)


def test_jpeg_is_of_quality_95_unless_asked_otherwise():
    image = cv2.GaussianBlur(an_image(64, 64, 3), (0, 0), 3)
    assert encode(image, "jpeg", None, "x") == encode(image, "jpeg", 95, "x")
    assert len(encode(image, "jpeg", 30, "x")) < len(encode(image, "jpeg", 95, "x"))
    decoded = decode(encode(image, "jpeg", None, "x"), "x", LIMITS)
    assert np.abs(decoded.astype(int) - image).mean() < 2


def test_webp_loses_something_only_when_a_quality_is_given():
    image = an_image(64, 64, 3)
    assert len(encode(image, "webp", 80, "x")) < len(encode(image, "webp", None, "x"))


def test_an_array_that_does_not_lie_in_one_piece_is_encoded():
    image = an_image(20, 30, 3)[::-1, ::2]
    np.testing.assert_array_equal(decode(encode(image, "png", None, "x"), "x", LIMITS), image)


def test_alpha_is_never_dropped_by_encoding():
    with pytest.raises(UnsupportedPixelsError, match=r"cat: an alpha channel.*JPEG.*png"):
        encode(an_image(4, 4, 4), "jpeg", None, "cat")


@pytest.mark.parametrize(
    ("image_format", "quality"), [("jpeg", 0), ("jpeg", 101), ("webp", -1), ("png", 90)]
)
def test_a_quality_that_means_nothing_is_refused(image_format, quality):
    with pytest.raises(ParameterError, match="quality"):
        encode(an_image(4, 4, 3), image_format, quality, "x")


def test_a_side_too_long_for_the_format_is_refused():
    with pytest.raises(ImageTooLargeError, match=r"16384 x 1 px.*webp.*16,383"):
        encode(an_image(1, 16_384, 3), "webp", None, "long")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint16),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_array_that_is_no_image_is_neither_encoded_nor_converted(array):
    for use in (lambda: encode(array, "png", None, "odd"), lambda: as_bgr(array, "odd")):
        with pytest.raises(UnsupportedPixelsError, match=r"odd: .*shape"):
            use()


def test_gray_becomes_colour_by_repetition():
    gray = an_image(5, 6)
    np.testing.assert_array_equal(as_bgr(gray, "x"), np.dstack([gray] * 3))


def test_colour_with_alpha_is_split_not_dropped():
    image = an_image(5, 6, 4)
    colours, alpha = split_alpha(image, "x")
    np.testing.assert_array_equal(np.dstack([colours, alpha]), image)
    with pytest.raises(UnsupportedPixelsError, match="alpha"):
        as_bgr(image, "x")


def test_a_colour_mask_is_the_rounded_mean_of_its_channels():
    mask = an_image(50, 60, 3)
    np.testing.assert_array_equal(as_mask(mask, "m"), np.rint(mask.mean(axis=2)))


def test_a_mask_of_zeros_and_ones_is_spread_to_255():
    bits = an_image(5, 6) % 2
    np.testing.assert_array_equal(as_mask(bits, "m"), bits * 255)
    np.testing.assert_array_equal(as_mask(np.dstack([bits] * 3), "m"), bits * 255)


@pytest.mark.parametrize("mask", [np.zeros((3, 3), np.uint8), np.full((3, 3), 2, np.uint8)])
def test_any_other_mask_is_taken_as_it_is(mask):
    np.testing.assert_array_equal(as_mask(mask, "m"), mask)


def test_a_mask_with_alpha_is_refused():
    with pytest.raises(UnsupportedPixelsError, match="alpha"):
        as_mask(an_image(3, 3, 4), "m")


def test_the_limits_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LIMITS.max_side = 1
