"""JPEG and WebP, whose lossy pixels are close to Pillow's, and refused files."""

import struct
from collections.abc import Iterator
from typing import Any

from PIL import Image as Pillow

from agewell.shared.errors import (
    BadImageError,
    MultiFrameError,
    UndecodableError,
    UnsupportedPixelsError,
)
from tests.oracles.format_table import Row
from tests.oracles.orientations import exif, exif_without_orientation, upright, xmp
from tests.oracles.picture_readers import by_pillow
from tests.support.image_files import animation, file_of, jpeg_saying, picture

ROUNDING = 2  # two decoders may round an inverse cosine transform differently
BIG = picture().resize((203, 131), Pillow.Resampling.BICUBIC)
PREFIX = b"Exif\0\0"


def jpeg_rows() -> Iterator[Row]:
    """JPEG as programs write it."""
    yield from _jpeg_kinds()
    yield from _jpeg_parts()
    yield from _turned_jpegs()
    yield from _refused_jpegs()


def _jpeg_kinds() -> Iterator[Row]:
    for mode in ("RGB", "L"):
        for quality in (1, 30, 75, 95, 100):
            for way in ({}, {"progressive": True}, {"optimize": True}):
                yield _jpeg(f"{mode}_{quality}_{'_'.join(way)}", mode, quality=quality, **way)
    for sampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1"):
        for progressive in (False, True):
            yield _jpeg(f"{sampling}_{progressive}", subsampling=sampling, progressive=progressive)
    yield _jpeg("stored_as_rgb", keep_rgb=True)
    yield _jpeg("restarts", restart_marker_blocks=3)
    yield _jpeg("restarts_progressive", restart_marker_rows=1, progressive=True)
    yield _jpeg("coarse", qtables=[[255] * 64, [255] * 64])
    for size in ((1, 1), (7, 9), (8, 8), (17, 15), (1, 64)):
        yield _jpeg(f"{size[0]}x{size[1]}", image=BIG.resize(size))


def _jpeg(name: str, mode: str = "RGB", image: Pillow.Image | None = None, **options: Any) -> Row:
    data = file_of("JPEG", (image or BIG).convert(mode), **options)
    return Row(f"jpeg/{name}.jpg", data, by_pillow(data), ROUNDING)


def _jpeg_parts() -> Iterator[Row]:
    """Parts that decide nothing: the pixels are those of the file without them."""
    data = file_of("JPEG", BIG, quality=95)
    truth = by_pillow(data)
    parts = {
        "profile": b"\xff\xe2" + struct.pack(">H", 16) + b"ICC_PROFILE\0\1\1",
        "comment": b"\xff\xfe\0\x07hello",
        "comment_with_markers": b"\xff\xfe\0\x08\xff\xd9\xff\xda\xff\xc0",
        "photoshop": b"\xff\xed\0\x12Photoshop 3.0\0\0\0",
        "thumbnail": b"\xff\xe0" + struct.pack(">H", 8 + len(data)) + b"JFXX\0\x10" + data,
        "fill": b"\xff" * 9 + b"\xff\xfe\0\x02",
    }
    for name, part in parts.items():
        yield Row(f"jpeg/{name}.jpg", data[:20] + part + data[20:], truth, ROUNDING)
    for name, behind in {
        "zeros": bytes(5000),
        "a_picture": data,
        "markers": b"\xff\xda\xff",
    }.items():
        yield Row(f"jpeg/{name}_behind.jpg", data + behind, truth, ROUNDING)
    stuffed = data[:-2] + b"\0\0" + data[-2:]
    yield Row("jpeg/zeros_before_end.jpg", stuffed, truth, ROUNDING)
    yield Row("jpeg/bytes_between_segments.jpg", data[:20] + b"\1\2" + data[20:], truth, ROUNDING)
    mpo = file_of("MPO", BIG, save_all=True, append_images=[BIG.rotate(180)])
    yield Row("jpeg/two_pictures.mpo", mpo, by_pillow(mpo), ROUNDING)
    yield Row("jpeg/16bit_tables.jpg", _wide_tables(data), truth, ROUNDING)


def _wide_tables(data: bytes) -> bytes:
    """The same picture with quantisation tables of 16 bits a value."""
    made, at = data, -1
    while (at := made.find(b"\xff\xdb\0\x43", at + 1)) >= 0:
        values = made[at + 5 : at + 69]
        wide = bytes([0x10 | made[at + 4]]) + struct.pack(">64H", *values)
        made = made[:at] + b"\xff\xdb" + struct.pack(">H", 131) + wide + made[at + 69 :]
    # Tables of 16 bits are not for baseline JPEG, but for extended sequential JPEG.
    return made.replace(b"\xff\xc0", b"\xff\xc1", 1)


def _turned_jpegs() -> Iterator[Row]:
    plain = file_of("JPEG", BIG, quality=95)
    truth = by_pillow(plain)
    for orientation in range(1, 9):
        block, packet = PREFIX + exif(orientation), xmp(orientation)
        other = xmp(orientation % 8 + 1)
        for name, options in {
            "exif": {"exif": block}, "exif_big_endian": {"exif": PREFIX + exif(orientation, ">")},
            "xmp": {"xmp": packet}, "xmp_element": {"xmp": xmp(orientation, "element")},
            "exif_before_xmp": {"exif": block, "xmp": other},
            "silent_exif_then_xmp": {"exif": PREFIX + exif_without_orientation(), "xmp": packet},
        }.items():  # fmt: skip
            data = file_of("JPEG", BIG, quality=95, **options)
            name = f"jpeg/turned_{orientation}_by_{name}.jpg"
            yield Row(name, data, upright(truth, orientation), ROUNDING)


def _refused_jpegs() -> Iterator[Row]:
    data = file_of("JPEG", BIG)
    frame = data.index(b"\xff\xc0")
    not_taken = {
        "12_bits": (jpeg_saying(48, 32, 12), ("12 bits",)),
        "cmyk": (file_of("JPEG", BIG.convert("CMYK")), ("4 channels", "CMYK")),
        "lossless": (data.replace(b"\xff\xc0", b"\xff\xc3"), ("lossless",)),
        "hierarchical": (data.replace(b"\xff\xc0", b"\xff\xc5"), ("hierarchical",)),
        "many_scans": (with_scans(4000), ("4,010 scans", "limit is 100")),
    }
    for name, (made, words) in not_taken.items():
        yield Row(f"jpeg/{name}.jpg", made, None, 0, words, UnsupportedPixelsError)
    (length,) = struct.unpack_from(">H", data, frame + 2)
    damaged = {
        "no_end": (data[:-2], ("end mark",)),
        "half": (data[: len(data) // 2], ("end mark",)),
        "no_scan": (data[: data.index(b"\xff\xda")] + b"\xff\xd9", ("no picture",)),
        "two_frames": (
            data[:frame] + data[frame : frame + 2 + length] + data[frame:],
            ("2 frame",),
        ),
        "late_height": (jpeg_saying(48, 0), ("48 x 0", "DNL")),
    }
    for name, (made, words) in {**damaged, **_gaps()}.items():
        yield Row(f"jpeg/{name}.jpg", made, None, 0, words, UndecodableError)


def _gaps() -> dict[str, tuple[bytes, tuple[str, ...]]]:
    """Files with an end mark that lack pixels, which libjpeg fills with gray."""
    kinds = {
        "plain": {"quality": 90}, "progressive": {"progressive": True},
        "restarts": {"restart_marker_rows": 1}, "gray": {},
    }  # fmt: skip
    found = {}
    for name, options in kinds.items():
        data = file_of("JPEG", BIG.convert("L" if name == "gray" else "RGB"), **options)
        for missing in (3, 100, 400):
            found[f"{name}_lacks_{missing}"] = data[: -2 - missing] + data[-2:]
    whole = file_of("JPEG", BIG, restart_marker_rows=1)
    first, third = whole.index(b"\xff\xd0"), whole.index(b"\xff\xd2")
    found["lacks_two_rows"] = whole[:first] + whole[third:]
    return {name: (data, ("truncated or damaged",)) for name, data in found.items()}


def with_scans(more: int, image: Pillow.Image = BIG) -> bytes:
    """A progressive JPEG whose last scan comes this many times more."""
    data = file_of("JPEG", image, progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * more + data[-2:]


def webp_rows() -> Iterator[Row]:
    """WebP as programs write it."""
    for mode in ("RGB", "RGBA"):
        image = picture(mode)
        for name, options in {
            "lossless": {"lossless": True, "exact": True}, "lossy": {"quality": 80},
            "best": {"quality": 100, "method": 6}, "worst": {"quality": 0},
            "alpha_lossy": {"quality": 80, "alpha_quality": 20, "exact": True},
            "profile": {"lossless": True, "exact": True, "icc_profile": bytes(200)},
        }.items():  # fmt: skip
            data = file_of("WEBP", image, **options)
            yield Row(f"webp/{mode}_{name}.webp", data, by_pillow(data), ROUNDING)
    data = file_of("WEBP", lossless=True)
    yield Row("webp/bytes_behind.webp", data + bytes(99), by_pillow(data))
    yield from _turned_webps()
    refused: dict[str, tuple[bytes, type[BadImageError]]] = {
        "animation": (animation("WEBP"), MultiFrameError),
        "cut": (data[:-1], UndecodableError),
        "damaged": (data[:40] + bytes(60) + data[100:], UndecodableError),
    }
    for name, (made, error) in refused.items():
        yield Row(f"webp/{name}.webp", made, None, 0, (), error)


def _turned_webps() -> Iterator[Row]:
    for mode in ("RGB", "RGBA"):
        exact = {"lossless": True, "exact": True}
        truth = by_pillow(file_of("WEBP", picture(mode), **exact))
        for orientation in range(1, 9):
            for name, options in {
                "exif": {"exif": PREFIX + exif(orientation)},
                "bare_exif": {"exif": exif(orientation)},
                "xmp": {"xmp": xmp(orientation)},
                "both": {"exif": exif(orientation), "xmp": xmp(orientation % 8 + 1)},
            }.items():  # fmt: skip
                data = file_of("WEBP", picture(mode), **exact, **options)
                name = f"webp/{mode}_turned_{orientation}_by_{name}.webp"
                yield Row(name, data, upright(truth, orientation))
