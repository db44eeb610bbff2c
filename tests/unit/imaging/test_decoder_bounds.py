"""Small files that would cost a decoder gigabytes or minutes."""

import multiprocessing
import resource
import struct
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest

from agewell.shared.errors import BadImageError, UndecodableError, UnsupportedPixelsError
from agewell.workers.imaging.codec import Limits, decode, probe
from tests.oracles.orientations import text_chunk, xmp
from tests.oracles.photo_rows import with_scans
from tests.oracles.png_writer import Png, samples
from tests.support.image_files import file_of, jpeg_saying, png_chunk

LIMITS = Limits()
RGB = Png(samples(2, 8), 2)
MIB = 2**20


def zeros(mebibytes: int) -> bytes:
    """A deflate stream of this many zeros, without its end: one block, many times."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = stream.compress(bytes(16 * MIB)) + stream.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\xda" + block * (mebibytes // 16)


def cost_of(data: bytes) -> tuple[str, float, int]:
    """The outcome of decoding a file, the seconds it took, and the peak of memory in MiB."""
    decode(file_of("PNG"), "first.png", LIMITS)
    try:
        outcome = str(decode(data, "bomb.png", LIMITS).shape)
    except BadImageError as error:
        outcome = str(error)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return outcome, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024


@pytest.fixture(scope="module")
def measured():
    """Decodes one file in a new process, as a peak of memory does not fall."""
    with ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        yield lambda data: pool.submit(cost_of, data).result(timeout=120)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_text_that_unpacks_to_gigabytes_takes_no_memory(kind, measured):
    seven_mib = b" " * (7 * MIB)  # libpng keeps a text up to its first zero
    text = text_chunk(kind, b"Comment", seven_mib, packed=True)
    _, _, plain = measured(RGB.data)
    outcome, _, peak = measured(replace(RGB, before=[text] * 250).data)
    assert outcome == "(13, 19, 3)"
    assert peak < plain + 30


def test_xmp_is_unpacked_up_to_a_bound():
    packed = text_chunk(b"iTXt", b"XML:com.adobe.xmp", bytes(64 * MIB) + xmp(6), packed=True)
    assert probe(replace(RGB, before=[packed]).data, "bomb.png", LIMITS).orientation == 1


def test_pixels_that_unpack_to_gigabytes_are_refused_at_once(measured):
    flood = png_chunk(b"IDAT", zeros(8 * 1024))
    outcome, seconds, _ = measured(RGB.data[:33] + flood + RGB.data[-12:])
    assert "unpack to more than the 754 bytes" in outcome
    _, without, _ = measured(RGB.data)
    assert seconds < without + 2  # all of it takes 20 s


def test_a_profile_that_unpacks_to_gigabytes_is_not_unpacked(measured):
    profile = (b"iCCP", b"profile\0\0" + zeros(4 * 1024))
    _, _, plain = measured(RGB.data)
    outcome, _, peak = measured(replace(RGB, before=[profile]).data)
    assert outcome == "(13, 19, 3)"
    assert peak < plain + 30


def test_thousands_of_scans_are_refused_by_name():
    with pytest.raises(UnsupportedPixelsError, match=r"4,010 scans; the limit is 100"):
        decode(with_scans(4_000), "slow.jpg", LIMITS)


def test_scans_are_limited_by_the_size_of_the_picture():
    data = bytearray(with_scans(20))
    struct.pack_into(">HH", data, data.index(b"\xff\xc2") + 5, 7_000, 7_000)
    with pytest.raises(UnsupportedPixelsError, match=r"30 scans; the limit is 20 for a JPEG"):
        probe(bytes(data), "slow.jpg", LIMITS)


def test_the_largest_picture_may_have_the_scans_that_encoders_write():
    data = bytearray(with_scans(0))
    struct.pack_into(">HH", data, data.index(b"\xff\xc2") + 5, 7_000, 7_000)
    assert probe(bytes(data), "large.jpg", LIMITS).width == 7_000


def test_markers_without_end_are_read_in_linear_time():
    with pytest.raises(UndecodableError, match="end mark"):
        decode(jpeg_saying(8, 8)[:-2] + b"\xff" * (4 * MIB), "fill.jpg", LIMITS)
