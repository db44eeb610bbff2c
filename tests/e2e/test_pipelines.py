"""Pipelines with real workers: sent in every way, refused in every way, cancelled and limited."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from celery import chain

from agewell import Client, HsvItem, HsvJob, Output, PipelineItem, PipelineJob, Step
from agewell.jobs import FlipStep, ResizeStep, SharpenStep, WatermarkStep
from agewell.shared import metrics
from agewell.shared.errors import (
    BadJobError,
    JobTimeoutError,
    ParameterError,
    ShapeError,
)
from agewell.shared.metrics import Metric
from agewell.shared.redis import keys
from agewell.shared.settings import Settings
from agewell.workers.imaging.codec import decode
from agewell.workers.jobs.images import limits_of
from agewell.workers.operations.context import JobContext
from agewell.workers.operations.resize import resize
from agewell.workers.operations.sharpen import sharpen
from agewell.workers.operations.watermark import watermark
from tests.e2e.doc_pages import run_program
from tests.e2e.test_job_page import facts, page_of, texts
from tests.support.messages import answer_to, ask, bytes_of, good_job, hsv_job, inline, send, stored
from tests.support.paths import ROOT
from tests.support.pixels import read
from tests.support.stack import COMMAND, Stack, started, state_directory, until

STEPS = "resize width=1600 | watermark image=logo.png gravity=southeast opacity=0.4 | sharpen"
SETTINGS = Settings(redis_url="redis://127.0.0.1:1")
NAMES = ("bird", "small", "jellyfish")


@pytest.fixture(scope="module")
def shop(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a logo and photos: larger and smaller than 1,600 px, JPEG and PNG."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "photos").mkdir()
    logo = np.zeros((90, 240, 4), np.uint8)
    cv2.putText(logo, "agewell", (8, 62), cv2.FONT_HERSHEY_DUPLEX, 1.6, (255, 255, 255, 255), 3)
    cv2.imwrite(str(folder / "logo.png"), logo)
    bird, jellyfish = (cv2.imread(str(photos / f"{name}.jpg")) for name in ("bird", "jellyfish"))
    cv2.imwrite(str(folder / "photos" / "bird.jpg"), cv2.resize(bird, (2000, 1333)))
    cv2.imwrite(str(folder / "photos" / "jellyfish.png"), cv2.resize(jellyfish, (1700, 1100)))
    cv2.imwrite(str(folder / "photos" / "small.png"), cv2.resize(bird, (400, 300)))
    return folder


def expected(shop: Path, name: str) -> np.ndarray:
    """The pixels of the three functions, called one after another."""
    [path] = shop.glob(f"photos/{name}.*")
    photo, logo = (
        decode(each.read_bytes(), each.name, limits_of(SETTINGS))
        for each in (path, shop / "logo.png")
    )
    image = resize(photo, width=1600, context=JobContext(SETTINGS))
    return sharpen(watermark(image, logo, gravity="southeast", opacity=0.4))


@pytest.fixture(scope="module")
def pictures(shop: Path) -> dict[str, np.ndarray]:
    return {name: expected(shop, name) for name in NAMES}


def typed(
    stack: Stack, folder: Path, *words: object, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Type a command in a folder."""
    done = subprocess.run(
        [str(COMMAND), *map(str, words)],
        cwd=folder,
        env=stack.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == code, done.stdout + done.stderr
    return done


def counted(stack: Stack, metric: Metric) -> dict[str, int]:
    """Observations of a histogram by its first label."""
    series = metrics.read(stack.redis.hgetall(keys.METRICS))[metric]
    return {each.labels[0]: each.cumulative[-1] for each in series}


def pixels(data: bytes) -> np.ndarray:
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return found


def test_pipeline_gives_the_pixels_of_its_operations_and_codes_each_image_once(
    stack: Stack, shop: Path, pictures: dict[str, np.ndarray], tmp_path: Path
):
    before = {each: counted(stack, each) for each in (Metric.DECODE, Metric.ENCODE)}
    shutil.copytree(shop, tmp_path, dirs_exist_ok=True)
    typed(
        *(stack, tmp_path, "enqueue", "pipeline", STEPS, "photos/"),
        *("--format", "webp", "--out", "results", "--images-per-job", "3"),
    )
    results = {path.name: read(path, cv2.IMREAD_UNCHANGED) for path in tmp_path.glob("results/*")}
    assert set(results) == {f"{name}.pipeline.webp" for name in NAMES}
    for name, picture in pictures.items():
        np.testing.assert_array_equal(results[f"{name}.pipeline.webp"], picture, err_msg=name)
    assert pictures["bird"].shape == (1066, 1600, 3)
    assert pictures["small"].shape == (300, 400, 3)

    def more(metric: Metric) -> dict[str, int]:
        found = counted(stack, metric)
        differences = {name: n - before[metric].get(name, 0) for name, n in found.items()}
        return {name: n for name, n in differences.items() if n}

    until(lambda: more(Metric.ENCODE), 10, lambda: "the counts of the worker")
    assert more(Metric.DECODE) == {"jpeg": 1, "png": 2 + 1}  # and the logo
    assert more(Metric.ENCODE) == {"webp": 3}


SPELLINGS = {
    "named": """
        steps:
          - resize: {width: 1600}
          - watermark: {image: logo.png, gravity: southeast, opacity: 0.4}
          - sharpen
        """,
    "op": """
        - {op: resize, width: 1600}
        - {op: watermark, image: logo.png, gravity: southeast, opacity: 0.4}
        - {op: sharpen}
        """,
    "texts": """
        - resize: {width: "1600"}
        - watermark: {image: ./logo.png, gravity: southeast, opacity: "0.4"}
        - sharpen:
        """,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_yaml_file_holds_the_steps_and_its_files_lie_beside_it(
    stack: Stack, shop: Path, pictures: dict[str, np.ndarray], tmp_path: Path, spelling: str
):
    recipe = tmp_path / "recipes" / "web.yaml"
    recipe.parent.mkdir()
    recipe.write_text(SPELLINGS[spelling])
    shutil.copy(shop / "logo.png", recipe.parent)
    typed(
        *(stack, tmp_path, "enqueue", "pipeline", "recipes/web.yaml", shop / "photos/small.png"),
        *("--out", "results"),
    )
    found = read(tmp_path / "results" / "small.pipeline.png", cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found, pictures["small"])


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    with Client.open(stack.settings) as opened:
        yield opened


def test_typed_client_sends_a_pipeline(client: Client, shop: Path, pictures: dict[str, np.ndarray]):
    photo, small, logo = client.put(
        shop / "photos/bird.jpg", shop / "photos/small.png", shop / "logo.png"
    )
    job = PipelineJob(
        items=(PipelineItem(image=photo), PipelineItem(image=small, output_name="s.tiff")),
        steps=(
            ResizeStep(width=1600),
            WatermarkStep(image=logo, gravity="southeast", opacity=0.4),
            SharpenStep(),
        ),
        output=Output(format="tiff"),
    )
    outcome = client.wait(client.send(job, priority="urgent"), timeout_s=60)
    assert outcome.state == "done", outcome.error
    first, second = (item.image for item in outcome.items)
    assert (first.name, second.name) == ("bird.pipeline.tiff", "s.tiff")
    np.testing.assert_array_equal(pixels(client.read(first)), pictures["bird"])
    np.testing.assert_array_equal(pixels(client.read(second)), pictures["small"])


def plain(stack: Stack, shop: Path, *photos: Path) -> dict[str, Any]:
    """A pipeline as any program may write it."""
    logo = inline((shop / "logo.png").read_bytes(), "logo.png")
    return {
        "op": "pipeline",
        "items": [{"image": stored(stack, each.read_bytes(), each.name)} for each in photos],
        "steps": [
            {"op": "resize", "width": 1600},
            {"op": "watermark", "image": logo, "gravity": "southeast", "opacity": 0.4},
            {"op": "sharpen"},
        ],
        "output": {"format": "png"},
    }


def test_plain_celery_program_sends_a_pipeline_as_json(
    stack: Stack, shop: Path, pictures: dict[str, np.ndarray]
):
    document = plain(stack, shop, shop / "photos/small.png")
    answer = ask(stack, "cv.pipeline", json.loads(json.dumps(document)))
    assert answer["op"] == "pipeline"
    found = pixels(bytes_of(stack, answer["items"][0]["image"]))
    np.testing.assert_array_equal(found, pictures["small"])


def test_pipeline_takes_its_images_from_a_chain_and_passes_its_own_on(
    stack: Stack, shop: Path, tmp_path: Path
):
    small = shop / "photos/small.png"
    flip = {"op": "flip", "items": [{"image": stored(stack, small.read_bytes(), "small.png")}]}
    middle = {"op": "pipeline", "steps": [{"op": "crop", "box": [0, 0, 40, 30]}, {"op": "flip"}]}
    task = stack.celery.signature
    sent = chain(
        task("cv.flip", args=[flip], queue="cv"),
        task("cv.pipeline", args=[middle], queue="cv"),
        task("cv.hsv", args=[{"op": "hsv"}], queue="cv"),
    ).apply_async()
    answer = answer_to(stack, sent.id)
    [item] = answer["items"]
    cropped = cv2.flip(read(small), 1)[:30, :40]
    hsv = cv2.cvtColor(cv2.flip(cropped, 1), cv2.COLOR_BGR2HSV)
    np.testing.assert_array_equal(pixels(bytes_of(stack, item["image"])), hsv)


def test_error_of_a_step_names_it_everywhere(watched: Stack, shop: Path, tmp_path: Path):
    said = "step 2 (crop): small.png: the part, 900 x 5 px at x=0, y=0, must lie within the image"
    done = typed(
        *(watched, tmp_path, "enqueue", "pipeline", "flip | crop box=0,0,900,5"),
        *(shop / "photos/small.png", "--out", "results"),
        code=1,
    )
    assert said in done.stderr
    small = stored(watched, (shop / "photos/small.png").read_bytes(), "small.png")
    steps = [{"op": "flip"}, {"op": "crop", "box": [0, 0, 900, 5]}]
    document = {"op": "pipeline", "items": [{"image": small}], "steps": steps}
    job_id = send(watched, "cv.pipeline", document)
    with pytest.raises(ShapeError) as caught:
        answer_to(watched, job_id)
    assert said in str(caught.value)
    [record] = watched.jobs([job_id])
    assert said in record["error"]
    page = page_of(watched, job_id)
    assert said in facts(page)["Error"]
    assert facts(page)["Steps"] == "flip | crop box=0,0,900,5"
    shown = watched.run("status", job_id)
    assert "step 2 (crop)" in " ".join(shown.stdout.split())
    explained = watched.run("result", job_id, "--out", tmp_path)
    assert said in explained.stdout + explained.stderr


def test_page_of_a_pipeline_shows_its_steps_and_their_images(watched: Stack, shop: Path):
    with Client.open(watched.settings) as sender:
        small, logo = sender.put(shop / "photos/small.png", shop / "logo.png")
        steps = (
            Step(op="resize", width=1600),
            Step(op="watermark", image=logo, gravity="southeast", opacity=0.4),
            SharpenStep(),
            Step(op="watermark", image=logo, size=0.1),
        )
        job = PipelineJob(items=(PipelineItem(image=small),), steps=steps)
        watched.worker.suspend()
        try:
            job_id = sender.send(job)
            waiting = page_of(watched, job_id)
        finally:
            watched.worker.resume()
    watched.wait_ended([job_id])
    for page in (waiting, page_of(watched, job_id)):
        assert facts(page)["Steps"] == (
            "resize width=1600 | watermark image=logo.png gravity=southeast opacity=0.4 | sharpen"
            " amount=1.0 sigma=1.0 threshold=0 | watermark image=logo.png size=0.1"
        )
        captions = texts(page, "figcaption")
        assert captions[:3] == [
            "image: small.png",
            "step_2_image: logo.png",
            "step_4_image: logo.png",
        ]
    from tests.support.watched import flower

    for field in ("image", "step_2_image", "step_4_image", "result"):
        answer = flower(watched, f"/job/{job_id}/0/{field}")
        assert answer.status == 200, field


LONG = [{"op": "blur", "sigma": 60}] * 32
"""Steps that take minutes on 64 large photos."""


def long_pipeline(stack: Stack, photo: Path) -> str:
    image = stored(stack, photo.read_bytes(), photo.name)
    document = {"op": "pipeline", "items": [{"image": image}] * 64, "steps": LONG}
    job_id = send(stack, "cv.pipeline", document)
    until(lambda: _has_progress(stack, job_id), 60, lambda: "one step is done")
    return job_id


def _has_progress(stack: Stack, job_id: str) -> bool:
    [record] = stack.jobs([job_id])
    return float(record.get("progress") or 0) > 0


def test_running_pipeline_is_cancelled_between_its_steps(stack: Stack, large_photo: Path):
    [process] = stack.pool
    job_id = long_pipeline(stack, large_photo)
    [record] = stack.jobs([job_id])
    assert 0 < record["progress"] < 0.5
    stack.ok("cancel", job_id)
    [record] = stack.wait_ended([job_id], timeout_s=30)
    assert record["state"] == "cancelled"
    assert ask(stack, "cv.hsv", good_job())["op"] == "hsv"
    assert stack.pool == [process]


@pytest.mark.slow
def test_pipeline_over_the_time_limit_fails_and_the_worker_goes_on(large_photo: Path):
    with state_directory() as folder, started(folder, CONCURRENCY=1, JOB_TIME_LIMIT_S=3) as stack:
        job_id = long_pipeline(stack, large_photo)
        with pytest.raises(JobTimeoutError, match=r"longer than 3\.0 s"):
            answer_to(stack, job_id)
        assert ask(stack, "cv.hsv", good_job())["op"] == "hsv"
        stack.stop()


MANY = " | ".join(["flip"] * 33)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("resize width=5 | nonesuch", "step 2, the operation is 'nonesuch'; allowed: adjust, "),
        ("infer model=digits", "step 1, the operation is 'infer'; allowed: adjust, "),
        ("pipeline steps=flip", "step 1, the operation is 'pipeline'; allowed: adjust, "),
        ("flip | sharpen force=1", "step 2, sharpen: force is 1; allowed: amount, sigma, "),
        ("sharpen amount=11", "step 1, sharpen: amount is 11; allowed: a number, 0 to 10"),
        ("sharpen amount=nan", "step 1, sharpen: amount is nan; allowed: a number, 0 to 10"),
        ("sharpen amount=much", "step 1, sharpen: amount is 'much'; allowed: a number, 0 to 10"),
        ("sharpen amount", "step 1, sharpen: amount is True; allowed: a number, 0 to 10"),
        ("blur", "step 1, blur: sigma is not given; allowed: a number, 0.1 to 500"),
        ("flip direction=up", "step 1, flip: direction is 'up'; allowed: horizontal, vertical"),
        ("flip | watermark", "step 2, watermark: image is not given; allowed: the path of"),
        ("flip image=logo.png", "step 1, flip is given every image (image); allowed: one image"),
        ("watermark image=logo.png photo=logo.png", "step 1, watermark is given every"),
        ("watermark image=photos", "step 1, watermark: image is several files, photos; allowed"),
        (MANY, "the pipeline is 33 steps; allowed: 1 to 32 steps"),
        ("flip | | flip", "with a step that names no operation"),
        ("flip 'x", "allowed: closed quotes"),
        ("empty.yaml", "the pipeline is None; allowed: a list of steps"),
        ("recipe.yaml", "step 2, flatten: background is empty; allowed: a value"),
    ],
)
def test_wrong_pipeline_is_refused_before_anything_is_sent(
    stack: Stack, shop: Path, tmp_path: Path, steps: str, said: str
):
    shutil.copytree(shop, tmp_path, dirs_exist_ok=True)
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "recipe.yaml").write_text("- flip\n- flatten: {background: #ffffff\n  }\n")
    before = len(stack.redis.keys(keys.job("????????-*")))
    done = typed(
        *(stack, tmp_path, "enqueue", "pipeline", steps, "photos/small.png", "--out", "results"),
        code=2,
    )
    assert done.stderr.startswith("error: "), done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert len(stack.redis.keys(keys.job("????????-*"))) == before
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (
            "flip | watermark image=nothing.png",
            "error: step 2, watermark: nothing.png: no such file or directory",
        ),
        ("watermark image=", "error: step 1, watermark: '': an empty path"),
        ("watermark image=photos", "error: step 1, watermark: photos: no image in this folder"),
        ("watermark image=no*.png", "error: step 1, watermark: no*.png: no file matches"),
        ("watermark image=nothing.yaml", "error: step 1, watermark: nothing.yaml: no such file"),
        ("nothing.yaml", "error: nothing.yaml: no such file or directory"),
        ("folder.yaml", "error: folder.yaml: is a directory"),
        ("bad.yaml", "error: bad.yaml: no YAML: while parsing a flow node"),
        ("latin.yaml", "error: latin.yaml: no YAML: 'utf-8' codec"),
    ],
)
def test_file_of_a_pipeline_that_cannot_be_read_is_named(
    stack: Stack, shop: Path, tmp_path: Path, steps: str, said: str
):
    (tmp_path / "photos").mkdir()
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "bad.yaml").write_text("- {")
    (tmp_path / "latin.yaml").write_bytes(b"- \xe9")
    small = shop / "photos/small.png"
    done = typed(stack, tmp_path, "enqueue", "pipeline", steps, small, "--wait", code=1)
    [line] = done.stderr.splitlines()
    assert line.startswith(said)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([Step(op="nonesuch")], "step 1, the operation is 'nonesuch'"),
        ([Step(op="infer", model="digits")], "step 1, the operation is 'infer'"),
        ([FlipStep(), Step(op="pipeline", steps=[])], "step 2, the operation is 'pipeline'"),
        ([Step(op="sharpen", force=1)], "step 1, sharpen: force is 1; allowed: amount"),
        ([Step(op="sharpen", amount=11)], "step 1, sharpen: amount is 11; allowed: a number, 0"),
        ([Step(op="sharpen", amount=float("nan"))], "step 1, sharpen: amount is nan; allowed"),
        ([WatermarkStep()], r"step 1 \(watermark\): an image is missing: image"),
        ([Step(op="watermark", image="logo.png")], "step 1, watermark: image is 'logo.png'; allo"),
    ],
)
def test_client_refuses_a_wrong_pipeline_before_it_is_sent(
    client: Client, shop: Path, steps: list[Step], said: str
):
    (image,) = client.put(shop / "photos/small.png")
    job = PipelineJob(items=(PipelineItem(image=image),), steps=tuple(steps))
    with pytest.raises((BadJobError, ParameterError), match=said):
        client.send(job)


def test_client_refuses_too_many_steps_and_an_image_too_many(client: Client, shop: Path):
    (image,) = client.put(shop / "photos/small.png")
    items = (PipelineItem(image=image),)
    with pytest.raises(BadJobError, match="at most 32, not 33"):
        PipelineJob(items=items, steps=(FlipStep(),) * 33)
    with pytest.raises(BadJobError, match="at least 1"):
        PipelineJob(items=items, steps=())
    with pytest.raises(BadJobError, match=r"step 1 \(flip\): every image of flip is given"):
        client.send(PipelineJob(items=items, steps=(FlipStep(image=image),)))
    with pytest.raises(BadJobError, match="amount: must be at most 10"):
        SharpenStep(amount=11)


PLAIN = {
    "no steps": ({}, "steps: is missing"),
    "empty": ({"steps": []}, "steps: must have a length of at least 1"),
    "text": ({"steps": STEPS}, "steps: must be a list"),
    "33": ({"steps": [{"op": "flip"}] * 33}, "steps: must have a length of at most 32, not 33"),
    "unknown": (
        {"steps": [{"op": "nope"}]},
        r"step 1 \(nope\): this worker has no operation 'nope'",
    ),
    "infer": (
        {"steps": [{"op": "infer", "model": "digits"}]},
        r"step 1 \(infer\): this worker has",
    ),
    "nested": ({"steps": [{"op": "pipeline", "steps": []}]}, r"step 1 \(pipeline\): this worker"),
    "parameter": ({"steps": [{"op": "blur", "x": 1}]}, r"step 1 \(blur\): "),
    "bound": ({"steps": [{"op": "blur", "sigma": 501}]}, r"sigma: must be at most 500, found 501"),
    "nan": ({"steps": [{"op": "blur", "sigma": float("nan")}]}, r"step 1 \(blur\): sigma: must be"),
    "no image": ({"steps": [{"op": "watermark"}]}, r"step 1 \(watermark\): an image is missing"),
    "not an image": ({"steps": [{"op": "watermark", "image": {"uri": 5}}]}, r"image\.uri: must be"),
    "image of no use": (
        {"steps": [{"op": "flip", "mask": {"uri": "data:"}}]},
        r"mask: is not a kn",
    ),
}


@pytest.mark.parametrize("name", PLAIN)
def test_worker_refuses_a_wrong_pipeline_of_a_plain_program(
    stack: Stack, unharmed: None, name: str
):
    more, said = PLAIN[name]
    document = {"op": "pipeline", "items": good_job()["items"]} | more
    with pytest.raises(BadJobError, match=said):
        ask(stack, "cv.pipeline", document)


def test_pipeline_sent_to_the_task_of_an_operation_is_refused(stack: Stack, unharmed: None):
    document = {"op": "pipeline", "items": good_job()["items"], "steps": [{"op": "flip"}]}
    with pytest.raises(BadJobError, match="op is 'pipeline', but the job was sent to the task"):
        ask(stack, "cv.hsv", document)
    with pytest.raises(BadJobError, match="op is 'hsv', but the job was sent to the task"):
        ask(stack, "cv.pipeline", hsv_job(inline(b"x")))


def test_client_cancels_a_running_pipeline(client: Client, stack: Stack, large_photo: Path):
    (image,) = client.put(large_photo)
    steps = tuple(Step(**each) for each in LONG)
    job_id = client.send(PipelineJob(items=(PipelineItem(image=image),) * 64, steps=steps))
    until(lambda: _has_progress(stack, job_id), 60, lambda: "one step is done")
    client.cancel(job_id)
    outcome = client.wait(job_id, timeout_s=30)
    assert outcome.state == "cancelled"
    assert outcome.error.code == "Cancelled"


def test_old_job_runs_beside_pipelines(client: Client, shop: Path):
    (image,) = client.put(shop / "photos/small.png")
    outcome = client.wait(client.send(HsvJob(items=(HsvItem(image=image),))), timeout_s=60)
    assert outcome.state == "done"


EXAMPLES = (ROOT / "docs" / "pipelines.md").read_text().split("```python\n")[1:]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_program_of_the_page_runs(stack: Stack, tmp_path: Path, number: int):
    done = run_program(EXAMPLES[number].partition("```")[0], tmp_path, stack)
    assert done.returncode == 0, done.stderr
    assert "bird.pipeline.webp" in done.stdout
