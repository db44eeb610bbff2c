"""Mutated images, by the thousand: every item of every job settles, as an image or an error."""

import io
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from PIL import Image as Pillow

from tests.fuzz.mutate import mutate_bytes
from tests.oracles import bmp_rows
from tests.support.messages import answer_to, hsv_job, inline, send, stored
from tests.support.paths import PHOTOS
from tests.support.stack import Stack

ITEMS = 32
INLINE_MAX_BYTES = 32 * 1024
CLEAR = {
    "UnknownFormatError", "ImageTooLargeError", "MultiFrameError", "UndecodableError",
    "UnsupportedPixelsError",
}  # fmt: skip
"""Errors that a bad image may have. An OperationError would be one that nobody foresaw."""


def originals() -> list[bytes]:
    """The examples, made small, in every format and many of its variants."""
    found = []
    for path in sorted(PHOTOS.glob("*.jpg")) + sorted(PHOTOS.glob("*.png")):
        photo = Pillow.open(path)
        photo.thumbnail((160, 160))
        colour, exif = photo.convert("RGB"), Pillow.Exif()
        exif[0x0112] = 6
        variants: list[tuple[Pillow.Image, str, dict[str, Any]]] = [
            (colour, "JPEG", {"quality": 85, "exif": exif}),
            (colour, "JPEG", {"progressive": True}),
            (colour.convert("L"), "JPEG", {}),
            (colour, "PNG", {}),
            (photo.convert("RGBA"), "PNG", {}),
            (colour.quantize(64), "PNG", {"transparency": 3}),
            (colour, "WEBP", {"quality": 80}),
            (photo.convert("RGBA"), "WEBP", {"lossless": True}),
            (colour, "TIFF", {}),
            (colour, "TIFF", {"compression": "tiff_lzw"}),
            (photo.convert("RGBA"), "TIFF", {"compression": "tiff_deflate"}),
            (colour.convert("1"), "TIFF", {"compression": "group4"}),
            (colour, "TIFF", {"compression": "jpeg"}),
            (colour, "BMP", {}),
            (colour.quantize(16), "BMP", {}),
        ]
        for image, kind, options in variants:
            buffer = io.BytesIO()
            image.save(buffer, kind, **options)
            found.append(buffer.getvalue())
    return found + [row.data for row in bmp_rows.rows()][::20]


def mutants(count: int, seed: int) -> Iterator[bytes]:
    """So many broken files."""
    files, chance = originals(), random.Random(seed)
    for number in range(count):
        other = chance.choice(files)
        yield mutate_bytes(files[number % len(files)], other, chance)


def reference(stack: Stack, data: bytes, name: str) -> dict[str, Any]:
    return inline(data, name) if len(data) <= INLINE_MAX_BYTES else stored(stack, data, name)


def send_images(stack: Stack, files: list[bytes]) -> list[str]:
    """Send jobs of many files each. Returns their ids."""
    jobs = [files[start : start + ITEMS] for start in range(0, len(files), ITEMS)]
    ids = []
    for number, parcel in enumerate(jobs):
        refs = [reference(stack, data, f"{number}-{n}") for n, data in enumerate(parcel)]
        ids.append(send(stack, "cv.hsv", hsv_job(*refs)))
    return ids


def settle(stack: Stack, ids: list[str]) -> Counter[str]:
    """Wait for every job. Counts the items by "image" or by their error's code."""
    counts: Counter[str] = Counter()
    for job_id in ids:
        try:
            items = answer_to(stack, job_id, timeout_s=180)["items"]
        except Exception as error:  # noqa: BLE001 - whatever the result says
            documents = getattr(error, "errors", None)
            codes = [each["code"] for each in documents] if documents else [type(error).__name__]
            counts.update(codes)
        else:
            counts.update("image" if "image" in each else each["error"]["code"] for each in items)
    return counts
