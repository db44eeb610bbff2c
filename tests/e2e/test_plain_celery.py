"""Programs that know Celery and JSON, but nothing of agewell's code."""

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from celery.exceptions import NotRegistered

from agewell.shared.errors import BadJobError, BlobDamagedError, BlobMissingError
from tests.support.image_files import file_of, picture
from tests.support.messages import (
    Document,
    answer_to,
    ask,
    bytes_of,
    good_job,
    hsv_job,
    inline,
    send,
    stored,
)
from tests.support.pixels import expected_hsv, over, same
from tests.support.stack import Stack

pytestmark = pytest.mark.usefixtures("unharmed")

CLIENT = """
import base64, hashlib, json, sys
from celery import Celery

data = base64.b64decode(sys.argv[2])
job = {"op": "hsv", "items": [{"image": {
    "uri": "data:image/png;base64," + sys.argv[2],
    "sha256": hashlib.sha256(data).hexdigest(),
    "size_bytes": len(data),
    "media_type": "image/png",
}}]}
app = Celery(broker=sys.argv[1], backend=sys.argv[1])
print(json.dumps(app.send_task("cv.hsv", args=[job], queue="cv").get(timeout=60)))
assert "agewell" not in sys.modules
"""


def test_a_program_with_celery_alone_gets_its_image_converted(stack: Stack):
    data = file_of("PNG")
    url = stack.celery.conf.broker_url
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, url, base64.b64encode(data).decode()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["schema_version"], answer["op"]) == (1, "hsv")
    assert same(bytes_of(stack, answer["items"][0]["image"]), expected_hsv(data))


def test_an_image_may_lie_in_redis(stack: Stack):
    noise = np.random.default_rng(3).integers(0, 256, (200, 300, 3), np.uint8)
    data = cv2.imencode(".png", noise)[1].tobytes()
    answer = ask(stack, "cv.hsv", hsv_job(stored(stack, data)))
    assert same(bytes_of(stack, answer["items"][0]["image"]), expected_hsv(data))


def test_a_blend_by_a_plain_program_is_the_formula(stack: Stack):
    front, back = picture(), picture().rotate(180)
    item = {"foreground": inline(file_of("PNG", front)), "background": inline(file_of("PNG", back))}
    answer = ask(stack, "cv.alpha_blend", {"op": "alpha_blend", "alpha": 0.25, "items": [item]})
    expected = over(np.asarray(front)[..., ::-1], np.asarray(back)[..., ::-1], 0.25)
    assert same(bytes_of(stack, answer["items"][0]["image"]), expected)


def test_jobs_of_a_plain_program_show_in_status(stack: Stack):
    task_id = send(stack, "cv.hsv", good_job())
    answer_to(stack, task_id)
    [job] = stack.jobs([task_id])
    assert (job["op"], job["state"], job["items"]) == ("hsv", "done", 1)


def without(document: Document, field: str) -> Document:
    return {key: value for key, value in document.items() if key != field}


NO_JOBS = {
    "another_version": ({**good_job(), "schema_version": 2}, ["schema_version is 2", "reads 1"]),
    "no_operation": (without(good_job(), "op"), ["op: is missing"]),
    "unknown_operation": ({**good_job(), "op": "sharpen"}, ["op is 'sharpen'", "cv.hsv"]),
    "another_operation": (
        {**good_job(), "op": "alpha_blend"},
        ["foreground"],
    ),
    "unknown_field": ({**good_job(), "colour": "red"}, ["colour", "red"]),
    "no_items": (hsv_job(), ["items", "at least 1"]),
    "too_many_items": (hsv_job(*[inline(b"x")] * 65), ["items", "at most 64", "65"]),
    "a_bad_hash": (hsv_job(inline(b"x") | {"sha256": "../../etc/passwd"}), ["sha256", "passwd"]),
    "a_negative_size": (hsv_job(inline(b"x") | {"size_bytes": -1}), ["size_bytes", "-1"]),
    "an_unknown_type": (hsv_job(inline(b"x") | {"media_type": "image/gif"}), ["media_type", "gif"]),
    "no_name": (hsv_job(inline(b"x") | {"name": ""}), ["name"]),
    "an_empty_document": ({}, ["op"]),
    "text": ("convert this, please", ["must be JSON"]),
    "nothing": (None, ["None"]),
    "a_list": ([1, 2], ["[1, 2]"]),
}


@pytest.mark.parametrize(("document", "words"), NO_JOBS.values(), ids=NO_JOBS)
def test_malformed_job_is_refused_in_words(stack: Stack, document: object, words: list[str]):
    with pytest.raises(BadJobError) as raised:
        ask(stack, "cv.hsv", document)
    for word in ("not a valid job", *words):
        assert word in str(raised.value)


def test_a_job_sent_to_the_wrong_task_is_refused(stack: Stack):
    with pytest.raises(BadJobError, match=r"'hsv', but .* sent to the task 'cv\.alpha_blend'"):
        ask(stack, "cv.alpha_blend", good_job())


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((good_job(),), {"more": 1})]
)
def test_wrong_arguments_fail_and_do_not_hang(stack: Stack, args: tuple, kwargs: dict):
    with pytest.raises(TypeError, match="argument"):
        ask(stack, "cv.hsv", *args, **kwargs)


def test_an_unknown_task_fails_by_name(stack: Stack):
    with pytest.raises(NotRegistered, match=r"cv\.nonesuch"):
        ask(stack, "cv.nonesuch", good_job())


def test_an_expired_image_is_its_own_error(stack: Stack):
    image = stored(stack, file_of("PNG"), "gone.png")
    stack.redis.delete(f"agewell:blob:{image['sha256']}")
    with pytest.raises(BlobMissingError, match=r"gone\.png: no such blob, expired or never stored"):
        ask(stack, "cv.hsv", hsv_job(image))


def test_an_image_that_expires_while_its_job_waits_is_named(
    stack: Stack, long_job: str, small_folder: Path
):
    [job_id] = stack.enqueue("hsv", small_folder / "0.png")
    sha256 = hashlib.sha256((small_folder / "0.png").read_bytes()).hexdigest()
    (stack.state_dir / "blobs" / sha256[:2] / sha256).unlink()
    stack.ok("cancel", long_job)
    [job] = stack.wait_ended([job_id])
    assert job["state"] == "failed"
    assert "0.png: no such blob, expired or never stored" in job["error"]


DAMAGED = {
    "other_bytes": ({"sha256": "0" * 64}, "SHA-256 is"),
    "another_size": ({"size_bytes": 1}, "expected 1"),
    "bad_base64": ({"uri": "data:image/png;base64,%%%"}, "bad base64"),
    "not_base64": ({"uri": "data:image/png,abc"}, "must be base64"),
    "a_file": ({"uri": "file:///etc/passwd"}, "this worker reads"),
    "a_web_page": ({"uri": "http://127.0.0.1/"}, "this worker reads"),
    "a_blob_of_another_name": ({"uri": f"redis:{'0' * 64}"}, "this worker reads"),
}


@pytest.mark.parametrize(("change", "words"), DAMAGED.values(), ids=DAMAGED)
def test_a_reference_that_does_not_fit_its_bytes_is_refused(
    stack: Stack, change: Document, words: str
):
    image = inline(file_of("PNG"), "mine.png") | change
    with pytest.raises(BlobDamagedError, match=words) as raised:
        ask(stack, "cv.hsv", hsv_job(image))
    assert str(raised.value).startswith("mine.png: damaged blob")


def test_a_job_whose_sender_wants_no_result_ends_in_the_ledger_all_the_same(stack: Stack):
    good, bad = (
        stack.celery.send_task("cv.hsv", args=[job], queue="cv", ignore_result=True).id
        for job in (good_job(), {"op": "hsv", "items": []})
    )
    stack.wait_ended([good, bad])
    assert stack.states([good, bad]) == ["done", "failed"]
    assert stack.redis.exists(f"celery-task-meta-{good}", f"celery-task-meta-{bad}") == 0
