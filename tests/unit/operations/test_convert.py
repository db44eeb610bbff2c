"""Converting: colours against LittleCMS in Pillow, and metadata as Pillow reads it back."""

import io
import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageCms
from PIL.TiffImagePlugin import IFDRational

from agewell.shared.errors import BadJobError, UnsupportedPixelsError
from agewell.shared.settings import Settings
from agewell.workers.imaging.codec import Limits, decode, encode
from agewell.workers.imaging.metadata import MOST_BYTES, Embedded, Metadata, upright
from agewell.workers.imaging.metadata_io import read_embedded
from agewell.workers.operations.context import JobContext
from agewell.workers.operations.convert import convert
from agewell.workers.operations.declaration import ATTRIBUTE
from agewell.workers.operations.result import Result
from tests.support.paths import PHOTOS

LIMITS = Limits()
ORIENTATION, MAKE, ARTIST, THUMBNAIL = 0x0112, 0x010F, 0x013B, 0x0201
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    b'tiff:Orientation="6" tiff:Artist="Ada"/></rdf:RDF></x:xmpmeta>'
)
UPRIGHT_XMP = XMP.replace(b'"6"', b'"1"')
HOLDERS = ["jpeg", "png", "webp"]


def wide_gamut() -> bytes:
    """A profile of RGB like Adobe's: other primaries, and a gamma of 2.2."""
    primaries = [(0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)]
    return matrix_profile(b"RGB ", 2.2, primaries)


def gray_profile(gamma: float) -> bytes:
    return matrix_profile(b"GRAY", gamma, [])


def matrix_profile(space: bytes, gamma: float, primaries: list[tuple[float, ...]]) -> bytes:
    """A minimal ICC profile of version 2, by the layout in ICC.1:2001-04."""

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(each * 65536) for each in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = [(b"desc", text + b"\0"), (b"cprt", b"text\0\0\0\0none\0\0\0\0")]
    tags.append((b"wtpt", xyz((0.9642, 1.0, 0.8249))))
    tags += [
        (name, xyz(each))
        for name, each in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=False)
    ]
    tags += [(name, curve) for name in ((b"rTRC", b"gTRC", b"bTRC") if primaries else (b"kTRC",))]
    position, table, content = 128 + 4 + 12 * len(tags), b"", b""
    for name, value in tags:
        value += bytes(-len(value) % 4)
        table += name + struct.pack(">II", position + len(content), len(value))
        content += value
    head = struct.pack(">I4sI4s4s4s", position + len(content), b"none", 0x02100000, b"mntr", space,
                       b"XYZ ")  # fmt: skip
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += xyz((0.9642, 1.0, 0.8249))[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + content


def a_photo(mode: str = "RGB") -> Pillow.Image:
    with Pillow.open(PHOTOS / "kodim23-macaws.jpg") as photo:
        small = photo.resize((61, 47)).convert("RGB")
    if mode == "RGBA":
        small.putalpha(Pillow.linear_gradient("L").resize(small.size))
    return small.convert(mode)


def a_file(image: Pillow.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format.upper(), **{"lossless": True, "quality": 95} | options)
    return buffer.getvalue()


def converted(data: bytes, **parameters: str) -> Result:
    image = decode(data, "photo", LIMITS)
    image.flags.writeable = False
    return convert(image, JobContext(Settings(), original=lambda: data), **parameters)


def by_pillow(image: Pillow.Image, profile: bytes) -> np.ndarray:
    """Convert RGB or gray to sRGB by LittleCMS. Returns RGB."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    srgb = ImageCms.createProfile("sRGB")
    return np.asarray(ImageCms.profileToProfile(image, source, srgb, outputMode="RGB"))


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("image_format", ["png", "webp", "tiff"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_converted_as_by_pillow(image_format, mode):
    photo = a_photo(mode)
    found = converted(a_file(photo, image_format, icc_profile=wide_gamut()))
    expected = by_pillow(photo.convert("RGB"), wide_gamut())
    assert found.info["profile"] == "converted to sRGB"
    np.testing.assert_array_equal(found.image[..., 2::-1], expected)
    assert np.abs(expected.astype(int) - np.asarray(photo)[..., :3]).max() > 20  # it does something
    if mode == "RGBA":
        np.testing.assert_array_equal(found.image[..., 3], np.asarray(photo)[..., 3])


def test_profile_of_a_jpeg_in_several_segments_is_used():
    profile = wide_gamut() + bytes(100_000)  # a profile may be longer than it says
    photo = Pillow.open(io.BytesIO(a_file(a_photo(), "jpeg")))
    found = converted(a_file(a_photo(), "jpeg", icc_profile=profile))
    difference = np.abs(found.image[..., ::-1].astype(int) - by_pillow(photo, wide_gamut()))
    assert found.info["profile"] == "converted to sRGB"
    assert difference.max() <= 4  # Pillow's libjpeg rounds the colours in another way


def test_rows_are_converted_block_by_block(monkeypatch):
    data = a_file(a_photo(), "png", icc_profile=wide_gamut())
    whole = converted(data).image
    monkeypatch.setattr("agewell.workers.imaging.profile._BLOCK_PIXELS", 500)
    np.testing.assert_array_equal(converted(data).image, whole)


def test_gray_stays_gray():
    photo = a_photo("L")
    found = converted(a_file(photo, "png", icc_profile=gray_profile(1.0)))
    assert found.image.ndim == 2
    np.testing.assert_array_equal(found.image, by_pillow(photo, gray_profile(1.0))[..., 0])
    # A profile of RGB takes gray as equal red, green and blue; their results differ by rounding.
    found = converted(a_file(photo, "png", icc_profile=wide_gamut()))
    expected = by_pillow(photo.convert("RGB"), wide_gamut())
    assert np.abs(found.image[..., None].astype(int) - expected).max() <= 1


def test_pixels_in_srgb_are_not_touched():
    data = a_file(a_photo(), "png", icc_profile=srgb_profile())
    found = converted(data)
    assert found.info["profile"] == "sRGB"
    np.testing.assert_array_equal(found.image, decode(data, "x", LIMITS))


def bomb() -> bytes:
    """A PNG whose profile unpacks to 64 MiB."""
    plain = a_file(a_photo(), "png")
    content = b"name\0\0" + zlib.compress(bytes(2**26))
    chunk = struct.pack(">I", len(content)) + b"iCCP" + content
    chunk += struct.pack(">I", zlib.crc32(chunk[4:]))
    return plain[:33] + chunk + plain[33:]


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (a_file(a_photo(), "png"), "none"),
        (a_file(a_photo(), "bmp"), "none"),
        (a_file(a_photo(), "png", icc_profile=b"no profile" * 50), "ignored: it is damaged"),
        (a_file(a_photo(), "jpeg", icc_profile=wide_gamut()[:200]), "ignored: it is damaged"),
        (
            a_file(a_photo(), "png", icc_profile=gray_profile(1.0)),
            "ignored: it is for gray, but the image has colours",
        ),
        (bomb(), "ignored: larger than 4,194,304 bytes"),
    ],
)
def test_profiles_that_cannot_be_used_change_nothing(data, outcome):
    found = converted(data)
    assert found.info["profile"] == outcome
    np.testing.assert_array_equal(found.image, decode(data, "x", LIMITS))


def test_profile_is_ignored_if_asked():
    data = a_file(a_photo(), "png", icc_profile=wide_gamut())
    found = converted(data, profile="ignore")
    assert found.info["profile"] == "ignored: as asked"
    np.testing.assert_array_equal(found.image, decode(data, "x", LIMITS))


def exif_of(orientation: int = 6, thumbnail: bytes = b"") -> bytes:
    """EXIF with a camera, an exposure, a place, and a thumbnail as the last part."""
    exif = Pillow.Exif()
    exif[ORIENTATION], exif[MAKE], exif[ARTIST] = orientation, "Camera", "Ada"
    exif.get_ifd(0x8769)[0x829A] = IFDRational(1, 250)
    exif.get_ifd(0x8825)[1] = "N"
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    if not thumbnail:
        return block
    order = "<" if block[:1] == b"I" else ">"
    (start,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, start)
    link = start + 2 + 12 * count
    block += b"\0" * (len(block) % 2)
    entries = [(0x0201, 4, 1, len(block) + 30), (0x0202, 4, 1, len(thumbnail))]
    second = struct.pack(order + "H", 2) + b"".join(
        struct.pack(order + "HHII", *entry) for entry in entries
    )
    head = block[:link] + struct.pack(order + "I", len(block)) + block[link + 4 :]
    return head + second + bytes(4) + thumbnail


def written(image: np.ndarray, image_format: str, metadata: Metadata | None) -> Pillow.Image:
    data = encode(image, image_format, None, "x", metadata=metadata)
    np.testing.assert_array_equal(
        decode(data, "x", LIMITS), decode(encode(image, image_format, None, "x"), "x", LIMITS)
    )
    opened = Pillow.open(io.BytesIO(data))
    opened.load()
    return opened


def xmp_in(image: Pillow.Image) -> bytes:
    found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp", b"")
    return found.encode() if isinstance(found, str) else found


@pytest.mark.parametrize("source", HOLDERS)
@pytest.mark.parametrize("target", HOLDERS)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_metadata_is_kept_and_upright(source, target, mode):
    if mode == "RGBA" and "jpeg" in (source, target):
        pytest.skip("JPEG has no alpha")
    thumbnail = a_file(a_photo(), "jpeg")
    data = a_file(a_photo(mode), source, exif=b"Exif\0\0" + exif_of(6, thumbnail), xmp=XMP)
    if source == "png":  # Pillow writes XMP there only as text
        data = encode(np.asarray(a_photo(mode)), "png", None, "x",
                      metadata=Metadata(exif_of(6, thumbnail), XMP))  # fmt: skip
    found = converted(data, metadata="keep")
    assert found.info["metadata"] == "EXIF, XMP"
    result = written(found.image, target, found.metadata)
    exif = result.getexif()
    assert (exif[ORIENTATION], exif[MAKE], exif[ARTIST]) == (1, "Camera", "Ada")
    assert exif.get_ifd(0x8769)[0x829A] == pytest.approx(1 / 250)
    assert exif.get_ifd(0x8825)[1] == "N"
    assert not exif.get_ifd(0x014A) and THUMBNAIL not in exif.get_ifd(1)
    assert thumbnail not in found.metadata.exif
    assert len(found.metadata.exif) < len(exif_of()) + 50
    assert xmp_in(result) == UPRIGHT_XMP


def test_metadata_is_stripped_by_default():
    found = converted(a_file(a_photo(), "jpeg", exif=exif_of(), xmp=XMP))
    assert (found.metadata, found.info["metadata"]) == (None, "stripped")
    assert not written(found.image, "jpeg", found.metadata).getexif()


def test_tiff_keeps_xmp():
    data = a_file(a_photo(), "tiff", tiffinfo={700: XMP}, compression="raw")
    kept = converted(data, metadata="keep").metadata
    assert kept.xmp == UPRIGHT_XMP
    result = written(np.asarray(a_photo()), "tiff", Metadata(exif_of(), kept.xmp))
    assert bytes(result.tag_v2[700]) == kept.xmp


def test_what_a_format_cannot_hold_is_left_out():
    image = np.asarray(a_photo())
    long = Metadata(exif_of(1).ljust(70_000, b"\0"), UPRIGHT_XMP)
    assert MAKE not in written(image, "jpeg", long).getexif()
    assert xmp_in(written(image, "jpeg", long)) == UPRIGHT_XMP
    assert written(image, "png", long).getexif()[MAKE] == "Camera"
    assert encode(image, "bmp", None, "x", metadata=long) == encode(image, "bmp", None, "x")


@pytest.mark.skipif(not shutil.which("identify"), reason="ImageMagick is not installed")
@pytest.mark.parametrize("target", [*HOLDERS, "tiff"])
def test_imagemagick_reads_the_results(target, tmp_path):
    path = tmp_path / f"result.{target}"
    xmp = b"" if target == "webp" else UPRIGHT_XMP  # version 6 warns of any, Pillow's too
    metadata = Metadata(exif_of(1), xmp)
    path.write_bytes(encode(np.asarray(a_photo()), target, None, "x", metadata=metadata))
    make = "%[EXIF:Make]" if target == "jpeg" else "Camera"  # version 6 reads EXIF only in JPEG
    command = ["identify", "-regard-warnings", "-format", f"%w %h {make}", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found == "61 47 Camera"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_exif_is_left_out_or_upright(data):
    block = bytearray(exif_of(6, b"thumbnail" * 30))
    for _ in range(data.draw(st.integers(0, 6))):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    block = bytes(block[: data.draw(st.integers(0, len(block)))])
    kept = upright(Embedded(exif=block)).exif
    assert len(kept) <= len(block)
    assert not kept or upright(Embedded(exif=kept)).exif == kept


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_garbage_is_no_metadata(garbage):
    for block in (garbage, b"II*\0" + garbage, b"MM\0*\0\0\0\x08" + garbage):
        assert len(upright(Embedded(exif=block, xmp=garbage)).exif) <= len(block)
    for start in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\1\0\0WEBP", b"II*\0"):
        read_embedded(start + garbage)


def test_long_parts_are_left_out():
    assert (
        upright(Embedded(b"II*\0".ljust(MOST_BYTES + 1), b"<".ljust(MOST_BYTES + 1))) == Metadata()
    )


def test_image_without_its_file_is_returned_as_it_is():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    found = convert(image, JobContext(Settings()), metadata="keep")
    assert found.image is image
    assert found.info == {"profile": "none", "metadata": "none"}


@pytest.mark.parametrize("values", [{"profile": "adobe"}, {"metadata": "all"}, {"quality": 3}])
def test_other_values_are_refused(values):
    with pytest.raises(BadJobError, match=next(iter(values))):
        getattr(convert, ATTRIBUTE).read_parameters(values)


def test_array_that_is_no_image_is_refused():
    with pytest.raises(UnsupportedPixelsError, match="image"):
        convert(np.zeros((2, 2, 2), np.uint8), JobContext(Settings()))
