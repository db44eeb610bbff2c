"""Runs that another run has overtaken, and runs whose end meets a Redis that is full."""

import json
from functools import partial

from celery import chain
from celery.exceptions import NotRegistered, TaskRevokedError
from celery.utils.objects import Bunch

from agewell.producer.receiving.collect import Collector
from agewell.shared.blobs.blobs import Blobs
from agewell.shared.errors import MaskError
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.ledger import End
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.workers.maintenance.give_up import give_up_lost_jobs
from tests.support.delivering import AWAY, deliver, deliver_again, hsv, lose_worker, make_due
from tests.support.full_redis import full
from tests.support.messages import good_job

BAD = partial(MaskError, "m", "bad")


def test_a_failure_after_another_run_is_done_ends_no_next_step(app, client, tools, trouble):
    last = chain(hsv(app, good_job()), hsv(app, {"op": "hsv"})).apply_async()

    def overtaken():
        lose_worker(client)
        deliver(app)
        assert tools.ledger.get(last.parent.id).state is State.DONE
        return BAD()

    trouble.append(overtaken)
    deliver(app)
    assert tools.ledger.get(last.parent.id).state is State.DONE
    assert tools.ledger.get(last.id).state is State.WAITING
    deliver(app)
    assert tools.ledger.get(last.id).state is State.DONE
    assert client.hget(keys.COUNTS, "ended_before") == b"1"


def test_a_retry_after_another_run_has_failed_leaves_that_result(
    app, tools, trouble, client, settings
):
    job_id = hsv(app, good_job()).apply_async().id

    def overtaken():
        error = app.backend.prepare_exception(ValueError("bad"))
        result = app.backend.result_of(job_id, error, "FAILURE")
        assert tools.ledger.end(End(job_id, State.FAILED, error="bad"), result)
        return AWAY()

    trouble.append(overtaken)
    deliver(app)
    assert tools.ledger.get(job_id).state is State.FAILED
    assert Collector(app, client, settings).get(job_id) is not None


def test_a_job_that_is_cancelled_as_it_tries_again_has_that_result(
    app, client, tools, trouble, settings, monkeypatch
):
    job_id = hsv(app, good_job()).apply_async().id
    trouble.append(AWAY)
    mark_as_retry = type(app.backend).mark_as_retry

    def cancelled_before(backend, *args, **options):
        assert backend.end_open(job_id, TaskRevokedError("cancelled"), State.WAITING)
        return mark_as_retry(backend, *args, **options)

    monkeypatch.setattr(type(app.backend), "mark_as_retry", cancelled_before)
    deliver(app)
    assert tools.ledger.get(job_id).state is State.CANCELLED
    assert Collector(app, client, settings).get(job_id) is not None


def test_a_job_that_ends_its_workers_is_dead_on_a_full_redis_too(app, tools, client, settings):
    job_id = hsv(app, good_job()).apply_async().id
    for _ in range(settings.max_deliveries):
        with app.connection_for_read() as connection:
            assert connection.default_channel.basic_get("cv")
            lose_worker(client)
    with full(client):
        assert give_up_lost_jobs(app, client, settings.max_deliveries) == 1
    assert tools.ledger.get(job_id).state is State.DEAD
    assert [each.letter_id for each in DeadLetters(client).latest()] == [job_id]
    assert not client.exists(keys.order("cv"))


def test_a_job_that_is_given_up_is_a_dead_letter_on_a_full_redis_too(app, tools, trouble, client):
    trouble += [AWAY] * 6
    job_id = hsv(app, good_job()).apply_async().id
    deliver_again(app, client, 5)
    make_due(client)
    with full(client):
        deliver(app)
    assert tools.ledger.get(job_id).state is State.DEAD
    assert [each.letter_id for each in DeadLetters(client).latest()] == [job_id]


def test_a_step_is_done_and_the_next_one_sent_on_a_full_redis_too(
    app, tools, client, settings, short_path
):
    (short_path / "blobs").mkdir()
    url = f"file://{short_path}/blobs"
    blobs = Blobs(settings.model_copy(update={"blob_url": url}), client)
    object.__setattr__(tools, "blobs", blobs)
    last = chain(hsv(app, good_job()), hsv(app, {"op": "hsv"})).apply_async()
    with full(client):
        deliver(app)
    assert tools.ledger.get(last.parent.id).state is State.DONE
    deliver(app)
    assert tools.ledger.get(last.id).state is State.DONE


def test_malformed_task_ends_no_worker_on_a_full_redis(app, client):
    with full(client):
        # What Celery does with a message whose task it does not know.
        request = Bunch(name="no.such", chord=None, errbacks=None)
        app.backend.mark_as_failure("foreign", NotRegistered("no.such"), request=request)
        DeadLetters(client).keep_message("tag", "cv", b"raw", "no task")
    assert [each.raw for each in DeadLetters(client).latest()] == [b"raw"]


def test_job_fails_with_any_level_in_its_message(app, client, tools, trouble):
    job_id = hsv(app, good_job()).apply_async().id
    message = json.loads(client.hget(keys.job(job_id), "message"))
    client.flushall()
    message["properties"]["delivery_info"]["priority"] = "most urgent"
    message["properties"]["priority"] = "most urgent"
    trouble.append(BAD)
    client.lpush(keys.inlet("cv", 0), json.dumps(message))
    deliver(app)
    assert tools.ledger.get(job_id).state is State.FAILED
