"""TIFF: files that OpenCV's reader got wrong, and hostile files."""

import io
import struct
import time
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageOps

from agewell.shared.errors import UndecodableError, UnsupportedPixelsError
from agewell.workers.imaging.codec import Limits, decode, probe
from tests.oracles.picture_readers import as_rgba, by_pillow
from tests.oracles.tiff_rows import MODELS, picture, shown
from tests.oracles.tiff_writer import DEFLATE, LONG, LZMA, LZW, PACK, SHORT, ZSTD, Tiff
from tests.support.image_files import file_of

LIMITS = Limits()
JPEG = 7


def read(data: bytes) -> np.ndarray:
    return as_rgba(decode(data, "a.tif", LIMITS))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_tiles_are_shown_upright(orientation):
    tiff = replace(picture(MODELS["rgb8"]), tile=(16, 16), orientation=orientation, compression=LZW)
    np.testing.assert_array_equal(read(tiff.file()), by_pillow(tiff.file()))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_of_any_depth_keeps_its_colours(bits):
    tiff = picture(MODELS[f"palette{bits}"])
    np.testing.assert_array_equal(read(tiff.file()), by_pillow(tiff.file()))


@pytest.mark.parametrize("compression", [LZW, DEFLATE])
@pytest.mark.parametrize("damage", ["short", "broken"])
def test_a_damaged_strip_is_an_error_and_not_black(compression, damage):
    def pack(raw: bytes) -> bytes:
        packed = PACK[compression](raw)
        return packed[: len(packed) // 2] if damage == "short" else b"\xaa" * len(packed)

    tiff = replace(picture(MODELS["rgb8"]), compression=compression, rows=5, pack=pack)
    with pytest.raises(UndecodableError, match="truncated or damaged: strip 1 of 3"):
        read(tiff.file())


@pytest.mark.parametrize("compression", [ZSTD, LZMA])
def test_modern_compressions_are_read(compression):
    tiff = replace(picture(MODELS["rgb8"]), compression=compression)
    np.testing.assert_array_equal(read(tiff.file()), shown(tiff))


def test_old_jpeg_compression_is_named_and_not_called_damaged():
    tiff = replace(picture(MODELS["rgb8"]), more={259: (SHORT, (6,))})
    with pytest.raises(UnsupportedPixelsError, match=r"compression is old-style JPEG \(6\); save"):
        read(tiff.file())


def test_big_tiff_is_read():
    data = file_of("TIFF", big_tiff=True)
    np.testing.assert_array_equal(read(data), by_pillow(data))


def test_an_unspecified_channel_is_not_taken_for_alpha():
    tiff = replace(picture(MODELS["rgb_alpha"]), extra=(0,))
    with pytest.raises(UnsupportedPixelsError, match="not said to be alpha"):
        read(tiff.file())


def exif(kind: int, count: int, value: bytes, order: str = "<", entries: int = 1) -> bytes:
    head = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}IHHHI", 8, entries, 274, kind, count) + value
    return head + entry + bytes(4)


ORDINARY = exif(3, 1, b"\6\0\0\0")
ODD_EXIF = {
    "long": exif(4, 1, b"\6\0\0\0"),
    "big_endian": exif(3, 1, b"\0\6\0\0", ">"),
    "big_endian_long": exif(4, 1, b"\0\0\0\6", ">"),
    "two_values": exif(3, 2, b"\6\0\1\0"),
    "signed": exif(8, 1, b"\6\0\0\0"),
    "signed_long": exif(9, 1, b"\6\0\0\0"),
    "no_values": exif(3, 0, b"\6\0\0\0"),
    "zero": exif(3, 1, bytes(4)),
    "nine": exif(3, 1, b"\x09\0\0\0"),
    "text": exif(2, 2, b"6\0\0\0"),
    "undefined": exif(7, 1, b"\6\0\0\0"),
    "far_value": exif(4, 2, b"\xff\xff\xff\x7f"),
    "no_next_directory": ORDINARY[:-4],
    "cut_behind_the_orientation": exif(3, 1, b"\6\0\0\0", entries=9),
    "in_a_circle": ORDINARY[:-4] + struct.pack("<I", 8),
    "far_directory": b"II*\0" + b"\xff" * 4,
    "vast_count": exif(3, 2**32 - 1, b"\x1a\0\0\0"),
    "empty": b"II*\0\x08\0\0\0\0\0\0\0\0\0",
    "other_magic": b"II\0\0\x08\0\0\0" + ORDINARY[8:],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ODD_EXIF)
def test_an_odd_exif_block_turns_the_picture_as_pillow_does(name):
    data = file_of("JPEG", exif=b"Exif\0\0" + ODD_EXIF[name])
    image = Pillow.open(io.BytesIO(data))
    expected = ImageOps.exif_transpose(image).size
    assert decode(data, "a.jpg", LIMITS).shape[1::-1] == expected


def fax(picture_: np.ndarray, compression: str, **tags: int) -> bytes:
    buffer = io.BytesIO()
    numbered = {int(tag[1:]): value for tag, value in tags.items()} | {278: len(picture_)}
    Pillow.fromarray(picture_).save(buffer, "TIFF", compression=compression, tiffinfo=numbered)
    return buffer.getvalue()


FAXES = [
    ("tiff_ccitt", {}), ("group3", {}), ("group3", {"t292": 1}), ("group3", {"t292": 5}),
    ("group4", {}),
]  # fmt: skip


@pytest.mark.parametrize(("compression", "tags"), FAXES)
def test_a_fax_run_of_any_length_is_read(compression, tags):
    width = 2_700
    black = np.tri(width, dtype=bool)[::7]  # rows of every seventh length, in black
    both = np.concatenate([black, ~black])
    found = decode(fax(both, compression, **tags), "fax.tif", LIMITS)
    np.testing.assert_array_equal(found, both * np.uint8(255))


@pytest.mark.parametrize(("compression", "tags"), FAXES)
def test_a_fax_cut_anywhere_is_refused(compression, tags):
    random = np.random.default_rng(3)
    data = fax(random.random((40, 99)) < 0.4, compression, **tags)
    image = Pillow.open(io.BytesIO(data))
    size = image.tag_v2[279][0]
    entry = data.index(struct.pack("<HHII", 279, LONG, 1, size)) + 8
    spare = 6 if compression == "group4" else 2  # the end mark, which may be missing
    for shorter in range(1, size - spare, 5):
        cut = data[:entry] + struct.pack("<I", shorter) + data[entry + 4 :]
        with pytest.raises(UndecodableError, match="strip 1 of 1"):
            decode(cut, "fax.tif", LIMITS)


def test_a_fax_overwritten_with_zeros_is_refused():
    data = bytearray(fax(np.eye(64, dtype=bool), "group4"))
    image = Pillow.open(io.BytesIO(bytes(data)))
    at, size = image.tag_v2[273][0], image.tag_v2[279][0]
    data[at + size // 2 : at + size] = bytes(size - size // 2)
    with pytest.raises(UndecodableError, match="invalid fax code"):
        decode(bytes(data), "fax.tif", LIMITS)


def vast_file(side: int, tile: int, compression: int, block: bytes) -> bytes:
    """A large picture whose tiles are all the same few bytes of the file."""
    count = (side // tile) ** 2
    more = {
        256: (LONG, (side,)), 257: (LONG, (side,)), 322: (LONG, (tile,)), 323: (LONG, (tile,)),
        324: (LONG, (8,) * count), 325: (LONG, (len(block),) * count),
        273: None, 278: None, 279: None,
    }  # fmt: skip
    one = np.zeros((1, 1, 3), np.uint8)
    return Tiff(one, 2, compression=compression, more=more, pack=lambda _: block).file()


@pytest.mark.alone
def test_more_tiles_than_any_sound_picture_needs_are_refused_at_once():
    data = vast_file(7_040, 16, DEFLATE, PACK[DEFLATE](bytes(768)))
    started = time.perf_counter()
    with pytest.raises(UnsupportedPixelsError, match="193,600 strips or tiles; the limit is"):
        decode(data, "tiles.tif", LIMITS)
    assert time.perf_counter() - started < 1


def test_a_jpeg_with_many_scans_within_a_tiff_is_refused():
    jpeg = imagecodecs.jpeg8_encode(np.zeros((64, 64, 3), np.uint8))
    at = jpeg.index(b"\xff\xda")
    many = jpeg[:at] + jpeg[at:-2] * 101 + jpeg[-2:]
    tiff = Tiff(np.zeros((64, 64, 3), np.uint8), 6, compression=JPEG, pack=lambda _: many)
    with pytest.raises(UnsupportedPixelsError, match="scans"):
        read(tiff.file())


@pytest.mark.alone
def test_a_long_chain_of_pages_is_counted_up_to_a_bound():
    pages = 20_000
    tiff = picture(MODELS["gray8"]).file()
    (first,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, first)
    data = bytearray(tiff)
    struct.pack_into("<I", data, first + 2 + 12 * count, len(tiff))
    chain = b"".join(struct.pack("<HI", 0, len(tiff) + 6 * (n + 1)) for n in range(pages))
    started = time.perf_counter()
    with pytest.raises(Exception, match="10001 frames or pages"):
        probe(bytes(data) + chain, "pages.tif", LIMITS)
    assert time.perf_counter() - started < 1


def test_smaller_copies_of_the_page_do_not_count_as_pages():
    buffer = io.BytesIO()
    large, small = Pillow.new("L", (40, 40), 9), Pillow.new("L", (20, 20), 200)
    large.save(buffer, "TIFF", save_all=True, append_images=[small])
    data = bytearray(buffer.getvalue())
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    (second,) = struct.unpack_from("<I", data, first + 2 + 12 * count)
    struct.pack_into("<HHII", data, second + 2, 254, LONG, 1, 1)
    assert decode(bytes(data), "pyramid.tif", LIMITS).shape == (40, 40)
