"""Metadata that an operation returns is written into the result, also within a pipeline."""

import io

import pytest
from PIL import Image as Pillow

from agewell.shared.settings import Settings
from agewell.workers.jobs.job_classes import parse_job
from agewell.workers.jobs.run import run_job
from tests.support.image_files import file_of
from tests.support.memory_blobs import MemoryBlobs

SETTINGS = Settings(redis_url="redis://127.0.0.1:1")
ORIENTATION, ARTIST = 0x0112, 0x013B


def a_turned_jpeg() -> bytes:
    exif = Pillow.Exif()
    exif[ORIENTATION], exif[ARTIST] = 6, "Ada"
    return file_of("JPEG", exif=exif)


def result_of(image_format: str, **job: object) -> tuple[Pillow.Image, dict[str, object]]:
    blobs = MemoryBlobs()
    (reference,) = blobs.put([("photo.jpg", "image/jpeg", a_turned_jpeg())])
    items, output = [{"image": reference.model_dump(mode="json")}], {"format": image_format}
    (item,) = run_job(parse_job({"items": items, "output": output} | job), blobs, SETTINGS).items
    return Pillow.open(io.BytesIO(blobs.get(item.image))), item.info


@pytest.mark.parametrize("image_format", ["jpeg", "png", "webp"])
def test_convert_keeps_metadata(image_format):
    image, info = result_of(image_format, op="convert", metadata="keep")
    assert image.size == (32, 48)
    assert dict(image.getexif()) == {ORIENTATION: 1, ARTIST: "Ada"}
    assert info == {"profile": "none", "metadata": "EXIF"}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_metadata_passes_through_a_pipeline(order):
    steps = [{"op": "convert", "metadata": "keep"}, {"op": "resize", "width": 16}]
    image, info = result_of("png", op="pipeline", steps=[steps[each] for each in order])
    assert image.size == (16, 24)
    assert image.getexif()[ARTIST] == "Ada"
    assert info["metadata"] == "EXIF"


def test_other_operations_write_no_metadata():
    image, _ = result_of("jpeg", op="flip")
    assert not image.getexif()
