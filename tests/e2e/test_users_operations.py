"""Operations of users' packages: installed on the workers only, and every way that they fail."""

import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from agewell.producer.up.child_process import start_child
from agewell.shared.errors import (
    BadJobError,
    ImageTooLargeError,
    JobTimeoutError,
    OperationError,
    ParameterError,
)
from tests.e2e.doc_pages import Command, commands
from tests.support.image_files import file_of
from tests.support.messages import answer_to, ask, bytes_of, good_job, inline, send, stored
from tests.support.paths import PHOTOS
from tests.support.pixels import read
from tests.support.stack import COMMAND, Stack, is_gone, started, state_directory, until
from tests.support.users_package import (
    PAGE,
    expected_sepia,
    install,
    make_folder,
    programs,
    saved_files,
)
from tests.support.watched import get

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LIMIT_S = 20
CANCEL_WITHIN_S = 2.0

HOSTILE = """
import os, sys, time
import numpy as np
from agewell import Image, SharedImage, operation


@operation
def raises(image: Image) -> Image:
    raise ValueError("no luck")


@operation
def floats(image: Image) -> Image:
    return image / 255


@operation
def two_channels(image: Image) -> Image:
    return np.zeros((4, 5, 2), np.uint8)


@operation
def nothing(image: Image) -> Image:
    pass


@operation
def empty(image: Image) -> Image:
    return image[:0]


@operation
def too_large(image: Image) -> Image:
    return np.broadcast_to(np.uint8(0), (20_000, 20_000))


@operation
def bad_fact(image: Image) -> Image:
    return image, {"places": [1, 2]}


@operation
def not_a_number(image: Image) -> Image:
    return image, {"mean": float("nan")}


@operation
def writes(image: Image) -> Image:
    image[...] = 0
    return image


@operation
def exits(image: Image) -> Image:
    sys.exit(3)


@operation
def recurses(image: Image) -> Image:
    return recurses(image)


@operation
def endless(image: Image) -> Image:
    while True:
        pass


@operation
def mirrors(image: Image, *, copy_of: str = "") -> Image:
    return image[:, ::-1], {"mean": image.mean(), "width": np.int64(image.shape[1])}
"""

MODULES = {
    "hostile": HOSTILE,
    "missing_import": "import nosuch_library\n",
    "exits_at_import": "raise SystemExit('not today')\n",
    "coroutine": (
        "from agewell import Image, operation\n"
        "@operation\nasync def later(image: Image) -> Image:\n    return image\n"
    ),
    "duplicate": (
        "from agewell import Image, operation\n"
        "@operation\ndef sepia(image: Image) -> Image:\n    return image\n"
        "@operation\ndef blend(image: Image) -> Image:\n    return image\n"
        "@operation\ndef fresh(image: Image) -> Image:\n    return image\n"
    ),
    "bare": "VALUE = 1\n",
}
FAILURES = {
    "missing_import": "ModuleNotFoundError: No module named 'nosuch_library'",
    "exits_at_import": "SystemExit: not today",
    "coroutine": "`async def` and functions with `yield` are not possible",
    "duplicate": "a command `agewell enqueue blend` already",
    "my_package.ops": "duplicate has an operation sepia already",
    "bare": "ImportError: it declares no operation",
    "./nosuch.py": "FileNotFoundError",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader of docs/operations.md."""
    return make_folder(tmp_path_factory.mktemp("reader"))


@pytest.fixture(scope="module")
def installed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose workers have the package, installed, and bad modules. Its producers do not."""
    site = tmp_path_factory.mktemp("site")
    install(folder, site)
    for name, text in MODULES.items():
        (site / f"{name}.py").write_text(text)
    others = ",".join([name for name in MODULES if name != "duplicate"])
    settings = {
        "OPERATIONS": f"{others},./nosuch.py",
        "CONCURRENCY": 1,
        "JOB_TIME_LIMIT_S": LIMIT_S,
        "METRICS_PORT": 0,
    }
    with pytest.MonkeyPatch.context() as patch, state_directory() as state:
        patch.setenv("PYTHONPATH", str(site))
        with started(state, **settings) as stack:
            patch.undo()
            del stack.env["PYTHONPATH"]
            yield stack
            stack.process.send_signal(signal.SIGINT)  # its log has tracebacks of the bad modules
            assert stack.process.wait(60) == 0


def sepia_job(*images: dict, **parameters: object) -> dict:
    return {"op": "sepia", "items": [{"image": each} for each in images], **parameters}


def page_of(stack: Stack, job_id: str) -> str:
    answer = get(f"{stack.running.flower_url}/job/{job_id}", None)
    assert answer.status == 200, answer.text
    return answer.text


def facts_of(page: str) -> dict[str, str]:
    names, values = (
        [
            html.unescape(re.sub(r"<[^>]+>", "", each)).strip()
            for each in re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", page, re.DOTALL)
        ]
        for tag in ("dt", "dd")
    )
    return dict(zip(names, values, strict=True))


def test_the_producer_cannot_import_the_package(installed: Stack):
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import my_package"], env=installed.env, capture_output=True
    )
    assert b"No module named 'my_package'" in done.stderr


def test_the_operations_are_listed_with_their_workers(installed: Stack):
    rows = {each["name"]: each for each in installed.documents("operations")}
    [worker] = rows["hsv"]["workers"]
    assert rows["sepia"]["workers"] == rows["paint"]["workers"] == [worker]
    assert rows["sepia"]["source"] == "my_package.ops"
    assert rows["mirrors"]["source"] == "hostile"
    assert rows["hsv"]["source"] == "agewell"
    [strength] = rows["sepia"]["parameters"]["properties"].values()
    assert strength == {
        "default": 1.0,
        "description": "0 leaves the image as it is, and 1 makes it all brown.",
        "maximum": 1,
        "minimum": 0,
        "title": "Strength",
        "type": "number",
    }


def test_modules_that_fail_are_named_by_the_worker_and_two_commands(installed: Stack):
    expected = {name: text for name, text in FAILURES.items() if name in MODULES or "/" in name}
    expected.pop("duplicate")
    listed = installed.run("operations")
    assert listed.returncode == 1
    found = [line for line in listed.stderr.splitlines() if "cannot use" in line]
    assert len(found) == len(expected)
    doctor = {each["check"]: each for each in installed.documents("doctor")}["operations"]
    assert doctor["verdict"] == "problem"
    log = (installed.state_dir / "logs" / "cv-worker.log").read_text()
    for name, text in expected.items():
        assert any(f"cannot use {name}: " in line and text in line for line in found), name
        assert name in doctor["found"]
        assert f"operations of {name} cannot be used" in log


def test_a_folder_is_sent_by_the_command_line(installed: Stack, folder: Path, tmp_path: Path):
    installed.ok("enqueue", "sepia", folder / "photos", "--strength", 0.5, "--out", tmp_path)
    for photo in (folder / "photos").iterdir():
        found = read(tmp_path / f"{photo.stem}.sepia.png")
        # cv2.transform works in float32, so a value may fall on the other side of a half.
        assert np.abs(found - expected_sepia(read(photo), 0.5)).max() <= 1


def test_a_plain_celery_program_sends_one(installed: Stack):
    photo = cv2.imread(str(PHOTOS / "bird.jpg"))
    image = stored(installed, cv2.imencode(".png", photo)[1].tobytes(), "bird.png")
    answer = ask(installed, "cv.sepia", sepia_job(image, strength=0.25))
    data = np.frombuffer(bytes_of(installed, answer["items"][0]["image"]), np.uint8)
    found = cv2.imdecode(data, cv2.IMREAD_UNCHANGED).astype(int)
    assert np.abs(found - expected_sepia(photo, 0.25)).max() <= 1
    assert answer["items"][0]["image"]["name"] == "bird.sepia.png"


def test_the_jobs_page_and_the_metrics_show_it(installed: Stack):
    series = 'agewell_job_run_seconds_count{level="2",op="sepia"}'
    before = _metric(installed, series)
    photo = str(PHOTOS / "bird.jpg")
    [job_id] = installed.enqueue("sepia", photo, "--strength", 0.5, "--priority", "high")
    installed.wait_ended([job_id])
    facts = facts_of(page_of(installed, job_id))
    assert facts | {"Operation": "sepia", "Strength": "0.5"} == facts
    for field in ("image", "result"):
        address = f"{installed.running.flower_url}/job/{job_id}/0/{field}"
        assert get(address, None).status == 200
    until(lambda: _metric(installed, series) == before + 1, 30, lambda: "the run is counted")
    waits = 'agewell_job_wait_seconds_count{level="2",op="sepia"}'
    assert _metric(installed, waits) >= 1


def _metric(stack: Stack, series: str) -> float:
    text = get(stack.running.metrics_url, None).text
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_a_slow_one_tells_its_progress_and_is_cancelled_at_once(installed: Stack):
    photo = str(PHOTOS / "bird.jpg")
    [job_id] = installed.enqueue("paint", photo, "--rounds", 10_000)
    installed.wait_running(job_id)
    [early] = installed.jobs([job_id])
    until(lambda: "progress" in installed.jobs([job_id])[0], 10, lambda: installed.jobs([job_id]))
    assert 0 < early.get("progress", 0.001) < 0.5
    [document] = installed.documents("status", job_id)
    assert 0 < document["progress"] < 1
    assert re.search(rf"{job_id}.* running, \d+%", installed.ok("jobs").stdout)
    assert re.fullmatch(r"\d+%", facts_of(page_of(installed, job_id))["Done"])
    asked_at = time.monotonic()
    assert installed.client.cancel(job_id) is not None
    installed.wait_ended([job_id], timeout_s=30)
    assert time.monotonic() - asked_at < CANCEL_WITHIN_S
    assert installed.states([job_id]) == ["cancelled"]
    assert "Done" not in facts_of(page_of(installed, job_id))


ERRORS = {
    "raises": (OperationError, "the operation failed: ValueError: no luck"),
    "floats": (OperationError, r"shape \(3, 5, 3\) and type float64, not an image"),
    "two_channels": (OperationError, r"shape \(4, 5, 2\) and type uint8, not an image"),
    "nothing": (OperationError, "returned NoneType, not an image"),
    "empty": (OperationError, r"shape \(0, 5, 3\) and type uint8, not an image"),
    "too_large": (ImageTooLargeError, "the result has 20000 x 20000 px"),
    "bad_fact": (OperationError, r"a fact must be text, .* found 'places': \[1, 2\]"),
    "not_a_number": (OperationError, "found 'mean': nan"),
    "writes": (OperationError, "read-only"),
    "exits": (OperationError, r"it called sys.exit\(3\)"),
    "recurses": (OperationError, "RecursionError"),
}


@pytest.fixture(scope="module")
def small() -> dict:
    image = np.random.default_rng(1).integers(0, 256, (3, 5, 3), np.uint8)
    return inline(cv2.imencode(".png", image)[1].tobytes(), "small.png")


@pytest.mark.parametrize("op", ERRORS)
def test_an_operation_that_fails_gives_its_job_an_error(installed: Stack, small: dict, op: str):
    pool = installed.pool
    kind, text = ERRORS[op]
    with pytest.raises(kind, match=text) as caught:
        ask(installed, f"cv.{op}", {"op": op, "items": [{"image": small}]})
    assert str(caught.value).startswith("small.png: ")
    # The same process goes on.
    assert ask(installed, "cv.hsv", good_job())["op"] == "hsv"
    assert installed.pool == pool


def test_it_goes_on_with_the_images_of_a_chain(installed: Stack, small: dict):
    first = installed.celery.signature("cv.mirrors", args=[sepia_job(small) | {"op": "mirrors"}])
    second = installed.celery.signature("cv.sepia", args=[{"op": "sepia", "strength": 0}])
    last = (first.set(queue="cv") | second.set(queue="cv")).apply_async()
    [item] = answer_to(installed, last.id)["items"]
    assert item["image"]["name"] == "small.mirrors.sepia.png"
    assert facts_of(page_of(installed, last.id))["Operation"] == "sepia"


def test_a_failing_step_of_a_pipeline_is_named(installed: Stack, small: dict):
    steps = [{"op": "sepia"}, {"op": "raises"}]
    job = {"op": "pipeline", "items": [{"image": small}], "steps": steps}
    with pytest.raises(OperationError, match=r"step 2 \(raises\): ValueError: no luck"):
        ask(installed, "cv.pipeline", job)


def test_a_view_of_the_image_and_numpys_numbers_are_fine(installed: Stack, small: dict):
    answer = ask(installed, "cv.mirrors", {"op": "mirrors", "items": [{"image": small}]})
    [item] = answer["items"]
    image = np.random.default_rng(1).integers(0, 256, (3, 5, 3), np.uint8)
    found = cv2.imdecode(np.frombuffer(bytes_of(installed, item["image"]), np.uint8), 1)
    np.testing.assert_array_equal(found, image[:, ::-1])
    assert item["info"] == {"mean": image.mean(), "width": 5}


def test_one_that_never_ends_fails_and_the_worker_survives(installed: Stack, small: dict):
    worker, [process] = installed.worker, installed.pool
    job_id = send(installed, "cv.endless", {"op": "endless", "items": [{"image": small}]})
    waiting = [send(installed, "cv.sepia", sepia_job(small)) for _ in range(3)]
    with pytest.raises(JobTimeoutError, match=rf"longer than {LIMIT_S}\.0 s"):
        answer_to(installed, job_id)
    installed.wait_ended(waiting)
    assert set(installed.states(waiting)) == {"done"}
    assert installed.worker == worker
    assert installed.pool != [process]
    until(lambda: is_gone(process), 30, lambda: "the process is replaced")


def test_a_job_that_no_worker_can_run_is_refused(installed: Stack, tmp_path: Path):
    client = installed.client
    [image] = client.put(("bird.png", file_of("PNG")))
    with pytest.raises(ParameterError, match="No running worker offers another one"):
        client.job("seppia", [{"image": image}])
    with pytest.raises(ParameterError, match="sepia: strength is 2; allowed: a number, 0"):
        client.job("sepia", [{"image": image}], strength=2)
    with pytest.raises(ParameterError, match="sepia: power"):
        client.job("sepia", [{"image": image}], power=2)
    with pytest.raises(BadJobError, match="the image image is missing"):
        client.job("sepia", [{"photo": image}])
    (tmp_path / "bird.png").write_bytes(file_of("PNG"))
    refused = installed.run("enqueue", "seppia", tmp_path)
    assert refused.returncode == 2
    assert "No running worker offers such an operation" in _unboxed(refused.stderr)
    refused = installed.run("enqueue", "pipeline", "sepia | seppia", tmp_path)
    assert refused.returncode == 2
    assert "seppia" in refused.stderr


def test_a_plain_job_that_no_worker_can_run_becomes_a_dead_letter(installed: Stack, small: dict):
    job_id = send(installed, "cv.seppia", {"op": "seppia", "items": [{"image": small}]})
    [record] = installed.wait_ended([job_id])
    assert record["state"] == "dead"
    assert "no worker has the operation 'seppia'" in record["error"]


@pytest.fixture
def plain_log(request: pytest.FixtureRequest, installed: Stack, tmp_path: Path) -> Iterator[Path]:
    """The log of a second worker of the same queue, with a kind of pool, without the package."""
    env = {key: value for key, value in installed.env.items() if key != "AGEWELL_OPERATIONS"}
    env |= {
        "AGEWELL_REDIS_URL": installed.running.redis_url,
        "AGEWELL_BLOB_URL": installed.running.blob_url,
        "AGEWELL_STATE_DIR": str(tmp_path),
        "AGEWELL_POOL": request.param,
    }
    command = ("-P", "-m", "celery", "-A", "agewell.workers.cv", "worker", "-Q", "cv")
    with (tmp_path / "log").open("wb") as log:
        process = start_child(
            [sys.executable, *command, "-n", "plain@%h", "-l", "INFO"], log=log, env=env
        )
    try:
        text = (tmp_path / "log").read_text
        until(lambda: len(_workers_of(installed, "hsv")) == 2, 60, text)
        yield tmp_path / "log"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert "Traceback" not in text(), text()


def _workers_of(stack: Stack, op: str) -> list[str]:
    rows = {each["name"]: each["workers"] for each in stack.documents("operations")}
    return list(rows.get(op, []))


@pytest.mark.parametrize("plain_log", ["prefork"], indirect=True)
def test_a_worker_without_it_gives_jobs_back(installed: Stack, plain_log: Path, small: dict):
    assert len(_workers_of(installed, "sepia")) == 1
    ended = 'agewell_jobs_ended_total{state="done"}'
    before = _metric(installed, ended)
    pipeline = {"op": "pipeline", "items": [{"image": small}], "steps": [{"op": "sepia"}]}
    installed.worker.suspend()  # so that the other one gets the jobs, more often than it may lose
    try:
        ids = [send(installed, "cv.sepia", sepia_job(small)) for _ in range(3)]
        ids += [send(installed, "cv.pipeline", pipeline) for _ in range(3)]
        given_back = "not installed here: sepia"
        until(lambda: plain_log.read_text().count(given_back) >= 24, 60, plain_log.read_text)
    finally:
        installed.worker.resume()
    ids += [send(installed, "cv.hsv", good_job()) for _ in range(8)]
    records = installed.wait_ended(ids)
    assert {each["state"] for each in records} == {"done"}
    assert not any("lost" in each for each in records)
    until(lambda: _metric(installed, ended) >= before + 14, 30, lambda: "all are counted")
    assert _metric(installed, ended) == before + 14


@pytest.mark.parametrize("plain_log", ["threads"], indirect=True)
def test_jobs_wait_while_the_only_worker_with_it_restarts(
    installed: Stack, plain_log: Path, small: dict
):
    first = installed.worker
    first.send_signal(signal.SIGTERM)
    until(lambda: not _workers_of(installed, "sepia"), 60, lambda: "it has ended")
    pipeline = {"op": "pipeline", "items": [{"image": small}], "steps": [{"op": "sepia"}]}
    ids = [send(installed, "cv.sepia", sepia_job(small)) for _ in range(2)]
    ids.append(send(installed, "cv.pipeline", pipeline))
    installed.wait_ended(ids, timeout_s=120)
    assert set(installed.states(ids)) == {"done"}
    assert installed.worker != first


# The page itself


@pytest.fixture(scope="module")
def reader(folder: Path) -> Iterator[Stack]:
    """The stack that the page's reader has started in that folder."""
    with pytest.MonkeyPatch.context() as patch, state_directory() as state:
        patch.chdir(folder)
        with started(state, OPERATIONS=",".join(_named_modules()[-1]), CONCURRENCY=1) as stack:
            patch.undo()
            yield stack
            stack.stop()


def _named_modules() -> list[list[str]]:
    """The modules that each `agewell up` of the page names."""
    return [
        each.split(",") for each in re.findall(r"^AGEWELL_OPERATIONS=(\S+) agewell up", PAGE, re.M)
    ]


def _run(command: str, stack: Stack, folder: Path) -> subprocess.CompletedProcess[str]:
    env = stack.env | {
        "PATH": f"{COMMAND.parent}:{os.environ['PATH']}",
        "REDIS_URL": stack.celery.conf.broker_url,
    }
    return subprocess.run(
        ["bash", "-euc", command], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )


def _unboxed(text: str) -> str:
    return " ".join(re.sub("[╭╮╰╯│─]", " ", text).split())


def _is_fixed(line: str) -> bool:
    """True for a line of the page that is the same on every run: no time, rate or share."""
    return line != "..." and not re.search(r"\d\.\d|%", line)


def test_the_pages_first_module_is_complete_without_what_is_added_later(folder: Path):
    first, second = (
        text for text in saved_files()["my_package/ops.py"].split("\n\n\nfrom agewell")
    )
    assert len(first.split("@operation")[1].splitlines()) <= 12
    assert "JobContext" in second
    program = f"{first}\nprint(sepia.agewell_operation.name)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "sepia\n", done.stderr


def test_the_page_starts_the_stack_with_the_modules_that_it_saves(folder: Path):
    assert _named_modules() == [["my_package.ops"], ["my_package.ops", "./more.py"]]


def test_every_command_of_the_page_runs_as_written(reader: Stack, folder: Path):
    ids: dict[str, str] = {}
    for command in commands("docs/operations.md"):
        if " agewell up" in command.text or command.text == "pip install .":
            continue  # other tests here do that
        _type(command, reader, folder, ids)
    assert {each.name for each in (folder / "results").iterdir()} == {
        *("bird.sepia.png", "jellyfish.sepia.png", "small", "stamped")
    }


def _type(command: Command, stack: Stack, folder: Path, ids: dict[str, str]) -> None:
    text = command.text
    for shown, real in ids.items():
        text = text.replace(shown, real)
    if text.startswith("agewell jobs"):
        [job_id] = ids.values()
        until(lambda: stack.jobs([job_id])[0].get("progress"), 30, lambda: stack.log)
    done = _run(text, stack, folder)
    said = _unboxed(done.stdout + done.stderr)
    refused = any(line.startswith(("Invalid", "No such")) for line in command.output)
    assert done.returncode == (2 if refused else 0), said
    if " paint " in text:
        ids |= dict(zip(command.ids, done.stdout.split(), strict=True))
    for line in command.output:
        for shown, real in ids.items():
            line = line.replace(shown, real)
        assert not _is_fixed(line) or _unboxed(line) in said, (line, said)
    if " jobs" in text:
        assert re.search(r"running, \d+%", said)
    if " cancel " in text:
        stack.wait_ended(list(ids.values()))
        assert stack.states(ids.values()) == ["cancelled"]


@pytest.mark.parametrize(
    ("number", "says"),
    [(0, "done bird.sepia.png"), (1, "bird.sepia.png")],
    ids=["client", "celery"],
)
def test_every_program_of_the_page_runs(reader: Stack, folder: Path, number: int, says: str):
    assert len(programs()) == 2
    (folder / "program.py").write_text(programs()[number])
    done = _run(f"{sys.executable} -P program.py", reader, folder)
    assert done.stdout.strip() == says, done.stderr


def test_the_stamp_of_the_page_is_where_its_facts_say(reader: Stack, folder: Path):
    photo, logo = read(folder / "photos" / "bird.jpg"), read(folder / "logo.png")
    with reader.client as client:
        image, stamp = client.put(folder / "photos" / "bird.jpg", folder / "logo.png")
        job = client.job("stamp", [{"image": image}], logo=stamp, margin=[3, 5], corner="left")
        outcome = client.wait(client.send(job), timeout_s=60)
        [item] = outcome.items
        found = cv2.imdecode(np.frombuffer(client.read(item.image), np.uint8), 1)
    top = photo.shape[0] - 5 - 30
    assert item.info == {"left": 3, "top": top}
    photo[top : top + 30, 3:43] = logo
    np.testing.assert_array_equal(found, photo)


def test_the_help_of_a_users_command_has_its_texts(reader: Stack, folder: Path):
    text = _unboxed(_run("COLUMNS=200 agewell enqueue stamp --help", reader, folder).stdout)
    for each in (
        "Put a logo into a lower corner of an image.",
        "agewell enqueue stamp photos/ --logo logo.png --corner left --out results/",
        "between the logo and the two edges.",
        "--mask",
    ):
        assert each in text


def test_json_of_the_operations_is_what_a_program_can_read(reader: Stack):
    lines = reader.ok("operations", "--json").stdout.splitlines()
    names = [json.loads(line)["name"] for line in lines]
    assert names[-3:] == ["sepia", "paint", "stamp"]
