"""Jobs that are revoked, without a worker around them."""

import time

import celery
import pytest
from celery.concurrency.thread import TaskPool

from agewell.shared.celery.app import broker_url
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.workers.jobs.time_limit import LimitedRequest
from tests.support.consuming import scheduled_ids, waiting_ids
from tests.support.delivering import hsv, run, taken
from tests.support.messages import good_job


def revoke(app, job_id):
    """Revoke a job that this worker does not have, by Celery's own call."""
    app.backend.mark_as_revoked(job_id, reason="revoked", store_result=True)


def test_running_job_of_another_worker_is_left_alone(app, tools, client):
    job_id = hsv(app, good_job()).apply_async().id
    with taken(app) as message:
        revoke(app, job_id)
        assert tools.ledger.get(job_id).state is State.RUNNING
        assert client.get(keys.result(job_id)) is None
        assert client.zscore(keys.jobs("running"), job_id) is not None
        run(app, message)
    assert tools.ledger.get(job_id).state is State.DONE


@pytest.mark.parametrize("countdown", [None, 1000])
def test_waiting_job_is_removed_at_once(app, tools, client, countdown):
    job_id = hsv(app, good_job()).apply_async(countdown=countdown).id
    assert len(waiting_ids(client) + scheduled_ids(client)) == 1
    revoke(app, job_id)
    assert (waiting_ids(client), scheduled_ids(client)) == ([], [])
    assert tools.ledger.get(job_id).state is State.CANCELLED
    assert tools.ledger.get(job_id).started_at is None
    assert app.backend.get_state(job_id) == "REVOKED"
    assert not client.hexists(keys.job(job_id), "message")


def test_job_revoked_before_it_is_admitted_is_never_run(app, client, settings):
    with celery.Celery(broker=broker_url(settings.redis_url.get_secret_value())) as plain:
        job_id = plain.send_task("cv.hsv", [good_job()], queue="cv").id
    assert client.llen("cv") == 1
    revoke(app, job_id)
    with app.connection_for_read() as connection:
        assert connection.default_channel.basic_get("cv") is None
    assert client.llen("cv") == 0
    assert app.backend.get_state(job_id) == "REVOKED"


def test_thread_whose_job_is_terminated_is_asked_to_end_it(app, tools, client):
    job_id = hsv(app, good_job()).apply_async().id
    with taken(app) as message:
        request = LimitedRequest(message, app=app, hostname="infer@here")
        request.time_start = time.time()
        request.terminate(TaskPool(1, app=app))
        assert tools.ledger.get(job_id).state is State.RUNNING
        assert tools.ledger.report(job_id)
