"""Messages that Celery itself would stumble over. No worker ends, and jobs behind them run."""

import base64
import pickle
import uuid
from collections.abc import Iterator

import pytest

from tests.support.envelopes import encoded, message
from tests.support.messages import answer_to, ask, good_job, send
from tests.support.stack import Stack, until

JOB_BEHIND_S = 30.0


NO_ENVELOPES: dict[str, str | bytes] = {
    "no_json": "not json",
    "no_text": b"\xff\xfe\x00",
    "nothing": "",
    "null": "null",
    "a_number": "1",
    "a_list": "[]",
    "an_empty_object": "{}",
    "no_properties": message(properties={}),
    "no_base64": message(body="***"),
    "no_body": message(body=None),
}
NO_TASKS = {
    "unknown_content_type": message(**{"content-type": "text/nonsense"}),
    "a_pickle": message(**{"content-type": "application/x-python-serialize"}),
    "no_headers": message(headers={}),
    "a_task_that_is_a_list": message(headers={"task": ["cv.hsv"], "id": "some-id"}),
    "no_id": message(headers={"task": "cv.hsv"}),
    "an_id_that_is_null": message(headers={"task": "cv.hsv", "id": None}),
    "an_id_that_is_false": message(headers={"task": "cv.hsv", "id": False}),
    "an_id_that_is_a_number": message(headers={"task": "cv.hsv", "id": 17}),
    "a_task_that_is_true": message(headers={"task": True, "id": "some-id"}),
    "an_id_in_the_body_that_is_false": message(
        headers={}, body=encoded('{"id": false, "task": "cv.hsv", "args": [1], "kwargs": {}}')
    ),
    "a_bad_time_limit": message(headers={"task": "cv.hsv", "id": "some-id", "timelimit": "x"}),
    "a_bad_start": message(headers={"task": "cv.hsv", "id": "some-id", "eta": "soon"}),
    "a_bad_end": message(headers={"task": "cv.hsv", "id": "some-id", "expires": "soon"}),
    **{
        f"a_body_of_{name}": message(body=encoded(text))
        for name, text in {
            "null": "null",
            "a_number": "5",
            "text": '"abc"',
            "an_object": "{}",
            "an_empty_list": "[]",
            "one_part": "[1]",
            "three_numbers": "[1, 2, 3]",
            "no_options": "[[], {}, null]",
            "no_json": "%%%",
            "depth": "[" * 100_000,
        }.items()
    },
}


@pytest.fixture
def clean(rough_stack: Stack) -> Iterator[None]:
    """Whatever a failing test leaves is taken away, so that the next one can speak for itself."""
    yield
    rough_stack.redis.delete("cv", *rough_stack.redis.keys("*unacked*"))


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("messages", [NO_ENVELOPES, NO_TASKS], ids=["no_envelopes", "no_tasks"])
def test_a_job_behind_malformed_messages_is_done_by_the_same_worker(
    rough_stack: Stack, messages: dict[str, str | bytes]
):
    worker = rough_stack.worker
    for each in messages.values():
        rough_stack.redis.lpush("cv", each)
    answer = answer_to(rough_stack, send(rough_stack, "cv.hsv", good_job()), JOB_BEHIND_S)
    assert answer["op"] == "hsv"
    assert rough_stack.worker == worker
    assert "cv worker  ended" not in rough_stack.log
    assert rough_stack.redis.llen("cv") == 0


@pytest.mark.usefixtures("clean")
def test_a_pickle_is_refused_counted_and_kept(rough_stack: Stack):
    def refused() -> int:
        return int(rough_stack.redis.hget("agewell:counts", "refused") or 0)

    before = refused()
    pickled = base64.b64encode(pickle.dumps([[{}], {}, {}])).decode()
    kind = {"content-type": "application/x-python-serialize"}
    rough_stack.redis.lpush("cv", message(body=pickled, **kind))

    def kept() -> bool:
        # Upkeep may still count messages of the tests before.
        letters = rough_stack.documents("dead", "list")
        return any(pickled in (letter.get("message") or "") for letter in letters)

    until(kept, JOB_BEHIND_S, lambda: rough_stack.documents("dead", "list"))
    assert refused() > before


@pytest.mark.usefixtures("clean")
def test_a_body_that_is_no_json_makes_its_job_a_dead_letter(rough_stack: Stack):
    job_id = str(uuid.uuid4())
    headers = {"task": "cv.hsv", "id": job_id}
    rough_stack.redis.lpush("cv", message(headers=headers, body=encoded("%%%")))
    until(
        lambda: rough_stack.states([job_id]) == ["dead"],
        JOB_BEHIND_S,
        lambda: rough_stack.jobs([job_id]),
    )
    [letter] = [each for each in rough_stack.documents("dead", "list") if job_id in str(each)]
    assert "DecodeError" in letter["reason"]


@pytest.mark.parametrize("channel", ["/0.celery.pidbox", "/0.celeryev/worker.heartbeat"])
def test_malformed_command_or_event_ends_no_program(stack: Stack, channel: str):
    programs = [(each.pid, each.create_time()) for each in stack.family]
    for raw in ["5", "[]", "{}", "nonsense", '{"properties": {}}', "[" * 100_000, b"\xff"]:
        assert stack.redis.publish(channel, raw) > 0
    assert "image" in ask(stack, "cv.hsv", good_job())["items"][0]
    assert stack.celery.control.ping(timeout=10, limit=3)
    assert [(each.pid, each.create_time()) for each in stack.family] == programs
