"""Which operations workers offer, in a real Redis, and jobs that go back to the queue."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from agewell.shared.operation_offers import (
    GONE_AFTER_S,
    RECENT_S,
    REFRESH_S,
    Offer,
    OfferFailure,
    OperationOffers,
)
from agewell.shared.protocol.operations import ImageInput, OperationSchema
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.workers.consuming.pending_ends import pending_ends
from agewell.workers.jobs import offers as module
from agewell.workers.jobs.offers import Offers, steps_of
from tests.support.consuming import consuming, look, waiting_ids, worker_app
from tests.support.full_redis import full

SEPIA = OperationSchema(
    name="sepia",
    command="sepia",
    summary="Tint it",
    inputs=(ImageInput(name="image"),),
    parameters={"type": "object", "properties": {}},
)
WITH = Offer(
    worker="cv@with", built_in=("hsv", "flip"), users=(SEPIA,), sources={"sepia": "my.ops"}
)
WITHOUT = Offer(
    worker="cv@without",
    built_in=("hsv", "flip"),
    failures=(OfferFailure(source="my.ops", reason="ImportError: no"),),
)


@pytest.fixture
def offers(client) -> OperationOffers:
    return OperationOffers(client)


def test_offers_are_those_of_the_workers_that_publish_them(client, offers):
    assert offers.all() == []
    offers.publish("run-1", WITH)
    offers.publish("run-2", WITHOUT)
    offers.publish("run-2", WITHOUT)
    assert offers.all() == [WITH, WITHOUT]
    assert offers.schemas() == {"sepia": SEPIA}
    assert WITH.names == {"hsv", "flip", "sepia"}
    offers.withdraw("run-1")
    assert offers.all() == [WITHOUT]
    assert client.smembers(keys.CV_WORKERS) == {b"run-2"}


def test_the_offer_of_a_killed_worker_expires(client, offers):
    offers.publish("run-1", WITH)
    assert GONE_AFTER_S - 2 < client.ttl(keys.cv_worker("run-1")) <= GONE_AFTER_S
    client.delete(keys.cv_worker("run-1"))  # as if it had expired
    assert offers.all() == []
    assert client.exists(keys.CV_WORKERS) == 0


@pytest.mark.parametrize("raw", [b"", b"{}", b"[1]", b"\xff", b'{"worker": "x", "new_field": 1}'])
def test_an_offer_that_cannot_be_read_does_not_hide_the_others(client, offers, raw: bytes):
    offers.publish("run-1", WITH)
    client.sadd(keys.CV_WORKERS, "run-2")
    client.set(keys.cv_worker("run-2"), raw)
    assert offers.all() == [WITH]


def test_operations_count_as_offered_for_a_while_after_their_last_worker(client, offers):
    assert not offers.were_offered({"sepia"})
    offers.publish("run-1", WITH)
    offers.withdraw("run-1")
    assert offers.were_offered({"sepia", "hsv"})
    assert not offers.were_offered({"sepia", "other"})
    client.zadd(keys.CV_OPERATIONS, {"sepia": time.time() - RECENT_S - 1})
    assert not offers.were_offered({"sepia"})
    offers.publish("run-2", WITHOUT)  # forgets it, so that the set stays small
    assert client.zrange(keys.CV_OPERATIONS, 0, -1) == [b"flip", b"hsv"]


def test_a_worker_starts_on_a_full_redis_and_publishes_later(client, worker, settings):
    with full(client):
        worker.step.start(worker)
        assert OperationOffers(client).all() == []
    worker.timer.repeat()
    [offer] = OperationOffers(client).all()
    assert offer.worker == "cv@without"
    worker.step.stop(worker)
    assert worker.timer.is_cancelled
    assert OperationOffers(client).all() == []


class Timer:
    """A worker's timer that waits until it is told to go on."""

    def __init__(self) -> None:
        self.due: list[Any] = []
        self.is_cancelled = False

    def call_repeatedly(self, interval_s: float, function: Any, args: tuple[Any, ...]) -> Any:
        assert interval_s == REFRESH_S
        self.repeat = lambda: function(*args)
        return SimpleNamespace(cancel=lambda: setattr(self, "is_cancelled", True))

    def call_after(self, delay_s: float, function: Any, args: tuple[Any, ...]) -> None:
        assert delay_s == module.RETURN_AFTER_S
        self.due.append((function, args))

    def pass_time(self) -> None:
        due, self.due = self.due, []
        for function, args in due:
            function(*args)


@pytest.fixture
def app(settings, client):
    yield worker_app(settings)
    pending_ends.clear()


class Worker:
    """The parts of Celery's consumer that the bootstep sees."""

    def __init__(self) -> None:
        self.timer = Timer()
        self.hostname = "cv@without"
        self.refused: list[Any] = []
        self.on_unknown_task: Any = lambda body, message, error: self.refused.append(message)
        self.strategies: dict[str, Any] = {"cv.pipeline": None}
        self.app = SimpleNamespace(conf=SimpleNamespace(agewell_worker_id="run-9"))
        self.step = Offers(self)


@pytest.fixture
def worker(client, settings, monkeypatch) -> Worker:
    monkeypatch.setattr(module, "context", lambda: SimpleNamespace(client=client))
    monkeypatch.setattr(module, "settings", lambda: settings)
    return Worker()


def send(app, task: str, job: object) -> str:
    return str(app.send_task(task, args=[job], queue="cv").id)


def test_a_job_is_given_back_as_often_as_it_comes_and_is_never_lost(app, client, offers, worker):
    offers.publish("run-1", WITH)
    job_id = send(app, "cv.sepia", {"op": "sepia"})
    with consuming(app) as (got, connection):
        for times in range(1, 9):  # three lost deliveries would make it a dead letter
            look(connection, until=lambda times=times: len(got) == times)
            assert len(got) == times
            assert client.hget(keys.job(job_id), "state") == b"running"
            worker.on_unknown_task(None, got[-1], KeyError("cv.sepia"))
            assert waiting_ids(client) == []  # it is held, so that another worker may come
            worker.timer.pass_time()
            assert waiting_ids(client) == [job_id]
    assert worker.refused == []
    assert client.hget(keys.job(job_id), "lost") is None
    assert client.hget(keys.job(job_id), "state") == State.WAITING.value.encode()
    assert client.scard(keys.GIVEN_UP) == 0


def test_a_job_that_nobody_offers_is_refused_by_name(app, client, offers, worker):
    offers.publish("run-1", WITHOUT)
    job_id = send(app, "cv.sepia", {"op": "sepia"})
    foreign = send(app, "somebody.else", {})
    with consuming(app, at_most=2) as (got, connection):
        look(connection, until=lambda: len(got) == 2)
        for message in got:
            worker.on_unknown_task(None, message, KeyError())
    assert len(worker.refused) == 2
    record = client.hgetall(keys.job(job_id))
    assert record[b"state"] == b"dead"
    assert b"no worker has the operation 'sepia'" in record[b"error"]
    assert b"error" not in client.hgetall(keys.job(foreign))


def test_a_job_is_held_while_redis_does_not_answer(app, client, offers, worker, monkeypatch):
    offers.publish("run-1", WITH)
    job_id = send(app, "cv.sepia", {"op": "sepia"})
    with consuming(app) as (got, connection):
        look(connection, until=lambda: got)

        def away(*_: Any) -> bool:
            raise redis.ConnectionError("away")

        with monkeypatch.context() as patch:
            patch.setattr(OperationOffers, "were_offered", away)
            worker.on_unknown_task(None, got[0], KeyError())
            patch.setattr(type(got[0].channel.qos), "return_unrun", away)
            worker.timer.pass_time()
        assert waiting_ids(client) == []
        worker.timer.pass_time()
        assert waiting_ids(client) == [job_id]


PIPELINE = {"op": "pipeline", "steps": [{"op": "flip"}, {"op": "sepia"}]}


def test_a_pipeline_is_given_back_if_another_worker_has_all_its_steps(app, client, offers, worker):
    run: list[Any] = []
    offers.publish("run-1", WITH)
    ids = [send(app, "cv.pipeline", PIPELINE)]
    ids.append(send(app, "cv.pipeline", {"op": "pipeline", "steps": [{"op": "flip"}]}))
    ids.append(send(app, "cv.pipeline", {"op": "pipeline", "steps": [{"op": "nobodys"}]}))
    with consuming(app, at_most=3) as (got, connection):
        look(connection, until=lambda: len(got) == 3)
        for message in got:
            worker.step._on_pipeline(lambda message, *_: run.append(message), message, 1, 2)
        worker.timer.pass_time()
        assert [each.headers["id"] for each in run] == ids[1:]
        assert waiting_ids(client) == ids[:1]


BODIES = {
    "steps": ([[PIPELINE], {}, {}], {"flip", "sepia"}),
    "chain": ([[{"op": "hsv", "items": []}, PIPELINE], {}, {}], {"flip", "sepia"}),
    "text": ([["text"], {}, {}], set()),
    "no op": ([[{"steps": [{}]}], {}, {}], set()),
    "no list": ([[{"steps": 5}], {}, {}], set()),
    "texts": ([[{"steps": ["flip"]}], {}, {}], set()),
    "numbers": ([[{"steps": [{"op": 5}]}], {}, {}], set()),
    "nothing": (None, set()),
    "empty": ([], set()),
}


@pytest.mark.parametrize("name", BODIES)
def test_the_steps_of_any_body_are_read_without_an_error(name: str):
    body, expected = BODIES[name]
    assert steps_of(SimpleNamespace(payload=body)) == expected
