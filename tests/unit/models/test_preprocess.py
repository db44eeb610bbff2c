"""The fields of model.yaml's `input`, written by hand, against Pillow, OpenCV and the formula."""

import re

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image as Pillow
from PIL import ImageColor
from pydantic import ValidationError

from agewell.workers.models.input_spec import InputSpec
from agewell.workers.models.preprocess import as_input, fit, fitting_size, input_pixels
from agewell.workers.models.spec import ModelSpec
from tests.support.paths import ROOT


def an_image(height, width):
    rng = np.random.default_rng(height * 1000 + width)
    small = rng.integers(0, 256, (max(2, height // 9), max(2, width // 9), 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def by_pillow(image, height, width, name):
    resized = Pillow.fromarray(image).resize((width, height), Pillow.Resampling[name.upper()])
    return np.asarray(resized)


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"])
def test_filters_are_pillows(name):
    image = an_image(97, 131)
    found = fit(image, InputSpec(height=40, width=50, resample=name))
    np.testing.assert_array_equal(found, by_pillow(image, 40, 50, name))
    cropped = fit(image, InputSpec(height=40, width=40, fit="crop", resample=name))
    np.testing.assert_array_equal(cropped, by_pillow(image[:, 17 : 17 + 97], 40, 40, name))


def test_without_a_filter_opencv_resizes_as_before():
    image = an_image(97, 131)
    smaller = cv2.resize(image, (50, 40), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(fit(image, InputSpec(height=40, width=50)), smaller)
    larger = cv2.resize(image, (200, 150), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(fit(image, InputSpec(height=150, width=200)), larger)


@pytest.mark.parametrize(("height", "width"), [(97, 131), (131, 97), (60, 60)])
def test_shorter_side_is_resized_and_the_centre_cut_out(height, width):
    image = an_image(height, width)
    long = 64 * max(height, width) // min(height, width)
    size = (64, long) if height <= width else (long, 64)
    whole = by_pillow(image, *size, "bilinear")
    top, left = (size[0] - 56) // 2, (size[1] - 56) // 2
    found = fit(image, InputSpec(resize=64, height=56, width=56, resample="bilinear"))
    np.testing.assert_array_equal(found, whole[top : top + 56, left : left + 56])


def test_image_is_stretched_and_the_centre_cut_out():
    image = an_image(97, 131)
    whole = by_pillow(image, 64, 70, "bicubic")
    spec = InputSpec(resize=(64, 70), height=60, width=50, resample="bicubic")
    np.testing.assert_array_equal(fit(image, spec), whole[2:62, 10:60])
    stretched = fit(image, InputSpec(resize=(64, 70), resample="bicubic"))
    np.testing.assert_array_equal(stretched, whole)


def test_centre_is_cut_out_without_resizing_and_padded_with_black():
    image = an_image(30, 50)
    found = fit(image, InputSpec(resize=False, height=40, width=20))
    assert found.shape == (40, 20, 3)
    np.testing.assert_array_equal(found[5:35], image[:, 15:35])
    assert not found[:5].any()
    assert not found[35:].any()
    np.testing.assert_array_equal(fit(image, InputSpec(resize=False)), image)


@pytest.mark.parametrize(("height", "width"), [(2, 40_000), (40_000, 2)])
def test_long_thin_image_is_not_resized_whole(height, width):
    image = an_image(height, width)
    found = fit(image, InputSpec(resize=256, height=224, width=224, resample="bilinear"))
    # The cut is 224 / 256 of the shorter side: between 2 and 3 pixels around the middle.
    middle = image[:, 19_995:20_005] if height == 2 else image[19_995:20_005]
    expected = by_pillow(middle, *((256, 1280) if height == 2 else (1280, 256)), "bilinear")
    top, left = (expected.shape[0] - 224) // 2, (expected.shape[1] - 224) // 2
    expected = expected[top : top + 224, left : left + 224]
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("fields", "size", "expected"),
    [
        ({"resize": 50}, (100, 200), (50, 100)),
        ({"resize": 50}, (201, 100), (100, 50)),
        ({"resize": 50, "max_side": 80}, (100, 200), (40, 80)),
        ({"resize": 50, "multiple": 32}, (100, 200), (64, 96)),
        ({"resize": 50, "multiple": 32, "rounding": "up"}, (100, 200), (64, 128)),
        ({"resize": 70, "multiple": 32, "rounding": "down"}, (100, 200), (64, 128)),
        ({"multiple": 32, "rounding": "down"}, (20, 200), (32, 192)),
        ({"multiple": 32, "rounding": "up"}, (100, 200), (128, 224)),
        ({"resize": 7}, (1, 1), (7, 7)),
        ({"max_side": 80}, (100, 200), (40, 80)),
        ({"multiple": 32}, (100, 200), (96, 192)),
    ],
)
def test_size_without_a_fixed_one_follows_the_shorter_side_or_the_limits(fields, size, expected):
    spec = InputSpec(**fields)
    assert fitting_size(*size, spec) == expected
    assert as_input(an_image(*size), spec).shape[1:] == expected


def test_pixels_of_a_pass_are_those_of_the_input():
    image = an_image(100, 200)
    assert input_pixels(image, InputSpec(height=8, width=9)) == 72
    assert input_pixels(image, InputSpec(resize=16, height=8, width=9)) == 72
    assert input_pixels(image, InputSpec(resize=(16, 17))) == 272
    assert input_pixels(image, InputSpec(resize=50)) == 5000
    assert input_pixels(image, InputSpec()) == 20_000


@pytest.mark.parametrize("colours", ["rgb", "bgr", "gray"])
def test_values_are_scaled_and_shifted_and_normalised(colours):
    image = an_image(20, 30)
    mean, std = ([0.5], [0.25]) if colours == "gray" else ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    spec = InputSpec(scale=1 / 127.5, offset=-1, mean=mean, std=std, colours=colours)
    channels = {"rgb": image[..., ::-1], "bgr": image}
    if colours == "gray":
        channels["gray"] = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
    expected = (channels[colours] / 127.5 - 1 - mean) / std
    np.testing.assert_allclose(as_input(image, spec), expected.transpose(2, 0, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"resize": 0}, "resize"),
        ({"resize": True}, "resize"),
        ({"resize": [5]}, "resize"),
        ({"resize": "256"}, "resize"),
        ({"resize": 9, "fit": "crop", "height": 8, "width": 8}, "choose one"),
        ({"resample": "area"}, "resample"),
        ({"scale": 0}, "scale"),
        ({"scale": float("inf")}, "scale"),
        ({"offset": float("nan")}, "offset"),
        ({"background": None}, "in quotes"),  # YAML reads an unquoted # as a comment
        ({"background": "#12345"}, "must be a colour"),
        ({"background": "#12345678"}, "must be a colour"),
        ({"background": "transparent"}, "must be a colour"),
        ({"background": 0}, "must be a colour"),
    ],
)
def test_bad_values_are_refused_by_name(fields, words):
    with pytest.raises(ValidationError, match=words):
        InputSpec(**fields)


def test_colours_are_named_or_given_as_digits():
    assert InputSpec().background == "#ffffff"
    for _ in range(2):  # Pillow's table of colours changes when it is used
        assert InputSpec(background="White").background == "#ffffff"
        assert ImageColor.getrgb("white") == (255, 255, 255)
    assert InputSpec(background="#ABCDEF").background == "#abcdef"


MODELS_PAGE = (ROOT / "docs" / "models.md").read_text()


def test_docs_name_every_field_of_input():
    section = MODELS_PAGE.partition("## How an image becomes an input")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(
        InputSpec.model_fields
    )


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", MODELS_PAGE, re.DOTALL))
def test_each_model_yaml_of_the_docs_is_valid(text):
    ModelSpec.model_validate({"name": "m", "version": "1"} | yaml.safe_load(text))
