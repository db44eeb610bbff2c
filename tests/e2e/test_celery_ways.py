"""Celery's own ways of calling, from an environment that has celery[redis] and nothing else."""

import json
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support import bare_python
from tests.support.image_files import file_of, picture
from tests.support.messages import bytes_of, good_job, hsv_job, inline, send, stored
from tests.support.pixels import expected_hsv, over, same
from tests.support.stack import Stack, until

PRELUDE = """
import json, sys
from celery import Celery, chain, chord, group
from celery.result import AsyncResult

url, given = sys.argv[1], json.loads(sys.argv[2])
app = Celery("somebody-else", broker=url, backend=url)
app.conf.broker_transport_options = {"priority_steps": list(range(10))}
task = lambda name, *args, **options: app.signature(f"cv.{name}", args=args, queue="cv", **options)
say = lambda value: print(json.dumps(value, default=str), flush=True)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare_python.make(tmp_path_factory.mktemp("bare") / "venv")


def url_of(stack: Stack) -> str:
    url: str = stack.celery.conf.broker_url
    return url


class Bare:
    """Runs programs and Celery's commands in the bare environment, against the stack."""

    def __init__(self, python: Path, stack: Stack, folder: Path) -> None:
        self._python = python
        self._stack = stack
        self._folder = folder

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self._python), *arguments],
            cwd=self._folder,
            env=bare_python.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> str:
        said, complaints = process.communicate(timeout=120)
        assert process.returncode == 0, complaints
        return said

    def run(self, program: str, **given: Any) -> Any:
        """Run a program. Returns the last thing that it said."""
        said = self.finish(
            self.start("-c", PRELUDE + program, url_of(self._stack), json.dumps(given))
        )
        return json.loads(said.splitlines()[-1])

    def celery(self, *arguments: str) -> str:
        """Run Celery's command line as its documentation writes it. Returns its output."""
        return self.finish(self.start("-m", "celery", "-b", url_of(self._stack), *arguments))


@pytest.fixture
def bare(python: Path, stack: Stack, tmp_path: Path) -> Bare:
    return Bare(python, stack, tmp_path)


def hsv_of(stack: Stack, answer: dict[str, Any]) -> list[bytes]:
    return [bytes_of(stack, item["image"]) for item in answer["items"]]


def noise(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1])


def test_the_environment_has_celery_and_nothing_of_ours(bare: Bare):
    missing = bare.run("""
from importlib.util import find_spec
say([name for name in ("agewell", "pydantic", "typer", "numpy", "cv2") if find_spec(name) is None])
""")
    assert len(missing) == 5


def test_send_task_and_get(bare: Bare, stack: Stack):
    answer = bare.run(
        'say(app.send_task("cv.hsv", args=[given["job"]], queue="cv").get(timeout=60))',
        job=good_job(),
    )
    [found] = hsv_of(stack, answer)
    assert same(found, expected_hsv(file_of("PNG")))


def test_apply_async_keeps_its_priority(bare: Bare, stack: Stack):
    task_id = bare.run(
        """
result = task("hsv", given["job"]).apply_async(priority=2)
result.get(timeout=60)
say(result.id)
""",
        job=good_job(),
    )
    [job] = stack.jobs([task_id])
    assert (job["level"], job["state"]) == (2, "done")


def test_an_urgent_job_overtakes_bulk(bare: Bare, stack: Stack, long_job: str):
    bulk, urgent = bare.run(
        'say([task("hsv", given["job"]).apply_async(priority=each).id for each in (9, 0)])',
        job=good_job(),
    )
    stack.ok("cancel", long_job)
    ended = {job["id"]: job for job in stack.wait_ended([bulk, urgent])}
    assert ended[urgent]["started_at"] < ended[bulk]["started_at"]


def test_a_result_is_found_again_by_its_id(bare: Bare, stack: Stack):
    found = bare.run(
        """
sent = task("hsv", given["job"]).apply_async()
again = AsyncResult(sent.id, app=app)
again.get(timeout=60)
say([again.state, again.successful(), again.ready(), again.result["op"]])
""",
        job=good_job(),
    )
    assert found == ["SUCCESS", True, True, "hsv"]


def test_a_failure_has_its_name_and_its_words(bare: Bare):
    state, name, text = bare.run(
        """
sent = task("hsv", given["job"]).apply_async()
try:
    sent.get(timeout=60)
except Exception as error:
    say([sent.state, type(error).__name__, str(error)])
""",
        job=hsv_job(inline(noise(1)[:-100], "cut.png")),
    )
    assert (state, name) == ("FAILURE", "UndecodableError")
    assert "cut.png" in text


def test_a_group_gives_the_results_in_order(bare: Bare, stack: Stack):
    images = [noise(seed) for seed in range(5)]
    answers = bare.run(
        'say(group(task("hsv", job) for job in given["jobs"])().get(timeout=60))',
        jobs=[hsv_job(inline(data)) for data in images],
    )
    for data, answer in zip(images, answers, strict=True):
        [found] = hsv_of(stack, answer)
        assert same(found, expected_hsv(data))


def test_a_chain_hands_the_images_on(bare: Bare, stack: Stack):
    front, back = file_of("PNG"), file_of("PNG", picture().rotate(180))
    under = {"op": "alpha_blend", "alpha": 0.25, "items": [{"background": inline(back)}]}
    answer = bare.run(
        'say(chain(task("hsv", given["job"]), task("alpha_blend", given["under"]))().get(60))',
        job=hsv_job(inline(front, "front.png")),
        under=under,
    )
    [item] = answer["items"]
    assert item["image"]["name"] == "front.hsv.alpha_blend.png"
    back_bgr = cv2.imdecode(np.frombuffer(back, np.uint8), cv2.IMREAD_COLOR)
    expected = over(expected_hsv(front), back_bgr, 0.25)
    assert same(bytes_of(stack, item["image"]), expected)


def test_a_chain_keeps_the_priority_and_the_time_of_its_first_step(bare: Bare, stack: Stack):
    ids = bare.run(
        """
last = chain(task("hsv", given["job"]), task("hsv", {"op": "hsv"})).apply_async(priority=3)
last.get(timeout=60)
say([last.parent.id, last.id])
""",
        job=good_job(),
    )
    first, last = stack.jobs(ids)
    assert [first["level"], last["level"]] == [3, 3]


def test_a_chain_ends_at_the_step_that_fails(bare: Bare):
    name, states = bare.run(
        """
last = chain(task("hsv", given["job"]), task("hsv", {"op": "hsv"}))()
try:
    last.get(timeout=60)
except Exception as error:
    say([type(error).__name__, [last.parent.state, last.state]])
""",
        job=hsv_job(inline(b"no image at all")),
    )
    assert name == "UnknownFormatError"
    assert states[0] == "FAILURE"


def test_a_chord_calls_back_with_the_images_of_all_parts(bare: Bare, stack: Stack):
    images = [noise(seed) for seed in range(4)]
    answer = bare.run(
        """
parts = [task("hsv", job) for job in given["jobs"]]
say(chord(parts)(task("hsv", {"op": "hsv"})).get(timeout=60))
""",
        jobs=[hsv_job(inline(data)) for data in images],
    )
    once = [cv2.imencode(".png", expected_hsv(data))[1].tobytes() for data in images]
    for found, data in zip(hsv_of(stack, answer), once, strict=True):
        assert same(found, expected_hsv(data))


def test_a_chord_whose_part_fails_says_so(bare: Bare):
    text = bare.run(
        """
parts = [task("hsv", job) for job in given["jobs"]]
try:
    chord(parts)(task("hsv", {"op": "hsv"})).get(timeout=60)
except Exception as error:
    say(str(error))
""",
        jobs=[good_job(), hsv_job(inline(b"no image at all"))],
    )
    assert "no JPEG, PNG" in text


def test_a_waiting_job_that_is_revoked_does_not_run(bare: Bare, stack: Stack, long_job: str):
    task_id = bare.run(
        """
sent = task("hsv", given["job"]).apply_async()
sent.revoke()
say(sent.id)
""",
        job=good_job(),
    )
    stack.ok("cancel", long_job)
    [job] = stack.wait_ended([task_id])
    assert (job["state"], job["started_at"]) == ("cancelled", None)
    assert stack.celery.backend.get_state(task_id) == "REVOKED"


def test_a_running_job_that_is_revoked_and_terminated_ends(
    python: Path, rough_stack: Stack, large_photo: Path, tmp_path: Path
):
    image = stored(rough_stack, large_photo.read_bytes(), "large.jpg")
    task_id = send(rough_stack, "cv.hsv", hsv_job(*[image] * 64))
    rough_stack.wait_running(task_id)
    program = """
result = AsyncResult(given["id"], app=app)
result.revoke(terminate=True)
try:
    result.get(timeout=60)
except Exception as error:
    say([result.state, type(error).__name__])
"""
    said = Bare(python, rough_stack, tmp_path).run(program, id=task_id)
    assert said == ["REVOKED", "TaskRevokedError"]
    [job] = rough_stack.wait_ended([task_id])
    assert job["state"] == "cancelled"


def test_inspect_shows_running_jobs_and_known_tasks(bare: Bare, stack: Stack, long_job: str):
    def asked(*question: str) -> Any:
        [answer] = json.loads(bare.celery("inspect", *question, "--json", "-d", cv)).values()
        return answer

    [cv] = [name for name in stack.celery.control.inspect().ping() if name.startswith("cv@")]
    assert asked("ping") == {"ok": "pong"}
    assert {"cv.hsv", "cv.alpha_blend", "cv.poisson_blend"} <= set(asked("registered"))
    assert [job["id"] for job in asked("active")] == [long_job]
    assert [queue["name"] for queue in asked("active_queues")] == ["cv"]
    assert asked("reserved") == []


def listeners(stack: Stack) -> int:
    """Connections that listen to Celery's events, or to any other broadcast."""
    return sum(int(each["psub"]) > 0 for each in stack.redis.client_list())


def test_events_tell_of_every_step(bare: Bare, stack: Stack):
    bare.celery("control", "enable_events")
    before = listeners(stack)
    process = bare.start("-u", "-m", "celery", "-b", url_of(stack), "events", "--dump")
    try:
        # The dump says nothing when it listens: Redis knows.
        until(lambda: listeners(stack) > before, 60, lambda: "celery events listens")
        task_id = stack.celery.send_task("cv.hsv", args=[good_job()], queue="cv").id
        seen: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            if task_id in line:
                seen.append(line.lower())
                if "succeeded" in seen[-1]:
                    break
    finally:
        process.kill()
        process.communicate()
    for step in ("received", "started", "succeeded"):
        assert any(step in line for line in seen), seen
