"""The message of a waiting job, found by its id wherever in the queues it is."""

import json

import celery
import pytest
import redis

from shared import keys
from shared.celery_app import make_app
from shared.settings import Settings
from workers.dashboard import message
from workers.dashboard.message import find_waiting

IMAGE = {"uri": "redis:x", "sha256": "0" * 64, "size_bytes": 9, "media_type": "image/png"}
JOB = {"op": "hsv", "items": [{"image": IMAGE | {"name": "cat.png"}}], "full_range": True}
AFTER = {"op": "hsv", "schema_version": 1, "items": [{"image": IMAGE | {"name": "dog.png"}}]}


@pytest.fixture(autouse=True)
def forget() -> None:
    message._recent.clear()


@pytest.fixture
def plain(client: redis.Redis) -> celery.Celery:
    """Celery as another program uses it."""
    path = client.connection_pool.connection_kwargs["path"]
    url = f"redis+socket://{path}"
    app = celery.Celery("plain", broker=url, backend=url, set_as_current=False)
    app.conf.broker_transport_options = {"priority_steps": list(range(10))}
    return app


def names(found: message.Waiting | None) -> list[str]:
    assert found is not None
    assert found.job is not None, found.problem
    return [item.image.name for item in found.job.items]


@pytest.mark.parametrize("job_id", ["a-b-c", 'quo"ted', "back\\slash", "ünï", "with space/slash:1"])
def test_a_plain_programs_waiting_job_is_found_by_any_id(client, plain, job_id):
    for number in range(50):
        plain.send_task("cv.hsv", args=[JOB], queue="cv", task_id=f"other-{number}")
    plain.send_task("cv.hsv", args=[JOB], queue="cv", priority=7, task_id=job_id)
    found = find_waiting(client, job_id)
    assert names(found) == ["cat.png"]
    assert (found.op, found.level, found.job.full_range) == ("hsv", 7, True)


def test_of_a_long_queue_only_short_stretches_are_read_at_a_time(client, plain):
    plain.send_task("cv.hsv", args=[JOB], queue="cv", task_id="first")
    other = json.dumps({"headers": {"id": "other", "task": "cv.hsv"}, "pad": "x" * 1000})
    pipe = client.pipeline()
    for _ in range(30):
        pipe.lpush("cv", *[other] * 1000)
    pipe.execute()
    assert names(find_waiting(client, "first")) == ["cat.png"]
    stats = client.info("commandstats")["cmdstat_eval"]
    assert stats["calls"] > 10


def test_a_job_that_another_one_names_is_not_taken_for_it(client, plain):
    plain.send_task("cv.hsv", args=[AFTER], queue="cv", task_id="child", parent_id="mother")
    assert find_waiting(client, "mother") is None


def test_a_job_that_a_worker_has_taken_is_found(client, plain):
    plain.send_task("cv.hsv", args=[JOB], queue="cv", task_id="taken")
    raw = client.rpop("cv")
    client.sadd(keys.WORKER_IDS, "run")
    client.hset(keys.reserved("run"), "tag", b"cv\n" + raw)
    assert names(find_waiting(client, "taken")) == ["cat.png"]


def test_the_next_step_of_a_chain_has_the_images_of_the_step_before(client, plain):
    before = {"op": "hsv", "items": [{"image": IMAGE | {"name": "made.png"}, "info": {}}]}
    plain.send_task("cv.hsv", args=[before, {"op": "hsv"}], queue="cv", task_id="second")
    assert names(find_waiting(client, "second")) == ["made.png"]


def test_a_waiting_message_that_is_no_job_says_why(client, plain):
    plain.send_task("cv.hsv", args=[{"op": "hsv", "items": []}], queue="cv", task_id="bad")
    found = find_waiting(client, "bad")
    assert found.job is None
    assert "items: must have a length of at least 1" in found.problem


@pytest.mark.parametrize("raw", [b"\xff", b"[]", b'{"headers": {"id": "odd"}}', b'"id": "odd"'])
def test_what_is_no_message_is_passed_over(client, plain, raw):
    client.lpush("cv", raw)
    plain.send_task("cv.hsv", args=[JOB], queue="infer", task_id="odd-2")
    assert find_waiting(client, "odd") is None
    assert names(find_waiting(client, "odd-2")) == ["cat.png"]


def test_jobs_of_our_own_client_are_found(client, settings: Settings):
    with make_app(settings) as app:
        sent = app.send_task("cv.hsv", args=[JOB], queue="cv", priority=3)
        assert names(find_waiting(client, sent.id)) == ["cat.png"]
