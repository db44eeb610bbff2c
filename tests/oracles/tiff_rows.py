"""TIFF: colours by depth, compression, layout and turn, with true pixels."""

import io
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import tifffile
from PIL import Image as Pillow

from tests.oracles import tiff_refused_rows
from tests.oracles.format_table import Row
from tests.oracles.picture_readers import by_imagemagick, by_pillow
from tests.oracles.tiff_writer import LZW, NONE, PACK, SHORT, Tiff
from tests.support.programs import require

WIDTH, HEIGHT, STRAIGHT = 21, 13, 2


@dataclass(frozen=True)
class Model:
    """The colours of a picture."""

    photometric: int
    bits: int
    channels: int
    alpha: bool = False


MODELS = {
    **{f"white{bits}": Model(0, bits, 1) for bits in (1, 2, 4, 8)},
    **{f"gray{bits}": Model(1, bits, 1) for bits in (1, 2, 4, 8)},
    **{f"rgb{bits}": Model(2, bits, 3) for bits in (1, 2, 4, 8)},
    **{f"palette{bits}": Model(3, bits, 1) for bits in (1, 2, 4, 8)},
    "gray_alpha": Model(1, 8, 2, True),
    "white_alpha": Model(0, 8, 2, True),
    "palette_alpha": Model(3, 8, 2, True),
    "rgb_alpha": Model(2, 8, 4, True),
    "rgb_alpha4": Model(2, 4, 4, True),
}
LAYOUTS: Mapping[str, dict[str, Any]] = {
    "strip": {},
    "strips5": {"rows": 5},
    "strips1": {"rows": 1},
    "tiles16": {"tile": (16, 16)},
    "tiles16x32": {"tile": (16, 32)},
    "tile48": {"tile": (48, 48)},
}
PREDICTED = [number for number in PACK if number not in (NONE, 32773)]


def picture(model: Model, seed: int = 0) -> Tiff:
    """A picture of random samples with its first and last values in two corners."""
    random = np.random.default_rng(seed)
    most = (1 << model.bits) - 1
    samples = random.integers(0, most + 1, (HEIGHT, WIDTH, model.channels)).astype(np.uint8)
    samples[4:9, 3:12] = most // 2  # something for a compressor
    samples[0, 0], samples[-1, -1] = 0, most
    palette = random.integers(0, 256, (most + 1, 3)) * 257 if model.photometric == 3 else None
    extra = (STRAIGHT,) if model.alpha else ()
    return Tiff(samples, model.photometric, model.bits, palette=palette, extra=extra)


def shown(tiff: Tiff) -> np.ndarray:
    """(H, W, 4) RGBA by the specification: the colours of the samples, then the orientation."""
    whole = tiff.samples * np.uint8(255 // ((1 << tiff.bits) - 1))
    colours = 3 if tiff.photometric == 2 else 1
    rgb, alpha = whole[..., :colours], whole[..., colours:]
    if tiff.palette is not None:
        rgb = (tiff.palette[tiff.samples[..., 0]] // 257).astype(np.uint8)
    elif tiff.photometric == 0:
        rgb = 255 - rgb
    if not tiff.extra:
        alpha = np.full(rgb.shape[:2], 255, np.uint8)
    rgb = np.dstack([rgb] * (3 // rgb.shape[2]))
    return turned(np.dstack([rgb, alpha]), tiff.orientation or 1)


def turned(stored: np.ndarray, orientation: int) -> np.ndarray:
    """A picture as its orientation shows it: TIFF 6.0, section 8."""
    if orientation >= 5:
        stored = stored.swapaxes(0, 1)
    down, across = {
        1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1),
        5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1),
    }[orientation]  # fmt: skip
    return stored[::down, ::across]


def row(name: str, tiff: Tiff) -> Row:
    return Row(f"tiff/{name}", tiff.file(), truth=shown(tiff))


def rows() -> Iterator[Row]:
    yield from rows_by_hand()
    yield from _by_pillow()
    yield from _by_tifffile()
    yield from _by_imagemagick()
    yield from tiff_refused_rows.rows()


def rows_by_hand() -> Iterator[Row]:
    """Files whose truth is by definition, not by another reader."""
    yield from _compressions()
    yield from _arrangements()
    yield from _odd_tags()


def _compressions() -> Iterator[Row]:
    """Every model in every layout, by every compression without loss."""
    for (name, model), (kind, layout), compression in product(
        MODELS.items(), LAYOUTS.items(), PACK
    ):
        tiff = replace(picture(model), compression=compression, **layout)
        yield row(f"{name}_{kind}_{compression}.tif", tiff)


def _arrangements() -> Iterator[Row]:
    """Planes, orientations, byte orders, bit orders and predictors."""
    some = {kind: LAYOUTS[kind] for kind in ("strips5", "tiles16", "tile48")}
    for (kind, layout), name in product(some.items(), ("rgb8", "gray1", "palette2", "gray_alpha")):
        tiff = replace(picture(MODELS[name]), compression=LZW, **layout)
        planar = tiff.samples.shape[2] > 1
        for turn in range(1, 9):
            yield row(f"{name}_{kind}_turn{turn}.tif", replace(tiff, orientation=turn))
        for order, big in product("<>", (False, True)):
            form = replace(tiff, order=order, big=big, orientation=6)
            yield row(f"{name}_{kind}_{order}{'big' * big}.tif", form)
        for compression in PACK:
            packed = replace(tiff, compression=compression)
            reverse = replace(packed, reversed_bits=True)
            yield row(f"{name}_{kind}_{compression}_reversed.tif", reverse)
            if planar:
                planes = replace(packed, planar=True, orientation=7)
                yield row(f"{name}_{kind}_{compression}_planes.tif", planes)
            if compression in PREDICTED and tiff.bits == 8:
                predicted = replace(packed, predictor=True)
                yield row(f"{name}_{kind}_{compression}_predictor.tif", predicted)
                planes = replace(predicted, planar=planar, order=">")
                yield row(f"{name}_{kind}_{compression}_predictor_planes.tif", planes)


def _odd_tags() -> Iterator[Row]:
    """Tags that are left out, of another type, or with more than is needed."""
    gray, colour, bit = (picture(MODELS[name]) for name in ("gray8", "rgb8", "gray1"))
    odd = {
        "no_rows_per_strip": replace(gray, more={278: None}),
        "all_rows_and_more": replace(gray, more={278: (4, (2**32 - 1,))}),
        "no_sizes": replace(gray, rows=5, more={279: None}),
        "sizes_too_large": replace(gray, rows=5, more={279: (4, (99_999,) * 3)}),
        "no_bits": replace(bit, more={258: None}),
        "no_samples": replace(gray, more={277: None}),
        "no_compression": replace(colour, more={259: None}),
        "one_value_of_bits": replace(colour, more={258: (SHORT, (8,))}),
        "undefined_numbers": replace(colour, more={339: (SHORT, (4, 4, 4))}),
        "short_sizes": replace(colour, more={256: (SHORT, (WIDTH,)), 257: (SHORT, (HEIGHT,))}),
        "long_orientation": replace(colour, more={274: (4, (1,))}),
        "odd_orientation": replace(colour, more={274: (SHORT, (9,))}),
        "predictor_of_one": replace(colour, more={317: (SHORT, (1,))}),
        "small_copy_alone": replace(colour, more={254: (4, (1,))}),  # reduced, but alone
        "text": replace(colour, more={270: (2, tuple(b"a picture\0")), 305: (2, (65, 0))}),
    }
    for name, tiff in odd.items():
        yield row(f"{name}.tif", tiff)
    bytes_for_colours = picture(MODELS["palette4"])
    small = replace(bytes_for_colours, palette=np.asarray(bytes_for_colours.palette) // 257)
    yield Row("tiff/palette_of_bytes.tif", small.file(), truth=shown(bytes_for_colours))
    undeclared = replace(picture(MODELS["rgb_alpha"]), more={338: None})
    yield row("alpha_as_opencv_writes_it.tif", undeclared)


def _by_pillow() -> Iterator[Row]:
    """Fax and JPEG, encoded by libtiff. The truth is libtiff's own decoding."""
    bilevel = Pillow.fromarray(picture(MODELS["gray1"]).samples[..., 0] > 0)
    wide = bilevel.resize((2_700, HEIGHT))  # runs of every kind of code
    for shape, compression in product((bilevel, wide), ("tiff_ccitt", "group3", "group4")):
        for options in (0, 1, 4, 5) if compression == "group3" else (0,):
            for white, fill, strip in product((0, 1), (1, 2), (5, 99)):
                tags = {262: white, 266: fill, 278: strip, 274: 8, 292: options}
                data = _saved(shape, compression=compression, tiffinfo=tags)
                name = f"{compression}_{shape.width}_{options}_{white}_{fill}_{strip}.tif"
                yield Row(f"tiff/{name}", data, truth=by_pillow(data))
    y, x = np.mgrid[:70, :90]
    smooth = Pillow.fromarray(np.dstack([x * 2, y * 3, x + y]).astype(np.uint8))
    for mode, quality, strip in product(("RGB", "L"), (60, 95), (16, 99)):
        data = _saved(
            smooth.convert(mode), compression="jpeg", quality=quality, tiffinfo={278: strip}
        )
        name = f"tiff/jpeg_{mode}_{quality}_{strip}.tif"
        yield Row(name, data, truth=by_pillow(data), tolerance=1)


def _saved(image: Pillow.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", **options)
    return buffer.getvalue()


def _by_tifffile() -> Iterator[Row]:
    """Files of another writer: pictures within a TIFF, and its own layouts."""
    colour = picture(MODELS["rgb8"]).samples.repeat(3, 0).repeat(3, 1)
    alpha = picture(MODELS["rgb_alpha"]).samples
    truth = shown(Tiff(colour, 2))
    lossless = {"compression": "webp", "compressionargs": {"lossless": True}}
    layouts: list[dict[str, Any]] = [{}, {"tile": (16, 16)}, {"rowsperstrip": 4}]
    layouts += [{"tile": (32, 48), "bigtiff": True, "byteorder": ">"}]
    for number, layout in enumerate(layouts):
        for compression in ("zlib", "lzw", "packbits", "zstd", "lzma", None):
            data = _written(colour, photometric="rgb", compression=compression, **layout)
            yield Row(f"tiff/tifffile_{compression}_{number}.tif", data, truth=truth)
        data = _written(colour, photometric="rgb", **lossless, **layout)
        yield Row(f"tiff/webp_{number}.tif", data, truth=truth)
        data = _written(alpha, photometric="rgb", extrasamples=["unassalpha"], **lossless, **layout)
        name = f"tiff/webp_alpha_{number}.tif"
        yield Row(name, data, truth=shown(Tiff(alpha, 2, extra=(STRAIGHT,))))
        for space in ("rgb", "ycbcr"):
            options = {"subsampling": (2, 2)} if space == "ycbcr" else {}
            data = _written(
                colour, photometric=space, compression="jpeg",
                compressionargs={"outcolorspace": space}, **options, **layout,
            )  # fmt: skip
            read_back = shown(Tiff(tifffile.imread(io.BytesIO(data)), 2))
            yield Row(f"tiff/jpeg_{space}_{number}.tif", data, read_back, tolerance=1)


def _written(samples: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def _by_imagemagick() -> Iterator[Row]:
    source = _saved(Pillow.fromarray(picture(MODELS["rgb_alpha"]).samples))
    for arguments in (
        "-compress LZW", "-compress Zip -endian MSB", "-compress RLE", "-interlace plane",
        "-define tiff:tile-geometry=16x16 -orient RightTop", "-define tiff:rows-per-strip=1",
        "-define tiff:tile-geometry=16x16 -orient BottomRight -interlace plane", "-alpha off",
        "-alpha off -colorspace Gray -depth 4", "-alpha off -colorspace Gray -depth 2",
        "-alpha off -colors 4 -type Palette -depth 2", "-alpha off -colors 2 -type Palette",
        "-alpha off -monochrome -compress Group4", "-alpha off -monochrome -compress Fax",
    ):  # fmt: skip
        command = [require("convert"), "tiff:-", *arguments.split(), "tiff:-"]
        data = subprocess.run(command, input=source, capture_output=True, check=True).stdout
        rounding = 1 if "Palette" in arguments else 0  # of a palette's 16 bits: readers differ
        truth = by_imagemagick(data, "tiff")
        yield Row(f"tiff/imagemagick {arguments}.tif", data, truth, tolerance=rounding)
