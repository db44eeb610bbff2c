"""Pipelines on a worker: their pixels, their work, and errors that name the step."""

from typing import Any

import cv2
import numpy as np
import pytest

from agewell.jobs import FlipStep, ResizeStep, SharpenStep, WatermarkStep
from agewell.shared.errors import (
    AgewellError,
    AllItemsFailedError,
    BadJobError,
    BlobMissingError,
    CancelledError,
    ParameterError,
    ShapeError,
    UndecodableError,
    UnsupportedPixelsError,
)
from agewell.shared.metrics import Metric, tally
from agewell.shared.protocol.messages import ImageRef, PipelineItem, PipelineJob, Step
from agewell.shared.settings import Settings
from agewell.workers.imaging.codec import decode
from agewell.workers.jobs.images import limits_of
from agewell.workers.jobs.job_classes import parse_job
from agewell.workers.jobs.run import run_job
from agewell.workers.jobs.stages import stages_of
from agewell.workers.operations.context import JobContext
from agewell.workers.operations.crop import crop
from agewell.workers.operations.grayscale import grayscale
from agewell.workers.operations.resize import resize
from agewell.workers.operations.sharpen import sharpen
from agewell.workers.operations.watermark import watermark
from tests.support.image_files import cut, file_of, picture
from tests.support.memory_blobs import MemoryBlobs

SETTINGS = Settings(redis_url="redis://127.0.0.1:1")
TYPES = {"PNG": "image/png", "JPEG": "image/jpeg"}


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


def put(blobs: MemoryBlobs, name: str, data: bytes, kind: str = "PNG") -> ImageRef:
    [ref] = blobs.put([(name, TYPES[kind], data)])
    return ref


def run(blobs: MemoryBlobs, steps: Any, *images: ImageRef, **options: Any) -> Any:
    document = {
        "op": "pipeline",
        "items": [{"image": each.model_dump()} for each in images],
        "steps": [
            each.model_dump(exclude_none=True) if isinstance(each, Step) else each for each in steps
        ],
    }
    return run_job(parse_job(document), blobs, SETTINGS, **options)


def pixels(blobs: MemoryBlobs, item: Any) -> np.ndarray:
    data = np.frombuffer(blobs.get(item.image), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_pixels_are_those_of_the_functions_one_after_another(blobs, mode):
    files = {
        "photo.png": file_of("PNG", picture(mode)),
        "logo.png": file_of("PNG", picture("RGBA")),
    }
    photo, logo = (put(blobs, name, data) for name, data in files.items())
    steps = [
        ResizeStep(width=30),
        WatermarkStep(image=logo, gravity="southeast", opacity=0.4, size=0.5, margin=2),
        SharpenStep(amount=2),
    ]
    result = run(blobs, steps, photo)
    image, mark = (decode(data, name, limits_of(SETTINGS)) for name, data in files.items())
    image = resize(image, width=30, context=JobContext(SETTINGS))
    image = watermark(image, mark, gravity="southeast", opacity=0.4, size=0.5, margin=2)
    np.testing.assert_array_equal(pixels(blobs, result.items[0]), sharpen(image, amount=2))
    assert result.op == "pipeline"
    assert result.items[0].image.name == "photo.pipeline.png"


def test_shape_and_channels_may_change_between_steps(blobs):
    photo = put(blobs, "photo.png", file_of("PNG", picture("RGBA")))
    result = run(blobs, [{"op": "crop", "box": [4, 5, 20, 10]}, {"op": "grayscale"}], photo)
    image = decode(blobs.get(photo), "photo.png", limits_of(SETTINGS))
    expected = grayscale(crop(image, box=(4, 5, 20, 10)))
    np.testing.assert_array_equal(pixels(blobs, result.items[0]), expected)


def test_step_image_may_be_the_background_of_what_flows(blobs):
    cutout = put(blobs, "cutout.png", file_of("PNG", picture("RGBA")))
    sky = put(blobs, "sky.png", file_of("PNG", picture().transpose(1)))
    blended = run(
        blobs, [FlipStep(), {"op": "alpha_blend", "background": sky.model_dump()}], cutout
    )
    flipped = run(blobs, [FlipStep()], cutout).items[0].image
    document = {
        "op": "alpha_blend",
        "items": [{"foreground": flipped.model_dump(), "background": sky.model_dump()}],
    }
    expected = run_job(parse_job(document), blobs, SETTINGS).items[0]
    np.testing.assert_array_equal(pixels(blobs, blended.items[0]), pixels(blobs, expected))


def observed(metric: Metric) -> int:
    """How many observations of a histogram this process has not sent yet."""
    sums = tally._sums.items()
    return sum(
        n for name, n in sums if name.startswith(f"{metric.name}|") and not name.endswith("|sum")
    )


def test_each_image_is_read_and_decoded_once_and_encoded_once(blobs):
    photos = [
        put(blobs, f"{n}.jpg", file_of("JPEG", picture().rotate(20 * n)), "JPEG") for n in range(5)
    ]
    logo = put(blobs, "logo.png", file_of("PNG", picture("RGBA")))
    steps = [ResizeStep(width=30), WatermarkStep(image=logo, size=0.5, margin=1), FlipStep()]
    before = observed(Metric.DECODE), observed(Metric.ENCODE)
    run(blobs, steps, *photos)
    assert observed(Metric.DECODE) - before[0] == len(photos) + 1
    assert observed(Metric.ENCODE) - before[1] == len(photos)
    assert sorted(blobs.reads) == sorted([*(f"{n}.jpg" for n in range(5)), "logo.png"])


def test_images_of_several_steps_are_decoded_once_for_all_items(blobs):
    photos = [put(blobs, f"{n}.png", file_of("PNG", picture().rotate(20 * n))) for n in range(5)]
    marks = [
        put(blobs, f"mark-{n}.png", file_of("PNG", picture().rotate(7 * n))) for n in (1, 2, 3)
    ]
    before = observed(Metric.DECODE)
    run(blobs, [WatermarkStep(image=each, size=0.5, margin=1) for each in marks], *photos)
    assert observed(Metric.DECODE) - before == len(photos) + len(marks)


class Stopping:
    """A checkpoint that cancels the job at one of its calls."""

    def __init__(self, at: int) -> None:
        self.calls, self.at = 0, at

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise CancelledError


def test_job_is_cancelled_between_its_steps(blobs):
    photo = put(blobs, "photo.png", file_of("PNG"))
    done: list[float] = []
    with pytest.raises(CancelledError):
        run(blobs, [FlipStep()] * 8, photo, checkpoint=Stopping(at=4), progress=done.append)
    # Once before the item, and once before each step but the first.
    assert done == [1 / 8, 2 / 8, 3 / 8]
    assert blobs.data.keys() == {photo.sha256}


def test_progress_is_of_all_steps_of_all_items(blobs):
    photos = [put(blobs, f"{n}.png", file_of("PNG", picture().rotate(20 * n))) for n in range(3)]
    done: list[float] = []
    run(blobs, [FlipStep(), SharpenStep()], *photos, progress=done.append)
    assert done == [n / 6 for n in range(1, 7)]


def missing(name: str) -> dict[str, Any]:
    sha256 = "5" * 64
    return {
        **{"uri": f"redis:{sha256}", "sha256": sha256, "size_bytes": 5},
        **{"media_type": "image/png", "name": name},
    }


class Expired(MemoryBlobs):
    def get(self, ref: ImageRef) -> bytes:
        if ref.sha256 not in self.data:
            raise BlobMissingError(ref.name, ref.uri)
        return super().get(ref)


@pytest.mark.parametrize(
    ("steps", "error", "said"),
    [
        (
            [{"op": "flip"}, {"op": "crop", "box": [0, 0, 500, 5]}],
            ShapeError,
            r"^step 2 \(crop\): photo\.png: the part, 500 x 5 px",
        ),
        ([{"op": "resize"}], ParameterError, r"^step 1 \(resize\): width is not given"),
        (
            [{"op": "flip"}, {"op": "grayscale"}, {"op": "watermark", "image": missing("l.png")}],
            BlobMissingError,
            r"^l\.png in step 3 \(watermark\): no such blob",
        ),
        (
            [{"op": "flip"}, {"op": "flip"}, {"op": "resize", "width": 60_000, "enlarge": True}],
            AgewellError,
            r"step 3 \(resize\): ",
        ),
    ],
)
def test_error_of_a_step_names_it(steps, error, said):
    blobs = Expired()
    photo = put(blobs, "photo.png", file_of("PNG"))
    with pytest.raises(error, match=said):
        run(blobs, steps, photo)


def test_broken_image_of_a_step_is_named_with_the_step(blobs):
    photo = put(blobs, "photo.png", file_of("PNG"))
    logo = put(blobs, "logo.png", cut("PNG"))
    with pytest.raises(UndecodableError, match=r"^logo\.png: step 2 \(watermark\): "):
        run(blobs, [FlipStep(), WatermarkStep(image=logo)], photo)


def test_one_bad_item_fails_alone_and_its_error_names_the_step(blobs):
    small, large = file_of("PNG", picture().resize((8, 8))), file_of("PNG")
    photos = [put(blobs, "large.png", large), put(blobs, "small.png", small)]
    result = run(blobs, [FlipStep(), {"op": "crop", "box": [0, 0, 20, 20]}], *photos)
    first, second = result.items
    assert pixels(blobs, first).shape[:2] == (20, 20)
    assert second.image is None
    assert second.error.code == "ShapeError"
    assert second.error.message.startswith("step 2 (crop): small.png: the part, 20 x 20 px")
    with pytest.raises(AllItemsFailedError, match=r"step 2 \(crop\)"):
        run(blobs, [FlipStep(), {"op": "crop", "box": [0, 0, 200, 20]}], *photos)


IMAGE = missing("i.png")


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([], r"steps: must have a length of at least 1"),
        ([{"op": "flip"}] * 33, r"steps: must have a length of at most 32, not 33"),
        ([{}], r"steps\.0\.op: is missing"),
        (["flip"], r"steps\.0: must be an object"),
        (
            [{"op": "flip"}, {"op": "nonesuch"}],
            r"step 2 \(nonesuch\): this worker has no operation",
        ),
        ([{"op": "infer", "model": "digits"}], r"step 1 \(infer\): this worker has no operation"),
        ([{"op": "pipeline", "steps": [{"op": "flip"}]}], r"step 1 \(pipeline\): this worker has"),
        ([{"op": "blur\x1b[2J"}], r"step 1 \(blur\\x1b\[2J\): this worker has no operation"),
        ([{"op": "sharpen", "amount": 11}], r"step 1 \(sharpen\): amount: must be at most 10"),
        ([{"op": "sharpen", "amount": float("nan")}], r"step 1 \(sharpen\): amount: must be"),
        ([{"op": "sharpen", "force": 1}], r"step 1 \(sharpen\): force: is not a known name"),
        ([{"op": "sharpen", "output": {"format": "png"}}], r"step 1 \(sharpen\): output: is not"),
        (
            [{"op": "flip"}, {"op": "watermark"}],
            r"step 2 \(watermark\): an image is missing: image",
        ),
        ([{"op": "flip", "image": IMAGE}], r"step 1 \(flip\): every image of flip is given"),
        (
            [{"op": "watermark", "image": IMAGE, "photo": IMAGE}],
            r"step 1 \(watermark\): every image of watermark is given; leave the one out",
        ),
        ([{"op": "poisson_blend", "mask": IMAGE}], r"an image is missing: destination"),
        ([{"op": "watermark", "image": {"uri": "x"}}], r"step 1 \(watermark\): image\.sha256: is"),
        (
            [{"op": "watermark", "image": "logo.png"}],
            r"step 1 \(watermark\): image: must be an obj",
        ),
    ],
)
def test_wrong_steps_are_refused_before_anything_is_read(blobs, steps, said):
    photo = put(blobs, "photo.png", file_of("PNG"))
    with pytest.raises(BadJobError, match=said):
        run(blobs, steps, photo)
    assert blobs.reads == []


def test_name_of_an_unknown_operation_is_shortened(blobs):
    photo = put(blobs, "photo.png", file_of("PNG"))
    with pytest.raises(BadJobError) as caught:
        run(blobs, [{"op": "x" * 100_000}], photo)
    assert len(str(caught.value)) < 600


def test_error_without_a_field_for_the_step_stays_as_it_is():
    image = ImageRef.model_validate(IMAGE)
    job = PipelineJob(items=(PipelineItem(image=image),), steps=(FlipStep(),))
    [stage] = stages_of(job, SETTINGS)
    assert str(stage.named(AgewellError())) == str(AgewellError())
    named = stage.named(UnsupportedPixelsError("i.png", "16 bits"))
    assert isinstance(named, UnsupportedPixelsError)
    assert (named.name, named.reason) == ("i.png", "step 1 (flip): 16 bits")
