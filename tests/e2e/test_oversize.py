"""A message of many megabytes from a plain Celery client, to a real worker."""

import pytest

from agewell.shared.errors import DeadJobError
from tests.support.messages import answer_to, ask, good_job, send
from tests.support.stack import Stack

MIB = 2**20
GROWTH_MAX_MIB = 20


def test_a_message_of_64_mib_becomes_a_dead_letter_that_no_worker_has_read(stack: Stack):
    ask(stack, "cv.hsv", good_job())
    family = [stack.worker, *stack.pool]
    before = sum(each.memory_info().rss for each in family)
    job_id = send(stack, "cv.hsv", "A" * 64 * MIB)
    with pytest.raises(DeadJobError, match=r"bytes; AGEWELL_MAX_MESSAGE_BYTES is 4,194,304"):
        answer_to(stack, job_id)
    assert sum(each.memory_info().rss for each in family) - before < GROWTH_MAX_MIB * MIB
    assert "image" in ask(stack, "cv.hsv", good_job())["items"][0]
    assert [job["state"] for job in stack.jobs([job_id])] == ["dead"]
    [letter] = [each for each in stack.documents("dead", "list") if each["id"] == job_id]
    assert letter["task"] == "cv.hsv"
    assert "AGEWELL_MAX_MESSAGE_BYTES" in letter["reason"]
    assert stack.redis.memory_usage(f"agewell:dead:{job_id}") < MIB
    retried = stack.run("dead", "retry", job_id)
    assert retried.returncode == 1
    assert "its message was too large to keep" in " ".join(retried.stderr.split())
    stack.ok("dead", "drop", job_id)
