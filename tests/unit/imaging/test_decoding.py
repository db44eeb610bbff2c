"""Bytes to arrays: files that are taken, files that are refused, and the words for it."""

import io
import time

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from agewell.shared.errors import BadImageError, ImageTooLargeError, UndecodableError
from agewell.workers.imaging.codec import Limits, decode, probe
from tests.support.bad_images import CASES, REFUSED, TAKEN, Case
from tests.support.image_files import file_of, picture, png_chunk, png_of, read_by_pillow

LIMITS = Limits()


def by_name(case: Case) -> str:
    return case.name


def channels_of(image: np.ndarray) -> int:
    return 1 if image.ndim == 2 else image.shape[2]


@pytest.mark.parametrize("case", REFUSED, ids=by_name)
def test_bad_image_is_refused_by_name_with_the_finding(case):
    with pytest.raises(BadImageError) as caught:
        decode(case.data, case.name, LIMITS)
    assert type(caught.value) is case.error
    text = str(caught.value)
    assert text.startswith(f"{case.name}: ")
    assert [word for word in case.words if word not in text] == []


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("case", TAKEN, ids=by_name)
def test_an_odd_image_decodes_to_the_pixels_that_pillow_reads(case):
    data = case.data
    image = decode(data, case.name, LIMITS)
    assert image.dtype == np.uint8
    expected = read_by_pillow(data, channels_of(image))
    # Two JPEG decoders may differ by a rounding of the inverse cosine transform.
    tolerance = 2 if data.startswith(b"\xff\xd8") else 0
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("1.png", (32, 48)),
        ("l.png", (32, 48)),
        ("p.png", (32, 48, 3)),
        ("rgb.png", (32, 48, 3)),
        ("la.png", (32, 48, 4)),
        ("rgba.png", (32, 48, 4)),
        ("rgba.tiff", (32, 48, 4)),
        ("rgba.webp", (32, 48, 4)),
        ("transparent_palette.png", (32, 48, 4)),
        ("half_transparent.png", (32, 48, 4)),
        ("1.tiff", (32, 48)),
        ("1.bmp", (32, 48)),
        ("gray.jpg", (32, 48)),
        ("colour.jpg", (32, 48, 3)),
        ("l.webp", (32, 48, 3)),
    ],
)
def test_gray_stays_gray_and_alpha_is_kept(name, shape):
    [case] = [case for case in TAKEN if case.name == name]
    assert decode(case.data, name, LIMITS).shape == shape


def test_one_bit_images_become_black_and_white():
    image = decode(file_of("PNG", picture("1")), "bit.png", LIMITS)
    assert set(np.unique(image)) == {0, 255}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("case", TAKEN, ids=by_name)
def test_probe_tells_the_size_and_format_that_pillow_tells(case):
    header = probe(case.data, case.name, LIMITS)
    image = Pillow.open(io.BytesIO(case.data))
    assert (header.width, header.height) == image.size
    assert header.image_format.upper() == image.format
    assert (header.frames, header.orientation) == (1, 1)


ORIENTED = [
    (image_format, mode, orientation)
    for image_format, modes in [
        ("JPEG", ("RGB", "L")),
        ("PNG", ("RGB", "L", "RGBA")),
        ("WEBP", ("RGB", "RGBA")),
        ("TIFF", ("RGB", "L", "RGBA", "1")),
    ]
    for mode in modes
    for orientation in range(1, 9)
]


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """EXIF's eight orientations by their definition: the sides that row 0 and column 0 are on."""
    turn = {
        1: lambda a: a,  # row 0 at the top, column 0 at the left
        2: lambda a: a[:, ::-1],  # top, right
        3: lambda a: a[::-1, ::-1],  # bottom, right
        4: lambda a: a[::-1],  # bottom, left
        5: lambda a: a.swapaxes(0, 1),  # left, top
        6: lambda a: a.swapaxes(0, 1)[:, ::-1],  # right, top
        7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],  # right, bottom
        8: lambda a: a.swapaxes(0, 1)[::-1],  # left, bottom
    }
    return turn[orientation](stored)


def oriented(image_format: str, mode: str, orientation: int) -> bytes:
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    if image_format == "TIFF":
        return file_of("TIFF", picture(mode), tiffinfo={274: orientation})
    return file_of(image_format, picture(mode), exif=exif, **options)


@pytest.mark.parametrize(("image_format", "mode", "orientation"), ORIENTED)
def test_the_orientation_is_applied_in_every_format(image_format, mode, orientation):
    stored = decode(oriented(image_format, mode, 1), "stored", LIMITS)
    turned = decode(oriented(image_format, mode, orientation), "turned", LIMITS)
    np.testing.assert_array_equal(turned, upright(stored, orientation))


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_probe_tells_the_orientation_and_the_size_as_stored(image_format):
    header = probe(oriented(image_format, "RGB", 6), "turned", LIMITS)
    assert (header.orientation, header.width, header.height) == (6, 48, 32)


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_is_upright(orientation):
    assert probe(oriented("JPEG", "RGB", orientation), "odd.jpg", LIMITS).orientation == 1


def test_the_orientation_is_read_in_either_byte_order():
    block = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    assert probe(file_of("JPEG", exif=block), "motorola.jpg", LIMITS).orientation == 6


def test_the_orientation_is_found_behind_the_pixels_of_a_png():
    block = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0\0\0\0\0"
    pixels, end = file_of("PNG")[:-12], file_of("PNG")[-12:]
    assert probe(pixels + png_chunk(b"eXIf", block) + end, "late.png", LIMITS).orientation == 8


def test_a_thumbnail_in_the_exif_block_does_not_hide_a_truncation():
    data = file_of("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0" + file_of("JPEG"))
    assert decode(data, "whole.jpg", LIMITS).shape == (32, 48, 3)
    with pytest.raises(UndecodableError, match="end mark"):
        decode(data[:-20], "cut.jpg", LIMITS)


def test_a_photo_with_a_second_picture_behind_it_is_taken_as_its_first():
    data = file_of("MPO", save_all=True, append_images=[picture().rotate(180)])
    assert Pillow.open(io.BytesIO(data)).n_frames == 2
    image = decode(data, "phone.jpg", LIMITS)
    np.testing.assert_allclose(image, read_by_pillow(data, 3), atol=2)


def test_colours_under_a_clear_alpha_are_kept_in_a_tiff():
    image = picture("RGBA")
    image.putalpha(0)
    decoded = decode(file_of("TIFF", image), "clear.tif", LIMITS)
    np.testing.assert_array_equal(decoded[..., :3], np.asarray(picture())[..., ::-1])
    assert not decoded[..., 3].any()


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        (Limits(max_side=47), "48 x 32 px; the limit is 47 px a side"),
        (Limits(max_pixels=1_535), "48 x 32 px = 1,536 pixels; the limit is 1,535 pixels"),
        (Limits(max_file_bytes=100), "bytes; the limit is 100 bytes a file"),
    ],
)
def test_exceeded_limit_is_named_with_the_size(limits, found):
    with pytest.raises(ImageTooLargeError) as caught:
        decode(file_of("PNG"), "cat.png", limits)
    assert str(caught.value).startswith("cat.png: ")
    assert found in str(caught.value)


def test_an_image_just_at_the_limits_is_taken():
    data = file_of("PNG")
    limits = Limits(max_file_bytes=len(data), max_pixels=1_536, max_side=48)
    assert decode(data, "cat.png", limits).shape == (32, 48, 3)


@pytest.mark.alone
def test_a_bomb_is_refused_without_being_decoded():
    started = time.perf_counter()
    with pytest.raises(ImageTooLargeError):
        decode(png_of(16_000, 16_000), "bomb.png", LIMITS)
    assert time.perf_counter() - started < 0.5


def test_a_picture_smaller_than_its_header_says_is_refused(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: np.zeros((31, 48, 3), np.uint8))
    with pytest.raises(UndecodableError, match="size is not what its header says"):
        decode(file_of("PNG"), "odd.png", LIMITS)


def test_mutated_images_decode_or_are_refused_and_nothing_else():
    seeds = [case.data for case in CASES if case.name not in ("bytes.jpg", "bomb.tif")]
    random = np.random.default_rng(20_240_229)
    limits = Limits(max_pixels=1_000_000)
    outcomes = {"decoded": 0, "refused": 0}
    for turn in range(1_500):
        data = bytearray(seeds[turn % len(seeds)])
        for _ in range(random.integers(1, 9) if data else 0):
            # Half of the hits fall on the header, where they do most.
            reach = len(data) if random.random() < 0.5 else min(len(data), 128)
            data[random.integers(reach)] = random.choice(
                [0, 1, 127, 128, 255, random.integers(256)]
            )
        try:
            assert decode(bytes(data), f"mutated {turn}", limits).dtype == np.uint8
            outcomes["decoded"] += 1
        except BadImageError as error:
            assert str(error).startswith(f"mutated {turn}: ")
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 50


@pytest.mark.parametrize("case", ["colour.jpg", "rgb.png", "rgb.webp", "rgb.tiff", "rgb.bmp"])
def test_a_file_cut_anywhere_is_refused_or_shows_every_pixel(case):
    [data] = [each.data for each in TAKEN if each.name == case]
    whole = decode(data, case, LIMITS)
    for length in range(0, len(data), max(1, len(data) // 150)):
        try:
            image = decode(data[:length], case, LIMITS)
        except BadImageError:
            continue
        np.testing.assert_array_equal(image, whole)
