"""Somebody's own tasks on our worker, and all that a Celery client may send."""

import gc
import time

import celery
import pytest
from celery import chain, chord, group
from celery.contrib.testing.worker import start_worker
from celery.states import READY_STATES

from agewell.shared.celery.app import broker_url
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.workers.maintenance import admission
from agewell.workers.process import heartbeat
from tests.support.consuming import RUN, scheduled_ids
from tests.support.messages import good_job
from tests.support.stack import until


@pytest.fixture
def app(app, client):
    """With tasks that agewell knows nothing of."""

    @app.task(shared=False, name="own.add")
    def add(*numbers):
        return sum(numbers[0]) if isinstance(numbers[0], list) else sum(numbers)

    @app.task(shared=False, name="own.fail")
    def fail(*_):
        raise ValueError("as it should")

    @app.task(shared=False, name="own.note")
    def note(*what):
        client.rpush("noted", repr(what))

    @app.task(bind=True, shared=False, name="own.retry", max_retries=3)
    def retry(task, countdown):
        client.rpush("runs", task.request.id)
        if task.request.retries < 2:
            raise task.retry(countdown=countdown)
        return task.request.retries

    @app.task(bind=True, shared=False, name="own.replace")
    def replace(task):
        raise task.replace(app.signature("own.add", args=(1, 2), queue="cv"))

    @app.task(shared=False, name="own.early", acks_late=False)
    def early():
        until(lambda: not client.hlen(keys.reserved(RUN)), 10, lambda: "its acknowledgement")

    return app


@pytest.fixture
def working(app, tools, monkeypatch):
    """Starts a worker of the queue cv, in this process."""
    for module in (heartbeat, admission):
        monkeypatch.setattr(module, "context", lambda: tools)
    app.steps["consumer"].update({heartbeat.Heartbeat, admission.AdmissionTimer})
    app.conf.agewell_worker_id = RUN

    def start(pool="solo"):
        return start_worker(app, pool=pool, perform_ping_check=False, queues=["cv"])

    return start


@pytest.fixture
def plain(settings, client):
    """A program that knows nothing of agewell."""
    url = broker_url(settings.redis_url.get_secret_value())
    with celery.Celery("plain", broker=url, backend=url, set_as_current=False) as made:
        made.conf.broker_transport_options = {"priority_steps": list(range(10))}
        yield made
        gc.collect()  # a result that is collected later would look for a Redis that is gone


def own(app, name, *args, **options):
    return app.signature(f"own.{name}", args=args, queue="cv", **options)


def end_of(app, result):
    """Wait for a task. Returns its state, and its result as text."""
    job_id = getattr(result, "id", result)

    def meta():
        found = app.backend.get_task_meta(job_id)
        return found if found["status"] in READY_STATES else None

    found = until(meta, 30, lambda: f"the end of {job_id}")
    return found["status"], str(found["result"])


def nothing_left(client):
    """True if nothing is kept of any task."""
    return not [*client.scan_iter("agewell:job:*"), *client.scan_iter("agewell:jobs:*")]


def test_own_task_runs_and_leaves_its_result_alone(app, plain, client, working):
    with working():
        for sender in (app, plain):
            assert end_of(plain, own(sender, "add", 1, 2).apply_async()) == ("SUCCESS", "3")
            state, text = end_of(plain, own(sender, "fail").apply_async())
            assert (state, text) == ("FAILURE", "as it should")
        until(lambda: nothing_left(client), 10, lambda: client.keys())


def test_own_task_retries_from_redis(app, plain, client, working):
    with working():
        sent = own(plain, "retry", 1).apply_async()
        until(lambda: client.llen("runs") == 1, 10, lambda: "the first run")
        until(lambda: scheduled_ids(client) == [sent.id], 5, lambda: "its retry waits")
        assert end_of(plain, sent) == ("SUCCESS", "2")
        assert client.lrange("runs", 0, -1) == [sent.id.encode()] * 3
        until(lambda: nothing_left(client), 10, lambda: client.keys())


def test_own_tasks_form_chains_groups_and_chords(app, plain, client, working):
    with working():
        result = chain(own(plain, "add", 1, 2), own(plain, "add", 3)).apply_async()
        assert end_of(plain, result) == ("SUCCESS", "6")
        parts = group(own(plain, "add", n, n) for n in range(3)).apply_async()
        assert [end_of(plain, part)[1] for part in parts] == ["0", "2", "4"]
        body = chord([own(plain, "add", n, n) for n in range(3)])(own(plain, "add"))
        assert end_of(plain, body) == ("SUCCESS", "6")
        body = chord([own(plain, "add", 1, 1), own(plain, "fail")])(own(plain, "add"))
        assert end_of(plain, body)[0] == "FAILURE"
        until(lambda: nothing_left(client), 10, lambda: client.keys())


def test_links_are_called(app, plain, client, working):
    with working():
        own(plain, "add", 1, 2).apply_async(link=own(plain, "note"))
        until(lambda: client.lrange("noted", 0, -1) == [b"(3,)"], 10, lambda: "the link")
        client.delete("noted")
        failing = own(plain, "fail").apply_async(link_error=own(plain, "note"))
        until(lambda: client.llen("noted"), 10, lambda: "the errback")
        assert failing.id in client.lindex("noted", 0).decode()


def test_own_task_replaces_itself(app, plain, client, working):
    with working():
        assert end_of(plain, own(plain, "replace").apply_async()) == ("SUCCESS", "3")
        until(lambda: nothing_left(client), 10, lambda: client.keys())


def test_own_task_may_be_acknowledged_early(app, plain, client, working):
    with working(pool="threads"):
        assert end_of(plain, own(plain, "early").apply_async())[0] == "SUCCESS"


@pytest.mark.parametrize("task", ["own.add", "cv.hsv"])
def test_result_that_is_ignored_is_not_stored(app, plain, client, working, task):
    args = [good_job()] if task == "cv.hsv" else [1, 2]
    with working():
        ignored = plain.send_task(task, args, queue="cv", ignore_result=True).id
        # Behind it:
        end_of(plain, plain.send_task("own.add", [1], queue="cv", priority=9))
    assert client.get(keys.result(ignored)) is None


def test_messages_of_the_first_protocol_run(app, plain, client, tools, working):
    plain.conf.task_protocol = 1
    with working():
        assert end_of(plain, own(plain, "add", 1, 2).apply_async()) == ("SUCCESS", "3")
        assert end_of(plain, own(plain, "retry", 0.1).apply_async()) == ("SUCCESS", "2")
        due = redis_now(client) + 1
        later = own(plain, "note", "later").apply_async(countdown=1)
        assert end_of(plain, later)[0] == "SUCCESS"
        assert redis_now(client) >= due
        until(lambda: nothing_left(client), 10, lambda: client.keys())
        job = plain.send_task("cv.hsv", [good_job()], queue="cv")
        assert end_of(plain, job)[0] == "SUCCESS"
        assert tools.ledger.get(job.id).state is State.DONE


@pytest.mark.parametrize("protocol", [1, 2])
def test_task_that_comes_too_late_is_revoked(app, plain, tools, working, protocol):
    plain.conf.task_protocol = protocol
    job = plain.send_task("cv.hsv", [good_job()], queue="cv", expires=0.01)
    mine = plain.send_task("own.add", [1, 2], queue="cv", expires=0.01)
    sent_at = time.monotonic()
    until(lambda: time.monotonic() > sent_at + 0.02, 1, lambda: "too late")
    with working():
        for each in (job, mine):
            assert end_of(plain, each) == ("REVOKED", "expired")
    assert tools.ledger.get(job.id).state is State.EXPIRED


def test_two_messages_of_one_id_are_one_job(app, plain, client, working):
    for name in ("cv.hsv", "own.retry"):
        args = [good_job()] if name == "cv.hsv" else [0]
        for _ in range(2):
            plain.send_task(name, args, queue="cv", task_id=name)
    with working():
        assert end_of(plain, "cv.hsv")[0] == "SUCCESS"
        assert end_of(plain, "own.retry") == ("SUCCESS", "2")
        end_of(plain, plain.send_task("own.add", [1], queue="cv", priority=9))
    assert client.lrange("runs", 0, -1) == [b"own.retry"] * 3


def test_own_task_whose_id_is_sent_again_after_its_end_runs_again(app, plain, client, working):
    with working():
        for number in (1, 2):
            own(plain, "note", number, task_id="mine").apply_async()
            until(lambda number=number: client.llen("noted") == number, 10, lambda: "its run")
            until(lambda: nothing_left(client), 10, lambda: client.keys())
