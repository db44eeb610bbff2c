"""Processor time of one image, JPEG in and PNG out, compared with OpenCV alone.

Both sides decode, convert to HSV and encode, on one core. OpenCV's side has no checks. They run in
turns, each on the same files: the example photos at 1080p and at 256 pixels, saved as JPEG.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from agewell.shared.protocol.formats import Effort
from agewell.workers.imaging.codec import Limits, decode, encode
from agewell.workers.operations.hsv import hsv
from benchmarks.report import Spread, report

PHOTOS = Path(__file__).parent.parent / "examples" / "images"
SIZES = ((1920, 1080), (256, 256))
ROUNDS = 9


def make_jpegs(size: tuple[int, int]) -> list[bytes]:
    """Return the example photos as JPEGs of one size (width, height)."""
    photos = (cv2.imread(str(path)) for path in sorted(PHOTOS.glob("*.jpg")))
    resized = (cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC) for photo in photos)
    options = [cv2.IMWRITE_JPEG_QUALITY, 92]
    return [cv2.imencode(".jpg", image, options)[1].tobytes() for image in resized]


def work_barely(data: bytes) -> int:
    """Decode, convert and encode with OpenCV. Returns the size of the PNG in bytes."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return len(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_BGR2HSV))[1])


def work(data: bytes, effort: Effort) -> int:
    """Decode, convert and encode as a worker does. Returns the size of the PNG in bytes."""
    image = hsv(decode(data, "photo", Limits()))
    return len(encode(image, "png", None, "photo", effort))


def measure(function: Callable[[bytes], int], jpegs: Sequence[bytes]) -> tuple[float, int]:
    """Return the processor time in ms of one image, and the bytes of all PNGs."""
    started = time.thread_time()
    size = sum(map(function, jpegs))
    return 1000 * (time.thread_time() - started) / len(jpegs), size


def compare(size: tuple[int, int], effort: Effort) -> dict[str, object]:
    """Measure one row: a size of image and an effort, in turns with OpenCV."""
    jpegs = make_jpegs(size)
    sides = (work_barely, partial(work, effort=effort))
    for side in sides:
        measure(side, jpegs)  # warm up
    pairs = [tuple(measure(side, jpegs) for side in sides) for _ in range(ROUNDS)]
    (_, bare_bytes), (_, our_bytes) = pairs[0]
    return {
        "images": f"{size[0]} x {size[1]}",
        "effort": effort,
        "OpenCV, ms": Spread(tuple(bare for (bare, _), _ in pairs)),
        "agewell, ms": Spread(tuple(ours for _, (ours, _) in pairs)),
        "times as fast": Spread(tuple(bare / ours for (bare, _), (ours, _) in pairs)),
        "times as large": our_bytes / bare_bytes,
    }


def main() -> None:
    """Measure both sizes and both efforts."""
    cv2.setNumThreads(1)
    efforts: tuple[Effort, ...] = ("fast", "small")
    rows = [compare(size, effort) for size in SIZES for effort in efforts]
    report("codec", "HSV, JPEG in, PNG out: processor time of one image on one core", rows)


if __name__ == "__main__":
    main()
