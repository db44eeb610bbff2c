"""The PNG encoder: its files are valid, others read them back exactly, and they are small."""

import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from agewell.workers.imaging.codec import Limits, decode, encode
from agewell.workers.imaging.png.filters import FILTERS, Rows
from tests.support.image_files import read_by_pillow
from tests.support.paths import PHOTOS

EFFORTS = ["fast", "small"]
LIMITS = Limits()
SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4])).map(
    lambda shape: shape[:2] if shape[2] == 1 else shape
)


def a_photo(width: int, height: int) -> np.ndarray:
    photo = cv2.imread(str(PHOTOS / "kodim23-macaws.jpg"))
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_CUBIC)


def a_screenshot(height: int = 600, width: int = 800) -> np.ndarray:
    image = np.full((height, width, 3), 250, np.uint8)
    for line in range(20, height, 25):
        words = f"line {line}: the quick brown fox jumps over the lazy dog"
        cv2.putText(image, words, (10, line), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40))
    cv2.rectangle(image, (500, 100), (780, 400), (200, 120, 20), -1)
    return image


def by_opencv(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def check_structure(data: bytes) -> list[bytes]:
    """Check signature, chunks and checksums as pngcheck does. Returns the kinds of the chunks."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    kinds, pixels, position = [], b"", 8
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        content = data[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
        assert zlib.crc32(kind + content) == checksum
        pixels += content if kind == b"IDAT" else b""
        kinds.append(kind)
        position += 12 + length
    width, height, depth, colours, *rest = struct.unpack_from(">IIBBBBB", data, 16)
    unpacker = zlib.decompressobj()
    rows = unpacker.decompress(pixels)  # checks zlib's header and Adler-32
    assert unpacker.eof and not unpacker.unused_data
    channels = {0: 1, 2: 3, 6: 4}[colours]
    assert (depth, rest, len(rows)) == (8, [0, 0, 0], height * (1 + width * channels))
    assert set(rows[:: 1 + width * channels]) <= {0, 1, 2, 3, 4}
    return kinds


@settings(max_examples=60, deadline=None)
@given(SHAPES.flatmap(lambda shape: arrays.arrays(np.uint8, shape)), st.sampled_from(EFFORTS))
@example(np.arange(4, dtype=np.uint8).reshape(4, 1), "fast")  # OpenCV could take it for a scalar
@example(np.arange(12, dtype=np.uint8).reshape(4, 1, 3), "small")
@example(np.random.default_rng(1).integers(0, 256, (3, 16_384, 4), dtype=np.uint8), "fast")
@example(np.random.default_rng(1).integers(0, 256, (700, 301, 3), dtype=np.uint8), "small")
def test_opencv_and_pillow_read_the_same_pixels(image, effort):
    image.flags.writeable = False
    data = encode(image, "png", None, "x", effort)
    kinds = check_structure(data)
    assert (kinds[0], kinds[-1], set(kinds[1:-1])) == (b"IHDR", b"IEND", {b"IDAT"})
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read, image)
    channels = 1 if image.ndim == 2 else image.shape[2]
    np.testing.assert_array_equal(read_by_pillow(data, channels), image)
    np.testing.assert_array_equal(decode(data, "x", LIMITS), image)


@pytest.mark.parametrize("view", ["rows backwards", "columns backwards", "every second", "one row"])
def test_views_are_encoded_like_their_copies(view):
    image = a_photo(120, 90)
    views = {
        "rows backwards": image[::-1],
        "columns backwards": image[:, ::-1],
        "every second": image[::2, ::2],
        "one row": np.broadcast_to(image[:1], image.shape),
    }
    expected = encode(views[view].copy(), "png", None, "x")
    assert encode(views[view], "png", None, "x") == expected


def predicted(kind: int, left: int, above: int, corner: int) -> int:
    """Predict a byte, as the specification says it in words (PNG, section 9.2)."""
    nearest = min((left, above, corner), key=lambda each: abs(left + above - corner - each))
    return [0, left, above, (left + above) // 2, nearest][kind]


@pytest.mark.parametrize("kind", FILTERS)
def test_filters_follow_the_specification(kind):
    random = np.random.default_rng(5)
    corners = np.array([[0, 1, 127, 128, 254, 255]], np.uint8)
    grid = np.array(np.meshgrid(corners, corners, corners)).reshape(3, 12, 18).astype(np.uint8)
    noise = random.integers(0, 256, (3, 40, 18), dtype=np.uint8)
    near = random.integers(100, 106, (3, 40, 18), dtype=np.uint8)
    left, above, corner = np.concatenate([grid, noise, near], axis=1)
    here = random.integers(0, 256, left.shape, dtype=np.uint8)
    out = np.empty_like(here)
    FILTERS[kind](Rows(here, left, above, corner), out)
    neighbours = zip(left.flat, above.flat, corner.flat, strict=True)
    expected = [predicted(kind, *(int(each) for each in three)) for three in neighbours]
    np.testing.assert_array_equal(out.ravel(), here.ravel() - np.array(expected, np.uint8))


@pytest.mark.parametrize("convert", [cv2.COLOR_BGR2HSV, cv2.COLOR_BGR2GRAY, cv2.COLOR_BGR2BGRA])
def test_fast_photo_is_as_small_as_by_opencv(convert):
    image = cv2.cvtColor(a_photo(1280, 720), convert)
    assert len(encode(image, "png", None, "x")) <= 1.05 * len(by_opencv(image))


def test_flat_graphics_are_no_larger_than_by_opencv():
    image = a_screenshot()
    alpha = np.where(image[..., 0] == 250, 0, 255).astype(np.uint8)
    for each in (image, image[..., 0], np.dstack([image, alpha])):
        assert len(encode(each, "png", None, "x")) <= len(by_opencv(np.ascontiguousarray(each)))


@pytest.mark.parametrize("image", [a_photo(640, 360), a_screenshot()], ids=["photo", "screenshot"])
def test_small_is_smaller_than_fast_and_than_opencv(image):
    small = len(encode(image, "png", None, "x", "small"))
    assert small < 0.95 * len(by_opencv(image))
    assert small < 0.95 * len(encode(image, "png", None, "x", "fast"))


def test_memory_does_not_grow_with_the_uncompressed_rows():
    image = a_photo(3840, 2160)
    encode(image, "png", None, "x")
    tracemalloc.start()
    try:
        data = encode(image, "png", None, "x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The compressed pieces, the file that joins them, and the buffers of one block.
    assert peak < 2 * len(data) + 3 * 2**20
