"""Every bad image through the real queue: refused in words, and the worker goes on unharmed.

They are sent as any Celery program might send them, past all checks of the command line.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from agewell.shared.errors import AllItemsFailedError, UnknownFormatError
from tests.support import bad_images
from tests.support.bad_images import REFUSED, Case
from tests.support.image_files import file_of, picture, png_of
from tests.support.messages import Document, ask, bytes_of, hsv_job, inline, stored
from tests.support.pixels import expected_hsv, same
from tests.support.stack import Stack

INLINE_MAX_BYTES = 32 * 1024

HUGE = Case(
    "forty_thousand.png",
    lambda: png_of(40_000, 40_000),
    bad_images.ImageTooLargeError,
    ("40000 x 40000", "16,384 px"),
)


pytestmark = pytest.mark.usefixtures("unharmed")


def reference(stack: Stack, case: Case) -> Document:
    """Small images ride in the message, large ones lie in Redis."""
    data = case.data
    send = inline(data, case.name) if len(data) <= INLINE_MAX_BYTES else None
    return send or stored(stack, data, case.name)


@pytest.mark.parametrize("case", [HUGE, *REFUSED], ids=lambda case: case.name)
def test_a_bad_image_is_refused_in_words(stack: Stack, case: Case):
    assert case.error is not None
    with pytest.raises(case.error) as raised:
        ask(stack, "cv.hsv", hsv_job(reference(stack, case)))
    for word in (case.name, *case.words):
        assert word in str(raised.value)
    assert raised.type is case.error


def test_one_bad_image_does_not_fail_its_neighbours(stack: Stack):
    good = inline(file_of("PNG"), "good.png")
    bad = inline(b"Dear Sir or Madam,", "letter.jpg")
    answer = ask(stack, "cv.hsv", hsv_job(good, bad, good))
    first, second, third = answer["items"]
    for item in (first, third):
        assert "error" not in item
        assert same(bytes_of(stack, item["image"]), expected_hsv(file_of("PNG")))
    assert second["error"]["code"] == "UnknownFormatError"
    assert "letter.jpg" in second["error"]["message"]
    assert "image" not in second


def test_a_job_of_bad_images_alone_fails_with_an_error_for_each(stack: Stack):
    letters = [inline(f"Letter {number}".encode(), f"{number}.jpg") for number in range(3)]
    with pytest.raises(AllItemsFailedError, match="all 3 items failed") as raised:
        ask(stack, "cv.hsv", hsv_job(*letters))
    assert [error["code"] for error in raised.value.errors] == [UnknownFormatError.__name__] * 3
    for number, error in enumerate(raised.value.errors):
        assert f"{number}.jpg" in error["message"]


def test_odd_images_are_read_as_pillow_reads_them(stack: Stack, tmp_path: Path):
    odd = {case.name: case.data for case in bad_images.TAKEN if not case.name.endswith(".jpg")}
    exif = Pillow.Exif()
    exif[0x0112] = 6  # orientation: a quarter turn clockwise
    odd["turned.png"] = file_of("PNG", picture(), exif=exif)
    folder = tmp_path / "odd"
    for name, data in odd.items():
        (folder / name).mkdir(parents=True)
        (folder / name / name).write_bytes(data)
    out = tmp_path / "out"
    stack.ok("enqueue", "hsv", folder, "--out", out)
    for name, data in odd.items():
        [written] = (out / name).iterdir()
        assert same(written.read_bytes(), expected_hsv(data)), name


def test_a_jpeg_from_a_turned_camera_comes_out_upright(stack: Stack, tmp_path: Path):
    exif = Pillow.Exif()
    exif[0x0112] = 8
    source = tmp_path / "turned.jpg"
    source.write_bytes(file_of("JPEG", picture(), exif=exif))
    stack.ok("enqueue", "hsv", source, "--out", tmp_path)
    upright = cv2.imread(str(source))  # OpenCV turns it
    found = cv2.imread(str(tmp_path / "turned.hsv.png"))
    assert found.shape == (48, 32, 3)
    np.testing.assert_array_equal(found, cv2.cvtColor(upright, cv2.COLOR_BGR2HSV))
