"""Cost of a thumbnail, compared with bare loops of libvips, Pillow and OpenCV.

Each makes a JPEG of 500 px of one of 2000 x 1333. libvips, Pillow and agewell decode the JPEG at a
smaller scale and then resize by Lanczos. OpenCV decodes all of it, as its defaults do, and resizes
by area. The bare loops run one process per core with one thread each. All run in turns.

You need `pip install 'agewell[bench]'` for libvips. Without it, its row is left out.
"""

import importlib.util
import io
import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from agewell.shared.protocol.built_in_jobs import ThumbnailItem, ThumbnailJob
from agewell.shared.protocol.messages import Output
from benchmarks.bare_loop import Work, bare_loops
from benchmarks.cost import Cost, in_turns, per_image_ms, ratios
from benchmarks.photos import make_images
from benchmarks.report import report
from benchmarks.whole_system import whole_system

SIZE = (2000, 1333)
IMAGES = 128
IMAGES_PER_JOB = 32
SIDE = 500
QUALITY = 95  # agewell's default and OpenCV's


def by_libvips(data: bytes) -> bytes:
    """Make a thumbnail by libvips."""
    os.environ["VIPS_CONCURRENCY"] = "1"  # read by the first import
    import pyvips

    pyvips.cache_set_max(0)  # the next image may lie at the same address
    return bytes(pyvips.Image.thumbnail_buffer(data, SIDE).jpegsave_buffer(Q=QUALITY))


def by_pillow(data: bytes) -> bytes:
    """Make a thumbnail by Pillow."""
    made = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (2 * SIDE, 2 * SIDE))
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        image.save(made, "JPEG", quality=QUALITY)
    return made.getvalue()


def by_opencv(data: bytes) -> bytes:
    """Make a thumbnail by OpenCV."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    scale = SIDE / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small)[1].tobytes()


def peers() -> dict[str, Work]:
    """Return the bare loops that can run here."""
    found = {"Pillow, draft": by_pillow, "OpenCV": by_opencv}
    if importlib.util.find_spec("pyvips") is None:
        print("libvips is left out: pyvips is not installed. Run pip install 'agewell[bench]'.")
        return found
    return {"libvips, thumbnail_buffer": by_libvips} | found


TARGETS = {"agewell": "<= 25 ms", "libvips, thumbnail_buffer": ">= 0.8"}


def make_job(fields: Sequence[dict[str, object]]) -> ThumbnailJob:
    """Make a job of the images of its items."""
    items = tuple(ThumbnailItem.model_validate(each) for each in fields)
    return ThumbnailJob(items=items, size=SIDE, output=Output(format="jpeg"))


def main() -> None:
    """Measure all of them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        bare_loops() as bare,
        whole_system() as system,
    ):
        paths = make_images(Path(folder), SIZE, IMAGES)

        def run_system() -> Cost:
            return system.run(make_job, paths, IMAGES_PER_JOB)[0]

        runs = {name: partial(bare.run, work, paths) for name, work in peers().items()}
        costs = in_turns({"agewell": run_system, **runs})
    rows = [
        {
            "maker": name,
            **per_image_ms(theirs, IMAGES),
            **{f"agewell {key}": each for key, each in ratios(costs["agewell"], theirs).items()},
            "target": TARGETS.get(name, "-"),
        }
        for name, theirs in costs.items()
    ]
    title = (
        "Thumbnails of 500 px, JPEG of 2000 x 1333 in, JPEG out: bare loops over the whole system"
    )
    report("thumbnails", title, rows)


if __name__ == "__main__":
    main()
