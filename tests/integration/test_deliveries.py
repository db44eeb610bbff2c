"""Deliveries of jobs, each run as a worker's process runs it, on a real Redis."""

import json
from functools import partial

import pytest
import redis
from celery import chain
from celery.result import denied_join_result
from celery.worker.request import Request

from shared import keys
from shared.blobs import Blobs
from shared.celery_app import make_app
from shared.entry import State
from shared.errors import BlobStoreError
from shared.ledger import Ledger
from tests.e2e.messages import good_job
from workers import deliveries
from workers.context import Context
from workers.jobs import run_job

LIST = keys.waiting_list("cv", 5)


@pytest.fixture
def tools(settings, client, monkeypatch):
    made = Context(settings, client, Blobs(settings, client), Ledger(client, 1000))
    monkeypatch.setattr(deliveries, "context", lambda: made)
    return made


@pytest.fixture
def trouble():
    """What the next runs raise, in this order; the others come to their end."""
    return []


@pytest.fixture
def app(settings, tools, trouble):
    def run(job, checkpoint):
        if trouble:
            raise trouble.pop(0)()
        return run_job(job, tools.blobs, settings, checkpoint)

    # As in a worker's process, which listens to no results.
    with make_app(settings) as made, denied_join_result():

        @made.task(bind=True, shared=False, name="cv.hsv")
        def hsv(task, document, following=None):
            return deliveries.deliver(task, "hsv", document, following, run)

        yield made


def hsv(app, *args, **options):
    return app.signature("cv.hsv", args=args, queue="cv", **options)


def deliver(app):
    """Run the message that is next."""
    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get("cv", no_ack=True)
        Request(message, app=app, hostname="cv@here").execute()


def come_back(app, client, raw):
    """A message that a worker had when its connection was lost."""
    client.rpush(LIST, raw)
    deliver(app)


def test_a_done_step_that_comes_back_sends_the_next_one_no_second_time(app, tools, client):
    first = chain(hsv(app, good_job()), hsv(app, {"op": "hsv"})).apply_async().parent
    raw = client.lindex(LIST, 0)
    deliver(app)
    deliver(app)
    come_back(app, client, raw)
    assert client.llen(LIST) == 0
    assert tools.ledger.get(first.id).state is State.DONE


def test_a_done_job_that_comes_back_calls_what_is_linked_to_it_no_second_time(app, client):
    hsv(app, good_job()).apply_async(link=hsv(app, {"op": "hsv"}))
    raw = client.lindex(LIST, 0)
    deliver(app)
    come_back(app, client, raw)
    assert client.llen(LIST) == 1


FULL = partial(redis.exceptions.OutOfMemoryError, "used memory > 'maxmemory'")
AWAY = partial(BlobStoreError, "here", "no answer")


@pytest.mark.parametrize(
    ("errors", "state"),
    [
        ([FULL] * 7 + [AWAY] * 5, State.DONE),
        ([AWAY, FULL, FULL, *[AWAY] * 4, FULL], State.DONE),
        ([FULL] * 3 + [AWAY] * 6, State.DEAD),
        ([AWAY] * 6, State.DEAD),
    ],
)
def test_retries_for_a_full_redis_are_not_counted_with_the_others(
    app, tools, trouble, errors, state
):
    trouble += errors
    job_id = hsv(app, good_job()).apply_async(headers={"kept": 1}).id
    for _ in errors:
        assert tools.ledger.get(job_id).state is State.WAITING
        deliver(app)
    if state is State.DONE:
        deliver(app)
    assert tools.ledger.get(job_id).state is state
    assert not trouble


def test_a_job_may_be_tried_again_any_number_of_times_while_redis_is_full(
    app, tools, trouble, client
):
    trouble.append(FULL)
    headers = {"full_retries": 5000, "kept": 1}
    job_id = hsv(app, good_job()).apply_async(retries=5000, headers=headers).id
    deliver(app)
    assert tools.ledger.get(job_id).state is State.WAITING
    again = json.loads(client.lindex(LIST, 0))["headers"]
    assert (again["retries"], again["full_retries"], again["kept"]) == (5001, 5001, 1)


class Killed(BaseException):
    """Ends a run where it is, as a worker's death does."""


def test_a_chord_whose_part_came_back_calls_back_once(app, client, monkeypatch):
    # What `chord` sends; itself it would listen for the parts for ever after.
    callback = hsv(app, {"op": "hsv"}, task_id="callback")
    app.backend.set_chord_size("parts", 2)
    for index in range(2):
        options = {"group_id": "parts", "group_index": index, "chord": callback}
        hsv(app, good_job()).apply_async(**options)
    raw = client.lindex(LIST, -1)

    def die(*_args, **_options):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(type(app.backend), "on_chord_part_return", die)
        deliver(app)
    for _ in range(2):
        come_back(app, client, raw)
        assert client.llen(LIST) == 1  # the other part
    deliver(app)
    assert client.llen(LIST) == 1  # the callback
    come_back(app, client, raw)
    assert client.llen(LIST) == 1
    deliver(app)
    assert len(app.backend.get_result("callback")["items"]) == 2
