"""Jobs that are revoked, without a worker around them."""

import time

import pytest
from celery.concurrency.thread import TaskPool

from shared import keys
from shared.queue.ledger import Start
from shared.queue.record import State
from tests.e2e.messages import good_job
from tests.integration.delivering import LIST, deliver, hsv
from workers.time_limit import LimitedRequest


def test_another_workers_running_job_is_left_alone(app, tools, client):
    job_id = hsv(app, good_job()).apply_async().id
    tools.ledger.start(Start(job_id, "hsv", 1, "cv@there", 5, None), 3)
    app.backend.mark_as_revoked(job_id, reason="revoked", store_result=True)  # Celery's own call
    assert tools.ledger.get(job_id).state is State.RUNNING
    assert client.get(keys.result(job_id)) is None
    assert client.zscore(keys.jobs("running"), job_id) is not None


@pytest.mark.parametrize("sent_by_us", [True, False])
def test_a_worker_that_starts_later_does_not_run_a_revoked_job(app, tools, client, sent_by_us):
    job_id = hsv(app, good_job()).apply_async().id
    if not sent_by_us:
        client.delete(keys.job(job_id), keys.jobs("waiting"))
    app.backend.mark_as_revoked(job_id, reason="revoked", store_result=True)
    assert client.llen(LIST) == 1
    deliver(app)
    assert tools.ledger.get(job_id).state is State.CANCELLED
    assert tools.ledger.get(job_id).started_at is None


def test_a_thread_whose_job_is_terminated_is_asked_to_end_it(app, tools, client):
    job_id = hsv(app, good_job()).apply_async().id
    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get("cv", no_ack=True)
        request = LimitedRequest(message, app=app, hostname="infer@here")
    request.time_start = time.time()
    request.terminate(TaskPool(1, app=app))
    assert tools.ledger.cancel_asked(job_id)
