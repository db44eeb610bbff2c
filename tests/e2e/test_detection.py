"""Detection and segmentation as a user runs them: tables, pictures, crops, chains, bad images."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from wcwidth import wcswidth

from tests.support.detectors import blob_detector, constant_onnx, paint_segmenter
from tests.support.messages import answer_to, bytes_of, stored
from tests.support.stack import Stack, started, state_directory
from tests.support.terminal import on_terminal


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    size = {"height": 128, "width": 128, "fit": "letterbox"}
    # A long wait, so that the images of a job share a pass.
    blob_detector(root, input=size, max_wait_ms=1000)
    blob_detector(root, "tall", labels=["a class with a long name " * 2, "b", "c"], input=size)
    paint_segmenter(root, input={"height": 128, "width": 128})
    rows = {"output0": np.zeros((84, 20), np.float32)}
    constant_onnx(root, rows, "misfit", labels=["cat"], outputs={"family": "yolov5"})
    return root


@pytest.fixture(scope="module")
def stack(models: Path) -> Iterator[Stack]:
    with state_directory() as folder, started(folder, CONCURRENCY=1, MODELS_DIR=models) as running:
        yield running
        running.stop()


def scene(red: tuple[int, int, int, int], blue: tuple[int, int, int, int]) -> np.ndarray:
    """A black picture with a red and a blue rectangle."""
    image = np.zeros((256, 512, 3), np.uint8)
    for (x0, y0, x1, y1), colour in ((red, (0, 0, 255)), (blue, (255, 0, 0))):
        image[y0:y1, x0:x1] = colour
    return image


RED, BLUE = (64, 32, 192, 96), (320, 128, 448, 224)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "one.png"), scene(RED, BLUE))
    cv2.imwrite(str(folder / "two.png"), scene((0, 0, 32, 32), (256, 64, 512, 192)))
    return folder


def test_a_detector_prints_a_table_and_writes_a_drawn_picture(stack, folder, tmp_path):
    out = tmp_path / "out"
    said = stack.ok("enqueue", "infer", "blobs", folder, "--out", out).stdout
    rows = [line.split() for line in said.splitlines()]
    assert rows[0] == ["image", "label", "score", "box:", "x0,y0", "x1,y1", "model"]
    assert ["one.png", "red", "1.00", "64,32", "192,96", "blobs/1"] in rows
    assert ["blue", "1.00", "320,128", "448,224"] in rows
    assert sorted(path.name for path in out.iterdir()) == ["one.blobs.png", "two.blobs.png"]
    drawn = cv2.imread(str(out / "one.blobs.png"))
    assert drawn.shape == (256, 512, 3)
    changed = (drawn != scene(RED, BLUE)).any(axis=2)
    assert changed[32:96, 64].all()
    assert changed[128:224, 447].all()
    assert not changed[200:].all(axis=1).any()


def test_json_has_boxes_in_pixels_of_the_image(stack, folder):
    [document] = stack.documents("enqueue", "infer", "blobs", folder / "one.png", "--wait")
    [item] = document["items"]
    assert sorted(item["prediction"]["boxes"], key=lambda each: each["label"]) == [
        {"label": "blue", "score": 1.0, "box": list(map(float, BLUE))},
        {"label": "red", "score": 1.0, "box": list(map(float, RED))},
    ]
    assert item["image"]["name"] == "one.blobs.png"


def test_parameters_have_options(stack, folder, tmp_path):
    out = tmp_path / "out"
    options = ("--classes", "red", "--crops", "--no-draw", "--score", 0.5, "--iou", 0.4, "--max", 1)
    stack.ok("enqueue", "infer", "blobs", folder / "one.png", *options, "--out", out)
    assert [path.name for path in out.iterdir()] == ["one.blobs.crop-1-red.png"]
    crop = cv2.imread(str(out / "one.blobs.crop-1-red.png"))
    assert np.array_equal(crop, scene(RED, BLUE)[32:96, 64:192])


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["blobs", "--score", "2"], 2, "Invalid value for '--score': must be at most 1, found '2'"),
        (["blobs", "--classes", "cat"], 1, "classes is 'cat'; allowed: red, green, blue, or a num"),
        (["blobs", "--label", "red"], 1, "label is given; allowed: by blobs: agnostic, classes"),
        (["blobs", "--score", "0.5", "--set", "score=0.5"], 2, "--set is score a second time"),
        (["paints", "--crops"], 1, "crops is given; allowed: by paints: draw, label, soft"),
        (["paints", "--format", "jpeg"], 1, "format is jpeg; allowed: png, webp, tiff, bmp, with"),
        (
            ["misfit"],
            1,
            "model misfit/1: its outputs do not fit model.yaml: the output is (N, 84, 20); yolov5 "
            "with 1 class is (N, boxes, 6)",
        ),
    ],
)
def test_impossible_detection_is_a_clear_error(stack, folder, arguments, status, reason):
    model, *options = arguments
    done = stack.run("enqueue", "infer", model, folder / "one.png", *options, "--wait")
    assert (done.returncode, reason in done.stderr) == (status, True), done.stderr


def test_the_table_fits_a_terminal_of_80_columns(stack, folder):
    long_name = folder / f"{'holiday ' * 12}.png"
    cv2.imwrite(str(long_name), scene(RED, BLUE))
    command = ("enqueue", "infer", "blobs", long_name, "--wait")
    lines = on_terminal(*command, columns=80, env=stack.env)
    assert max(map(wcswidth, lines)) <= 80, "\n".join(lines)
    assert any("64,32 192,96" in line for line in lines)


def test_a_poisoned_image_of_a_batch_fails_alone(stack, folder):
    """One image for which the network gives NaN, and one file that is cut off."""
    poisoned = scene(RED, BLUE)[:, :256].copy()
    poisoned[:8, :8] = 255  # see tests/support/detectors.py
    cv2.imwrite(str(folder / "poison.png"), poisoned)
    whole = (folder / "one.png").read_bytes()
    (folder / "torn.png").write_bytes(whole[: len(whole) // 2])
    [document] = stack.documents("enqueue", "infer", "blobs", folder, "--wait")
    names = [Path(each["image"]).name for each in document["inputs"]]
    items = dict(zip(names, document["items"], strict=True))
    assert {name: item["error"]["code"] for name, item in items.items() if "error" in item} == {
        "poison.png": "InferenceError",
        "torn.png": "UndecodableError",
    }
    assert "not finite" in items["poison.png"]["error"]["message"]
    for name in ("one.png", "two.png"):
        labels = {each["label"] for each in items[name]["prediction"]["boxes"]}
        assert labels == {"red", "blue"}


def test_the_job_page_shows_the_boxes_and_the_drawn_picture(stack, folder):
    from tests.e2e.test_job_page import page_of, texts
    from tests.support.watched import flower

    [job_id] = stack.enqueue("infer", "blobs", folder / "one.png", "--crops")
    stack.wait_ended([job_id])
    page = page_of(stack, job_id)
    said = [each.strip() for row in texts(page, "tbody") for each in row.split("\n")]
    assert [each for each in said if each] in (
        ["red", "1.00", "64, 32 to 192, 96", "blue", "1.00", "320, 128 to 448, 224"],
        ["blue", "1.00", "320, 128 to 448, 224", "red", "1.00", "64, 32 to 192, 96"],
    )
    shown = [f"/job/{job_id}/0/{field}" for field in ("result", "extra_1", "extra_2", "extra_3")]
    assert [flower(stack, address).status for address in shown] == [200, 200, 200, 404]


# --- segmentation --------------------------------------------------------------------------------


def test_a_segmenter_prints_shares_and_writes_a_mask(stack, folder, tmp_path):
    out = tmp_path / "out"
    said = stack.ok("enqueue", "infer", "paints", folder / "one.png", "--out", out).stdout
    rows = [line.split() for line in said.splitlines()]
    assert rows[0] == ["image", "label", "share", "model"]
    assert [row[-3] if len(row) > 2 else row[0] for row in rows[1:]] == ["dark", "blue", "red"]
    mask = cv2.imread(str(out / "one.paints.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (256, 512)
    assert sorted(np.unique(mask)) == [0, 1, 3]


def masked_chain(stack: Stack, then: dict, parameters: dict, image: np.ndarray) -> np.ndarray:
    """Segment an image, and use the mask in an operation after that."""
    first = {
        "op": "infer",
        "model": "paints",
        "parameters": parameters,
        "items": [{"image": stored(stack, encoded(image), "photo.png")}],
    }
    steps = (
        stack.celery.signature("infer.run", args=[first], queue="infer"),
        stack.celery.signature(f"cv.{then['op']}", args=[then], queue="cv"),
    )
    answer = answer_to(stack, (steps[0] | steps[1]).apply_async().id)
    [item] = answer["items"]
    data = np.frombuffer(bytes_of(stack, item["image"]), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)


def encoded(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


@pytest.mark.parametrize("soft", [False, True])
def test_the_mask_is_that_of_an_alpha_blend_in_the_next_step(stack, soft):
    photo, under = scene(RED, BLUE), np.full((256, 512, 3), (40, 160, 80), np.uint8)
    blend = {
        "op": "alpha_blend",
        "items": [
            {
                "foreground": stored(stack, encoded(photo), "photo.png"),
                "background": stored(stack, encoded(under), "under.png"),
            }
        ],
    }
    parameters = {"label": "red", "soft": soft}
    blended = masked_chain(stack, blend, parameters, photo)
    inner, outer = (slice(40, 88), slice(72, 184)), np.ones((256, 512), bool)
    outer[24:104, 56:200] = False
    assert (blended[inner] == (0, 0, 255)).all()
    assert (blended[outer] == under[outer]).mean() > 0.999


def test_the_mask_is_that_of_a_poisson_blend_in_the_next_step(stack):
    photo, under = scene(RED, BLUE), np.full((256, 512, 3), (40, 160, 80), np.uint8)
    blend = {
        "op": "poisson_blend",
        "items": [
            {
                "source": stored(stack, encoded(photo), "photo.png"),
                "destination": stored(stack, encoded(under), "under.png"),
            }
        ],
    }
    blended = masked_chain(stack, blend, {"label": "blue"}, photo)
    assert blended.shape == under.shape
    changed = (blended != under).any(axis=2)
    assert not changed[:100].any()  # the red rectangle is not in the mask


def test_nothing_found_is_said(stack, tmp_path):
    path = tmp_path / "empty.png"
    cv2.imwrite(str(path), np.zeros((40, 60, 3), np.uint8))
    said = stack.ok("enqueue", "infer", "blobs", path, "--wait").stdout
    assert ["empty.png", "nothing", "found", "blobs/1"] in [
        line.split() for line in said.splitlines()
    ]
    done = stack.ok("enqueue", "infer", "blobs", path, "--json", "--wait").stdout
    assert json.loads(done)["items"][0]["prediction"] == {"boxes": []}
