"""Models behind the queue, as a user runs them: `agewell up`, `agewell models`, `enqueue infer`."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.image_files import file_of
from tests.support.messages import answer_to, bytes_of, hsv_job, inline
from tests.support.model_files import marking, onnx_classifier, version_directory
from tests.support.stack import Stack, started, state_directory


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    marking(root, "mark", "1", mark=11)
    marking(root, "mark", "2", mark=22)
    onnx_classifier(root)
    version_directory(root, "mark", "broken", task="image", kind="torch", entry="./no.py:make")
    poisonable(root)
    marking(root, "wrecked", "1", mark=33)
    (root / "wrecked" / "1" / "model.yaml").write_text("task: image\nkind: dance\n")
    return root


POISON = '''
import numpy as np
from agewell.workers.models.arrays import DeviceLostError, OutOfMemoryError
from agewell.workers.models.model import Model, Prediction


class Poisonable(Model):
    """Gives back the gray value that it sees; 201 to 205 are poison, each of its own kind."""

    def load(self, device):
        pass

    def size_bytes(self):
        return 0

    def tap_points(self):
        return []

    def preprocess(self, image, parameters):
        value = float(image[0, 0, 0])
        return {"x": np.full((3,) if value == 203 else (2,), value, np.float32)}

    def forward(self, batch, taps=()):
        x = batch["x"]
        if (x == 201).any():
            raise ValueError("it is 201")
        if (x == 204).any():
            raise OutOfMemoryError("no memory for 204")
        once = self.directory / "has been lost"
        if (x == 205).any() and not once.exists():
            once.touch()
            raise DeviceLostError("an illegal memory access was encountered")
        if x.shape[1] != 2:
            raise ValueError(f"mat1 and mat2 shapes cannot be multiplied, {x.shape}")
        return {"y": np.where(x == 202, np.nan, x)[:, :1]}

    def postprocess(self, output, image, parameters):
        return Prediction(values={"value": float(output["y"][0])})
'''


def poisonable(root: Path) -> None:
    directory = version_directory(
        root,
        "poison",
        "1",
        task="classification",
        kind="torch",
        model_class="./model.py:Poisonable",
        max_batch_size=16,
        max_wait_ms=2000,
    )
    (directory / "model.py").write_text(POISON)


@pytest.fixture(scope="module")
def infer_stack(models: Path) -> Iterator[Stack]:
    with state_directory() as folder, started(folder, CONCURRENCY=1, MODELS_DIR=models) as stack:
        yield stack
        stack.stop()


def grays(folder: Path, *values: int) -> Path:
    folder.mkdir()
    for number, value in enumerate(values):
        cv2.imwrite(str(folder / f"{number:03}.png"), np.full((6, 9, 3), value, np.uint8))
    return folder


def items_of(stack: Stack, *args: object) -> list[dict]:
    documents = stack.documents("enqueue", "infer", *args, "--wait")
    return [item for each in documents for item in each["items"]]


def test_a_classifier_prints_a_table_and_json(infer_stack, tmp_path):
    folder = grays(tmp_path / "in", 51, 204)
    said = infer_stack.ok("enqueue", "infer", "light", folder, "--wait").stdout
    rows = [line.split() for line in said.splitlines()]
    assert ["000.png", "dark", "99.2%", "light/1"] in rows
    assert ["001.png", "bright", "99.2%", "light/1"] in rows
    dark, bright = items_of(infer_stack, "light", folder, "--set", "top=1")
    assert [each["label"] for each in dark["prediction"]["classes"]] == ["dark"]
    assert bright["prediction"]["classes"][0]["label"] == "bright"
    # Logits are 8 (0.8 - 0.5) and its negative.
    assert bright["prediction"]["classes"][0]["probability"] == pytest.approx(
        1 / (1 + np.exp(-4.8)), abs=1e-4
    )
    assert bright["info"] == {"image": "001.png", "model": "light", "version": "1"}


def test_a_model_that_paints_writes_images_and_a_tap_writes_two_files_more(infer_stack, tmp_path):
    folder, out = grays(tmp_path / "in", 90), tmp_path / "out"
    infer_stack.ok(
        *("enqueue", "infer", "mark", folder, "--version", "2", "--tap", "first", "--out", out)
    )
    assert sorted(path.name for path in out.iterdir()) == [
        "000.mark.first.npz",
        "000.mark.first.png",
        "000.mark.png",
    ]
    painted = cv2.imread(str(out / "000.mark.png"))
    assert (painted.shape, np.unique(painted).tolist()) == ((6, 9, 3), [22])
    with np.load(out / "000.mark.first.npz") as kept:
        assert kept["first"].shape == (4, 8, 8)
    assert cv2.imread(str(out / "000.mark.first.png")).shape == (6, 9, 3)


def test_models_are_listed_switched_and_described_on_the_running_worker(infer_stack, tmp_path):
    folder = grays(tmp_path / "in", 90)
    for version in ("1", "2"):
        said = infer_stack.ok("models", "activate", "mark", version).stdout
        assert f"mark/{version} active" in said
        [item] = items_of(infer_stack, "mark", folder)
        assert item["info"]["version"] == version
    listed = {
        (each["name"], each["version"]): each for each in infer_stack.documents("models", "list")
    }
    assert set(listed) == {
        ("light", "1"), ("mark", "1"), ("mark", "2"), ("mark", "broken"), ("poison", "1"),
        ("wrecked", "1"),
    }  # fmt: skip
    assert [listed["mark", version]["active"] for version in ("1", "2")] == [0, 1]
    assert listed["mark", "1"]["loaded"] == 1
    assert listed["mark", "1"]["runs_on"] == "torch, cpu"
    [info] = infer_stack.documents("models", "info", "mark", "1")
    assert (info["version"], info["tap_points"]) == ("1", ["first"])
    assert info["runs_on"] == "torch, cpu"
    assert "mark/1 unloaded" in infer_stack.ok("models", "unload", "mark", "1").stdout
    assert "mark/1 loaded" in infer_stack.ok("models", "load", "mark", "1").stdout


def test_a_version_that_does_not_load_is_refused_and_the_old_one_goes_on(infer_stack, tmp_path):
    folder = grays(tmp_path / "in", 90)
    infer_stack.ok("models", "activate", "mark", "1")
    refused = infer_stack.run("models", "activate", "mark", "broken")
    assert refused.returncode == 1
    assert "model mark/broken: ./no.py:make: FileNotFoundError" in refused.stderr
    [item] = items_of(infer_stack, "mark", folder)
    assert item["info"]["version"] == "1"


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["nosuch"], 1, "no model nosuch; there are: light, mark, poison, wrecked"),
        (
            ["mark", "--version", "7"],
            1,
            "no model mark/7; there are: mark/broken (broken: no file ",
        ),
        (["mark", "--tap", "nosuch"], 1, "tap is nosuch; allowed: by mark/"),
        (["light", "--set", "top=0"], 1, "top is 0; allowed: 1 to 1000"),
        (["light", "--palette", "#ff0000"], 1, "palette is given; allowed: by light: top"),
        (["light", "--palette", "red"], 2, "--palette is 'red'"),
        (["a/b"], 2, "model: must be 1 to 64 letters"),
        (["wrecked"], 1, "model wrecked/1: "),
        (["wrecked", "--version", "1"], 1, "kind: must be 'torch', 'exported', 'onnx' or"),
    ],
)
def test_impossible_inference_is_a_clear_error(infer_stack, tmp_path, arguments, status, reason):
    folder = grays(tmp_path / "in", 90)
    model, *options = arguments
    done = infer_stack.run("enqueue", "infer", model, folder, *options, "--wait")
    assert done.returncode == status
    assert reason in done.stderr


@pytest.mark.parametrize(
    "command",
    [["load"], ["load", "1"], ["activate", "1"], ["info"], ["info", "1"]],
    ids=" ".join,
)
def test_a_command_that_names_a_broken_model_says_why(infer_stack, command):
    done = infer_stack.run("models", command[0], "wrecked", *command[1:])
    assert done.returncode == 1
    assert "model wrecked/1: " in done.stderr
    assert "kind: must be 'torch', 'exported', 'onnx' or 'huggingface'" in done.stderr


@pytest.mark.parametrize("command", ["load", "info", "unload", "enqueue"])
def test_a_command_that_does_not_use_a_broken_version_warns_of_it(infer_stack, tmp_path, command):
    if command == "enqueue":
        done = infer_stack.ok("enqueue", "infer", "mark", grays(tmp_path / "in", 90))
    else:
        done = infer_stack.ok("models", command, "mark")
    assert "warning: mark/broken cannot be loaded: no file " in done.stderr
    pinned = infer_stack.ok("models", "load", "mark", "1")
    assert "broken" not in pinned.stderr


def test_the_doctor_names_the_models_that_do_not_load(infer_stack):
    found = {each["check"]: each for each in infer_stack.documents("doctor")}["served models"]
    assert found["verdict"] == "problem"
    assert found["found"].startswith("2 cannot be loaded: mark/broken: ")
    assert "wrecked/1: " in found["found"]
    assert "kind: must be" in found["found"]
    listed = {
        (each["name"], each["version"]): each for each in infer_stack.documents("models", "list")
    }
    assert "no file" in listed["mark", "broken"]["problem"]


def test_poisoned_items_fail_alone_in_a_full_batch(infer_stack, tmp_path):
    values = [1, 2, 201, 3, 202, 4, 5, 203, 6, 7, 204, 8, 9, 10, 11, 12]
    folder = grays(tmp_path / "in", *values)
    # One job of a full batch, and the same images as sixteen jobs that share batches.
    for images_per_job in (16, 1):
        documents = infer_stack.documents(
            *("enqueue", "infer", "poison", folder, "--wait", "--images-per-job", images_per_job)
        )
        found = []
        for each in documents:
            found += each["items"] or [{"error": each["error"]}]
        texts = sorted(item["error"]["message"] for item in found if "error" in item)
        assert [text.partition(": ")[2] for text in texts] == [
            "model poison/1 failed: ValueError: it is 201",
            "model poison/1 failed: ValueError: output y has values that are not finite",
            "model poison/1 failed: ValueError: mat1 and mat2 shapes cannot be multiplied, (1, 3)",
            "model poison/1 failed: not enough memory, even for a batch of one: no memory for 204",
        ]
        assert [text.partition(".")[0] for text in texts] == ["002", "004", "007", "010"]
        good = sorted(item["prediction"]["value"] for item in found if "error" not in item)
        assert good == list(range(1, 13))


def test_jobs_of_a_process_whose_device_failed_are_run_by_the_next(infer_stack, tmp_path):
    started = infer_stack.log.count("infer worker  ready")
    items = items_of(infer_stack, "poison", grays(tmp_path / "in", 1, 205, 3))
    assert sorted(item["prediction"]["value"] for item in items) == [1, 3, 205]
    infer_stack.wait_said("infer worker  ready", times=started + 1)
    log = (infer_stack.state_dir / "logs" / "infer-worker.log").read_text()
    assert "the device has failed; this process ends" in log


def test_restarted_worker_serves_the_activated_version(infer_stack, tmp_path):
    folder = grays(tmp_path / "in", 90)
    infer_stack.ok("models", "activate", "mark", "1")
    started = infer_stack.log.count("infer worker  ready")
    [worker] = [each for each in infer_stack.family if "agewell.workers.infer" in each.cmdline()]
    worker.kill()
    infer_stack.wait_said("infer worker  ready", times=started + 1)
    [item] = items_of(infer_stack, "mark", folder)
    assert item["info"]["version"] == "1"  # without it, the highest: 2


def test_a_classification_has_no_image_for_the_next_step(infer_stack, tmp_path):
    folder = grays(tmp_path / "in", 90)
    done = infer_stack.ok("enqueue", "infer", "light", folder, "--json", "--wait").stdout
    assert json.loads(done)["items"][0].get("image") is None


def test_without_a_model_the_rest_of_the_stack_runs(tmp_path, photos):
    with (
        state_directory() as folder,
        started(folder, CONCURRENCY=1, MODELS_DIR=tmp_path / "none") as stack,
    ):
        assert "infer worker  not started: no name/version/model.yaml in" in stack.log
        stack.ok("enqueue", "hsv", photos / "bird.jpg", "--wait")
        done = stack.run("models", "list")
        assert (done.returncode, "no infer worker runs" in done.stderr) == (1, True)
        stack.stop()


def test_a_chain_hands_an_image_from_an_operation_to_a_model(infer_stack):
    photo = hsv_job(inline(file_of("PNG"), "photo.png"))
    first = infer_stack.celery.signature("cv.hsv", args=[photo], queue="cv")
    then = infer_stack.celery.signature(
        "infer.run", args=[{"op": "infer", "model": "mark", "version": "2"}], queue="infer"
    )
    answer = answer_to(infer_stack, (first | then).apply_async().id)
    assert answer["op"] == "infer"
    [item] = answer["items"]
    assert item["info"]["model"] == "mark"
    assert item["info"]["version"] == "2"
    painted = cv2.imdecode(np.frombuffer(bytes_of(infer_stack, item["image"]), np.uint8), -1)
    assert (painted == 22).all()
