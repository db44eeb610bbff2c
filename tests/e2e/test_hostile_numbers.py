"""Numbers that no honest client sends, to a real worker: it goes on, and so does the queue."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.run import left_over
from tests.support.envelopes import envelope
from tests.support.messages import ask, good_job, send
from tests.support.stack import Stack, until

DRAINED_S = 60.0
NUMBERS = [
    -1e13,
    1e13,
    1e308,
    -1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
    2**63,
    -(2**63),
    10**400,
    -(10**400),
    -1,
    0,
    10,
    5.7,
    True,
    False,
    None,
    "5",
    "-5",
    "abc",
    "",
    "1e400",
    "NaN",
    "9" * 5000,
    [],
    {},
]
HEADERS = [
    "enqueued_at",
    "deadline_at",
    "items",
    "retries",
    "full_retries",
    "group_index",
    "expires",
    "eta",
    "timelimit",
    "replaced_task_nesting",
    "stamps",
    "stamped_headers",
]
PROPERTIES = ["priority", "delivery_mode"]


def message(**changes: Any) -> bytes:
    """A good job, but for some headers and properties."""
    whole = envelope(good_job(), str(uuid.uuid4()))
    for name, value in changes.items():
        whole["properties" if name in PROPERTIES else "headers"][name] = value
    return json.dumps(whole).encode()


@pytest.fixture(autouse=True)
def no_letters_left(stack: Stack) -> Iterator[None]:
    """Drop the messages that were refused here, for the tests after this one."""
    yield
    letters = stack.redis.zrange("agewell:dead", 0, -1)
    stack.redis.delete("agewell:dead", *(b"agewell:dead:" + each for each in letters))


def wait_drained(stack: Stack) -> None:
    until(lambda: left_over(stack) == 0, DRAINED_S, lambda: f"{left_over(stack)} left over")


@pytest.mark.slow
def test_the_queue_flows_on_behind_any_number(stack: Stack):
    worker = stack.worker
    for name in (*HEADERS, *PROPERTIES):
        stack.redis.lpush("cv", *(message(**{name: value}) for value in NUMBERS))
    wait_drained(stack)
    assert "image" in ask(stack, "cv.hsv", good_job())["items"][0]
    assert stack.worker == worker
    for command in ("queues", "jobs", "dead list"):
        assert stack.run(*command.split(), "--json").returncode == 0


def test_one_message_from_long_ago_wedges_no_worker(stack: Stack):
    ids = [
        stack.celery.send_task(
            "cv.hsv", [good_job()], queue="cv", headers={"enqueued_at": -1e13}
        ).id
        for _ in range(3)
    ]
    ids.append(send(stack, "cv.hsv", good_job()))
    assert [job["state"] for job in stack.wait_ended(ids)] == ["done"] * 4


ODD = st.sampled_from(NUMBERS) | st.integers() | st.floats() | st.text(max_size=5)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.sampled_from([*HEADERS, *PROPERTIES]), ODD, min_size=1))
def test_any_mixture_of_numbers_is_run_or_refused(stack: Stack, changes: dict[str, Any]):
    stack.redis.lpush("cv", message(**changes))
    wait_drained(stack)
    assert "image" in ask(stack, "cv.hsv", good_job())["items"][0]
