"""Every bad or odd image that comes to mind, as bytes, with its due outcome.

None is made by the code under test. A case with an error must raise just that class, with the
case's name and all of its words in the text; one without must decode.
"""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image as Pillow

from agewell.shared.errors import (
    BadImageError,
    ImageTooLargeError,
    MultiFrameError,
    UndecodableError,
    UnknownFormatError,
    UnsupportedPixelsError,
)
from tests.support.image_files import (
    HEIGHT,
    WIDTH,
    animation,
    bmp_saying,
    counting,
    cut,
    file_of,
    jpeg_saying,
    picture,
    png_of,
    png_with_a_bad_checksum,
    premultiplied_tiff,
    tiff_in_a_circle,
    webp_saying,
)


@dataclass(frozen=True)
class Case:
    """One file. Its name has the suffix that a user would have given it."""

    name: str
    make: Callable[[], bytes]
    error: type[BadImageError] | None = None
    words: tuple[str, ...] = ()

    @property
    def data(self) -> bytes:
        return self.make()


UNKNOWN = [
    Case("empty.png", lambda: b"", UnknownFormatError, ("empty", "0 bytes")),
    Case("text.jpg", lambda: b"Dear Sir or Madam,", UnknownFormatError, ("JPEG", "Dear Sir")),
    Case("zeros.png", lambda: bytes(1000), UnknownFormatError, ("PNG", r"\x00")),
    Case("one_byte.jpg", lambda: b"\xff", UnknownFormatError, ("JPEG",)),
    Case("page.webp", lambda: b"<!DOCTYPE html><html>", UnknownFormatError, ("DOCTYPE",)),
    Case("vector.png", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", UnknownFormatError),
    Case("sound.webp", lambda: b"RIFF\x24\0\0\0WAVEfmt ", UnknownFormatError, ("RIFF",)),
    Case("picture.gif", lambda: file_of("GIF"), UnknownFormatError, ("GIF8",)),
    Case("picture.ppm", lambda: file_of("PPM"), UnknownFormatError, ("P6",)),
    Case("picture.jp2", lambda: file_of("JPEG2000"), UnknownFormatError),
]

TOO_LARGE = [
    Case(
        "bytes.jpg",
        lambda: file_of("JPEG") + bytes(64 * 2**20),
        ImageTooLargeError,
        ("67,10", "limit", "67,108,864 bytes"),
    ),
    Case("wide.png", lambda: png_of(16_385, 1), ImageTooLargeError, ("16385 x 1", "16,384 px")),
    Case("huge.png", lambda: png_of(2**31 - 1, 2**31 - 1), ImageTooLargeError, ("2147483647",)),
    Case(
        "bomb.png",
        lambda: png_of(16_000, 16_000),
        ImageTooLargeError,
        ("16000 x 16000", "256,000,000 pixels", "50,000,000 pixels"),
    ),
    Case("bomb.jpg", lambda: jpeg_saying(8_000, 8_000), ImageTooLargeError, ("64,000,000",)),
    Case("tall.jpg", lambda: jpeg_saying(1, 65_535), ImageTooLargeError, ("1 x 65535",)),
    Case("bomb.bmp", lambda: bmp_saying(16_000, -16_000), ImageTooLargeError, ("256,000,000",)),
    Case("bomb.webp", lambda: webp_saying(16_383, 16_383), ImageTooLargeError, ("268,402,689",)),
    Case(
        "bomb.tif",
        lambda: file_of("TIFF", Pillow.new("1", (15_000, 15_000)), compression="group4"),
        ImageTooLargeError,
        ("225,000,000", "50,000,000"),
    ),
]

SEVERAL_FRAMES = [
    Case("animated.webp", lambda: animation("WEBP"), MultiFrameError, ("3 frames", "1")),
    Case("animated.png", lambda: animation("PNG"), MultiFrameError, ("3 frames", "1")),
    Case("pages.tif", lambda: animation("TIFF"), MultiFrameError, ("3 frames or pages", "1")),
]

DAMAGED = [
    *(
        Case(f"cut_at_{share:.0%}.{suffix}", lambda f=f, s=share: cut(f, s), UndecodableError)
        for f, suffix in [
            ("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif"), ("BMP", "bmp"),
        ]
        for share in (0.1, 0.4, 0.9)
    ),
    Case(
        "cut_progressive.jpg",
        lambda: cut("JPEG", progressive=True),
        UndecodableError,
        ("truncated",),
    ),
    Case("no_end.jpg", lambda: file_of("JPEG")[:-2], UndecodableError, ("end mark",)),
    Case("zeros_after.jpg", lambda: cut("JPEG", 0.9) + bytes(99), UndecodableError, ("end mark",)),
    Case("no_end.png", lambda: file_of("PNG")[:-12], UndecodableError, ("end mark",)),
    Case("last_byte.webp", lambda: file_of("WEBP")[:-1], UndecodableError, ("truncated",)),
    Case("last_byte.bmp", lambda: file_of("BMP")[:-1], UndecodableError),
    Case("cut_deflate.tif", lambda: cut("TIFF", compression="tiff_deflate"), UndecodableError),
    Case("signature_only.png", lambda: b"\x89PNG\r\n\x1a\n", UndecodableError, ("header",)),
    Case("signature_only.jpg", lambda: b"\xff\xd8\xff", UndecodableError, ("truncated",)),
    Case("signature_only.tif", lambda: b"II*\0", UndecodableError, ("header",)),
    Case("signature_only.bmp", lambda: b"BM", UndecodableError, ("header",)),
    Case("signature_only.webp", lambda: b"RIFF\x04\0\0\0WEBP", UndecodableError),
    Case("no_picture.jpg", lambda: b"\xff\xd8\xff\xd9", UndecodableError, ("no picture",)),
    Case("bad_checksum.png", png_with_a_bad_checksum, UndecodableError),
    Case("one_row_of_many.png", lambda: png_of(40, 40), UndecodableError),
    Case("no_width.png", lambda: png_of(0, 5), UndecodableError, ("0 x 5",)),
    Case("no_height.jpg", lambda: jpeg_saying(5, 0), UndecodableError, ("5 x 0",)),
    Case("negative_width.bmp", lambda: bmp_saying(-5, 5), UndecodableError, ("-5",)),
    Case("circle.tif", tiff_in_a_circle, UndecodableError, ("circle",)),
    Case("far_directory.tif", lambda: b"II*\0\xff\xff\xff\x7f" + bytes(64), UndecodableError),
    Case("no_tags.tif", lambda: b"II*\0\x08\0\0\0\0\0\0\0\0\0", UndecodableError, ("no size",)),
]  # fmt: skip

PIXELS_NOT_TAKEN = [
    Case(
        "gray16.png", lambda: file_of("PNG", counting("u2")), UnsupportedPixelsError, ("16 bits",)
    ),
    Case("rgb16.png", lambda: png_of(1, 1, bits=16), UnsupportedPixelsError, ("16 bits", "8 bits")),
    Case(
        "gray16.tif", lambda: file_of("TIFF", counting("u2")), UnsupportedPixelsError, ("16-bit",)
    ),
    Case("int32.tif", lambda: file_of("TIFF", counting("i4")), UnsupportedPixelsError, ("32-bit",)),
    Case(
        "float.tif",
        lambda: file_of("TIFF", counting("f4")),
        UnsupportedPixelsError,
        ("32-bit floating-point", "8 bits"),
    ),
    Case("12_bits.jpg", lambda: jpeg_saying(WIDTH, HEIGHT, 12), UnsupportedPixelsError, ("12",)),
    Case(
        "cmyk.jpg",
        lambda: file_of("JPEG", picture("CMYK")),
        UnsupportedPixelsError,
        ("CMYK", "save it as RGB"),
    ),
    Case(
        "cmyk.tif",
        lambda: file_of("TIFF", picture("CMYK")),
        UnsupportedPixelsError,
        ("CMYK", "save it as RGB"),
    ),
    Case("lab.tif", lambda: file_of("TIFF", picture("LAB")), UnsupportedPixelsError, ("Lab",)),
    Case(
        "premultiplied.tif",
        premultiplied_tiff,
        UnsupportedPixelsError,
        ("multiplied by alpha", "straight"),
    ),
    Case(
        "transparent_gray.png",
        lambda: file_of("PNG", picture("L"), transparency=7),
        UnsupportedPixelsError,
        ("transparent", "gray with alpha"),
    ),
]

TAKEN = [
    *(
        Case(f"{mode.lower()}.{f.lower()}", lambda f=f, mode=mode: file_of(f, picture(mode)))
        for f, modes in {
            "PNG": ("1", "L", "P", "LA", "RGB", "RGBA"),
            "TIFF": ("1", "L", "P", "LA", "RGB", "RGBA"),
            "BMP": ("1", "L", "P", "RGB"),
        }.items()
        for mode in modes
    ),
    *(
        Case(
            f"{mode.lower()}.webp",
            lambda mode=mode: file_of("WEBP", picture(mode), lossless=True, exact=True),
        )
        for mode in ("L", "RGB", "RGBA")
    ),
    *(
        Case(f"{packing}.tif", lambda packing=packing: file_of("TIFF", compression=packing))
        for packing in ("tiff_lzw", "tiff_deflate", "packbits")
    ),
    Case("big.tif", lambda: file_of("TIFF", big_tiff=True)),
    Case("fax.tif", lambda: file_of("TIFF", picture("1"), compression="group4")),
    Case("rgba_lzw.tif", lambda: file_of("TIFF", picture("RGBA"), compression="tiff_lzw")),
    Case("transparent_palette.png", lambda: file_of("PNG", picture("P"), transparency=3)),
    Case("half_transparent.png", lambda: file_of("PNG", picture("P"), transparency=b"\x80\x40")),
    Case("four_bits.png", lambda: file_of("PNG", picture("P"), bits=4)),
    Case("gray.jpg", lambda: file_of("JPEG", picture("L"))),
    Case("colour.jpg", lambda: file_of("JPEG")),
    Case("progressive.jpg", lambda: file_of("JPEG", progressive=True)),
    Case("bytes_after_the_end.jpg", lambda: file_of("JPEG") + b"appended"),
    Case("bytes_after_the_end.png", lambda: file_of("PNG") + b"appended"),
    Case("one_pixel.png", lambda: file_of("PNG", Pillow.new("RGB", (1, 1), (1, 2, 3)))),
    Case("png_in_truth.jpg", lambda: file_of("PNG")),
    Case("damaged_exif.jpg", lambda: file_of("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")),
]

REFUSED = [*UNKNOWN, *TOO_LARGE, *SEVERAL_FRAMES, *DAMAGED, *PIXELS_NOT_TAKEN]
CASES = [*REFUSED, *TAKEN]
