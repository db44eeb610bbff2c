"""The layout of a TIFF page's pixels, from its tags, and the reasons to refuse one.

Each layout is either decoded exactly or refused by name. Tags that contradict each other, and tags
that programs read differently, are refused too.

Sources: TIFF 6.0; Adobe, "Photoshop TIFF Technical Notes", 2002 (deflate); libtiff's tiff.h (the
numbers of other compressions).
"""

from dataclasses import dataclass

from agewell.workers.imaging.image_header import Header
from agewell.workers.imaging.tiff.tags import Directory, read_first_page

NONE, RLE, GROUP_3, GROUP_4, LZW, JPEG, PACKBITS, RLE_WORDS = 1, 2, 3, 4, 5, 7, 32773, 32771
DEFLATE, OLD_DEFLATE, LZMA, ZSTD, WEBP = 8, 32946, 34925, 50000, 50001
FAX = {RLE, RLE_WORDS, GROUP_3, GROUP_4}
PICTURES = {JPEG, WEBP}  # each block is a picture file
_PREDICTED = {LZW, DEFLATE, OLD_DEFLATE, LZMA, ZSTD}  # every program applies predictors to these
_TAKEN_COMPRESSIONS = {NONE, PACKBITS, *_PREDICTED, *FAX, *PICTURES}
_COMPRESSIONS = {
    6: "old-style JPEG", 9: "JBIG", 10: "JBIG", 99: "lossless JPEG", 32766: "NeXT",
    32809: "ThunderScan", 32908: "PixarFilm", 32909: "PixarLog", 33003: "JPEG 2000",
    33004: "JPEG 2000", 33005: "JPEG 2000", 33007: "JPEG", 34661: "JBIG", 34663: "JBIG2",
    34676: "SGI Log", 34677: "SGI Log", 34712: "JPEG 2000", 34713: "Nikon raw", 34887: "LERC",
    34892: "lossy JPEG", 34933: "PNG", 34934: "JPEG XR", 50002: "JPEG XL", 52546: "JPEG XL",
    65000: "EER",
}  # fmt: skip

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
_COLOURS = {
    WHITE_IS_ZERO: ("gray", 1), BLACK_IS_ZERO: ("gray", 1), RGB: ("RGB", 3),
    PALETTE: ("palette", 1), YCBCR: ("YCbCr", 3),
}  # fmt: skip
_COLOURS_NOT_TAKEN = {
    4: "a transparency mask", 5: "CMYK", 8: "Lab", 9: "ICC Lab", 10: "ITU Lab",
    32803: "a raw sensor mosaic", 32844: "LogL", 32845: "LogLuv", 34892: "linear raw",
}  # fmt: skip
_NUMBERS = {2: "signed integer", 3: "floating-point", 5: "complex", 6: "complex"}
_PREMULTIPLIED, _STRAIGHT = 1, 2  # meanings of an extra sample
_SUB_PAGES = 330
_MOST_SAMPLES = 16  # tags of more samples are not read; supported pictures have at most four


@dataclass(frozen=True)
class Layout:
    """The tags that describe the layout of a page's pixels.

    A block is a strip or a tile. All have one size, but the last strip may have fewer rows.
    """

    width: int  # px
    height: int  # px
    bits: tuple[int, ...]  # of each sample
    numbers: tuple[int, ...]  # the number format of each sample; 1: unsigned, 4: undefined
    samples: int  # of a pixel
    extra: tuple[int, ...]  # meanings of the samples after the colours; 0: unspecified
    photometric: int | None
    compression: int
    predictor: int
    bit_order: int  # 2: the lowest bit of a byte comes first
    planes: int  # 2: each sample has separate blocks
    tiled: bool
    block_width: int  # px
    block_height: int  # px; the height of a strip is at most that of the picture
    fax_options: int

    @property
    def colours(self) -> int:
        """The number of colour samples of a pixel. A sample after them is a straight alpha."""
        return _COLOURS[self.photometric or 0][1]

    @property
    def separate(self) -> bool:
        """True if each sample has separate blocks."""
        return self.planes == 2 and self.samples > 1

    @property
    def block_samples(self) -> int:
        """The number of samples that a pixel has in each block."""
        return 1 if self.separate else self.samples

    @property
    def row_bytes(self) -> int:
        """The size of one row of a block in bytes, unpacked."""
        return -(-self.block_width * self.block_samples * self.bits[0] // 8)


def read_header(data: bytes) -> Header:
    """Read the header of a TIFF file.

    Raises:
        ValueError: the header is damaged, or the file ends within it.
    """
    page, frames = read_first_page(data)
    layout = read_layout(page)
    reason = _refusal(page, frames, layout)
    return Header("tiff", layout.width, layout.height, frames, page.orientation or 1, reason)


def read_layout(page: Directory) -> Layout:
    """Read the layout of a page from its tags.

    Raises:
        ValueError: a tag has an impossible value, or the width or height is missing.
    """
    width, height = _one(page, 256, 0), _one(page, 257, 0)
    if not page.entries.keys() >= {256, 257}:
        raise ValueError("damaged: the TIFF directory gives no size")
    samples, compression = _one(page, 277, 1), _one(page, 259, NONE)
    default_colours = WHITE_IS_ZERO if compression in FAX else -1
    photometric = _one(page, 262, default_colours)
    tiled = 322 in page.entries
    rows = _one(page, 323, 0) if tiled else min(_one(page, 278, height), height)
    return Layout(
        width,
        height,
        bits=_for_each_sample(page, 258, samples, 1),
        numbers=_for_each_sample(page, 339, samples, 1),
        samples=samples,
        extra=page.integers(338, _MOST_SAMPLES),
        photometric=None if photometric < 0 else photometric,
        compression=compression,
        predictor=_one(page, 317, 1),
        bit_order=_one(page, 266, 1),
        planes=_one(page, 284, 1),
        tiled=tiled,
        block_width=_one(page, 322, 0) if tiled else width,
        block_height=rows,
        fax_options=_one(page, 292, 0) if compression == GROUP_3 else 0,
    )


def _refusal(page: Directory, frames: int, layout: Layout) -> str | None:
    """Return the reason to refuse the pixels, or None."""
    if page.is_reduced and (frames > 1 or _SUB_PAGES in page.entries):
        return "its first page is a smaller copy of another one; save that one alone"
    return (
        _writing_refusal(layout)
        or _colours_refusal(layout)
        or _samples_refusal(layout)
        or _predictor_refusal(layout)
        or _pairing_refusal(layout)
    )


def _one(page: Directory, tag: int, default: int) -> int:
    """Return the value of a tag that has exactly one."""
    if tag not in page.entries:
        return default
    values = page.integers(tag, 2)
    if len(values) != 1:
        raise ValueError(f"damaged: TIFF tag {tag} does not hold one whole number")
    return values[0]


def _for_each_sample(page: Directory, tag: int, samples: int, default: int) -> tuple[int, ...]:
    """Return the values of a tag that has one value for each sample, or one for all."""
    values = page.integers(tag, min(samples, _MOST_SAMPLES)) or (default,)
    if tag in page.entries and len(values) not in (1, min(samples, _MOST_SAMPLES)):
        raise ValueError(f"damaged: TIFF tag {tag} has {len(values)} values for {samples} samples")
    return values


def _colours_refusal(layout: Layout) -> str | None:
    if layout.photometric is None:
        return "its colour model is missing (tag 262); save it as RGB or gray"
    if layout.photometric not in _COLOURS:
        number = layout.photometric
        model = _COLOURS_NOT_TAKEN.get(number, f"the unknown colour model {number}")
        return f"its colours are {model}; save it as RGB or gray"
    model, colours = _COLOURS[layout.photometric]
    extra = layout.samples - colours
    if extra not in (0, 1) or (extra and layout.photometric == YCBCR):
        return f"{model} of {layout.samples} channels; save it as gray, RGB or RGB with alpha"
    if extra and layout.extra[:1] == (_PREMULTIPLIED,):
        return "its colours are multiplied by alpha; save it with straight alpha, or as PNG"
    undeclared = not layout.extra and layout.photometric == RGB  # OpenCV writes alpha like that
    if extra and layout.extra[:1] != (_STRAIGHT,) and not undeclared:
        channel = f"{model} with one more channel, which is not said to be alpha"
        return f"{channel}; remove it, or save it with straight (unassociated) alpha, or as PNG"
    return None


def _samples_refusal(layout: Layout) -> str | None:
    model = _COLOURS[layout.photometric or 0][0]
    if len(set(layout.bits)) > 1:
        mixed = ", ".join(map(str, layout.bits))
        return f"channels of {mixed} bits ({model}); save it with 8 bits a channel"
    number = _NUMBERS.get(layout.numbers[0], "integer")
    unknown = len(set(layout.numbers)) > 1 or not 1 <= layout.numbers[0] <= 6
    if unknown or number != "integer" or layout.bits[0] not in (1, 2, 4, 8):
        number = "oddly numbered" if unknown else number
        return f"{layout.bits[0]}-bit {number} channels ({model}); save it with 8 bits a channel"
    return None


def _writing_refusal(layout: Layout) -> str | None:
    number = layout.compression
    name = _COMPRESSIONS.get(number, "unknown")
    if number not in _TAKEN_COMPRESSIONS:
        return f"its compression is {name} ({number}); save it with LZW, deflate or none"
    if layout.bit_order not in (1, 2) or layout.planes not in (1, 2):
        odd = f"bit order {layout.bit_order} and planar configuration {layout.planes}"
        return f"{odd}; both are 1 or 2"
    return None


def _predictor_refusal(layout: Layout) -> str | None:
    if layout.predictor == 1 or layout.compression in {*FAX, *PICTURES}:
        return None  # the tag is ignored: fax and picture files have no predictor
    if layout.predictor != 2 or layout.bits[0] != 8:
        return f"predictor {layout.predictor} with {layout.bits[0]}-bit channels; save it without"
    if layout.compression not in _PREDICTED:
        return "a predictor without a compression that uses one; save it without predictor"
    return None


def _pairing_refusal(layout: Layout) -> str | None:
    """Return the reason to refuse this compression with these colours, or None."""
    if layout.photometric == YCBCR and (layout.compression != JPEG or layout.separate):
        return "YCbCr that is not JPEG-compressed; save it as RGB"
    if layout.compression in FAX and (layout.bits[0], layout.samples) != (1, 1):
        return f"fax compression of {layout.samples} x {layout.bits[0]} bits; save it with LZW"
    if layout.compression not in PICTURES:
        return None
    samples = 1 if layout.separate else layout.samples
    taken = (1, 3) if layout.compression == JPEG else (3, 4)
    if layout.bits[0] != 8 or samples not in taken or layout.photometric == PALETTE:
        name = "JPEG" if layout.compression == JPEG else "WebP"
        colours = f"{samples} channels of {layout.bits[0]} bits"
        return f"{name} compression of {colours}; save it with LZW, deflate or none"
    if layout.compression == WEBP and layout.bit_order == 2:
        return "WebP compression with reversed bits; save it with LZW, deflate or none"
    return None
