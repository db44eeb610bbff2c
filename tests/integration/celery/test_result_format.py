"""Results have the format of Celery's own backend, which is the oracle here."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from celery.app.task import Context
from celery.exceptions import TaskRevokedError

from agewell.shared.celery.app import make_app
from agewell.shared.errors import DeadJobError, MaskError
from agewell.shared.queue.record import State
from agewell.shared.redis import keys

RESULT = {"op": "hsv", "items": [{"error": {"code": "MaskError", "message": "made up"}}]}
ERROR, DEAD = MaskError("a", "b"), DeadJobError("worn out")
WAYS = {
    "done": lambda backend, job: backend.mark_as_done(job.id, RESULT, job),
    "failed": lambda backend, job: backend.mark_as_failure(job.id, ERROR, request=job),
    "dead": lambda backend, job: backend.mark_as_failure(job.id, DEAD, request=job),
    "revoked": lambda backend, job: backend.mark_as_revoked(job.id, "revoked", job),
    "revoked elsewhere": lambda backend, job: backend.mark_as_revoked(job.id, "revoked"),
}
"""Celery's own calls, from tasks, from failures and from revokes."""


@pytest.fixture
def stock(settings, client):
    """An app that knows nothing of agewell."""
    url = settings.redis_url.get_secret_value().replace("unix://", "redis+socket://")
    with Celery("stock", broker=url, backend=url, set_as_current=False) as app:
        yield app


@pytest.fixture
def ours(settings, client):
    with make_app(settings) as app:
        yield app


def form(client, job_id):
    """A result's fields, and the JSON type of each."""
    meta = json.loads(client.get(keys.result(job_id)))
    return {name: type(value) for name, value in meta.items()}


@pytest.mark.parametrize("way", WAYS)
def test_a_result_has_the_form_that_celery_gives_it(ours, stock, client, way):
    for app, name in ((ours, "ours"), (stock, "stock")):
        WAYS[way](app.backend, Context(id=name, task="cv.hsv"))
    assert form(client, "ours") == form(client, "stock")


@pytest.mark.parametrize("error", [TaskRevokedError("cancelled"), DeadJobError("worn out")])
def test_a_job_that_no_worker_ends_has_the_same_form(ours, stock, client, error):
    client.hset(keys.job("ours"), mapping={"state": "waiting", "op": "hsv"})
    assert ours.backend.end_open("ours", error, State.WAITING)
    if isinstance(error, TaskRevokedError):
        stock.backend.mark_as_revoked("stock", "cancelled")
    else:
        stock.backend.mark_as_failure("stock", error)
    assert form(client, "ours") == form(client, "stock")


def test_every_client_reads_the_time_of_an_end_as_a_datetime(ours, stock, client):
    before = datetime.now(UTC) - timedelta(seconds=1)
    ours.backend.mark_as_done("ours", RESULT, Context(id="ours", task="cv.hsv"))
    for app in (ours, stock):
        assert before <= app.AsyncResult("ours").date_done <= datetime.now(UTC)
    raw = json.loads(client.get(keys.result("ours")))["date_done"]
    assert before <= datetime.fromisoformat(raw)
