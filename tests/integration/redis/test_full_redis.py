"""A Redis at its maxmemory refuses new jobs, and nothing that running jobs need."""

import shutil

import kombu.exceptions
import kombu.pools
import pytest
import redis
from celery.app.task import Context
from celery.contrib.testing.worker import start_worker
from celery.states import SUCCESS

from agewell.shared.celery.app import make_app
from agewell.shared.errors import BrokerFullError
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.connection import require_redis, unreachable
from agewell.shared.settings import Settings
from tests.chaos.redis_process import RedisProcess
from tests.support.consuming import scheduled_ids, waiting_ids, worker_app
from tests.support.delivering import taken
from tests.support.full_redis import full
from tests.support.stack import until


@pytest.fixture
def running(settings, client):
    """A job that a worker has taken and runs."""
    kombu.pools.reset()  # earlier tests bound the queue in a Redis that has been emptied since
    job_id = make_app(settings).send_task("cv.hsv", args=[{}]).id
    with taken(worker_app(settings)):
        kombu.pools.reset()  # whoever sends next declares and binds the queue, as a new process
        yield job_id


@pytest.mark.parametrize("countdown", [None, 10])
def test_running_job_is_tried_again_by_a_process_that_has_sent_nothing_yet(
    settings, client, ledger, running, countdown
):
    options = {"task_id": running, "retries": 1, "countdown": countdown}
    with full(client):
        make_app(settings).send_task("cv.hsv", args=[{}], **options)
        assert ledger.get(running).state is State.WAITING
    assert waiting_ids(client) + scheduled_ids(client) == [running]


def test_new_job_is_refused(settings, client, running):
    with full(client), pytest.raises(kombu.exceptions.OperationalError) as caught:
        make_app(settings).send_task("cv.hsv", args=[{}])
    assert isinstance(unreachable(settings, caught.value), BrokerFullError)
    assert waiting_ids(client) == []
    assert client.zcard(keys.jobs("waiting")) == 0


def test_running_job_is_retried_even_if_its_queue_is_unbound(settings, client, running):
    client.delete("_kombu.binding.cv")
    with full(client):
        make_app(settings).send_task("cv.hsv", args=[{}], task_id=running, retries=1)
    assert waiting_ids(client) == [running]
    assert client.smembers("_kombu.binding.cv") == {b"cv\x06\x16\x06\x16cv"}


def test_worker_that_starts_later_runs_the_waiting_jobs(settings, client):
    with worker_app(settings) as app:

        @app.task(bind=True, shared=False, name="anything.else")
        def anything_else(task):
            client.publish("done", task.request.id)

        listener = client.pubsub(ignore_subscribe_messages=True)
        listener.subscribe("done")
        sent = app.send_task("anything.else", queue="cv", ignore_result=True)
        with full(client):
            # What Celery asks at a worker's start.
            assert app.control.inspect(timeout=0.1).hello("cv@here", {}) is None
            with start_worker(app, pool="solo", perform_ping_check=False, queues=["cv"]):
                heard = until(lambda: listener.get_message(timeout=0.1), 30, lambda: "its job")
        listener.close()
    assert heard["data"].decode() == sent.id


def test_job_ends_and_no_other_state_of_it_is_stored(settings, client, ledger, running):
    backend = make_app(settings).backend
    with full(client):
        backend.mark_as_retry(running, ValueError("again"))
        assert client.get(keys.result(running)) is None
        backend.mark_as_done(running, {"items": []}, Context(id=running, task="cv.hsv"))
        assert backend.get_task_meta(running)["status"] == SUCCESS
    assert ledger.get(running).state is State.DONE


def test_both_forms_of_redis_out_of_memory_are_broker_full(settings, client):
    with full(client):
        for transaction in (True, False):
            with pytest.raises(redis.RedisError) as caught:
                client.pipeline(transaction).set("a", 1).execute()
            assert isinstance(unreachable(settings, caught.value), BrokerFullError)


def test_a_redis_that_cannot_save_is_full_and_not_away(settings, tmp_path):
    """It refuses PING too. Root may write into every folder, so this one is removed."""
    server = RedisProcess(tmp_path / "data")
    try:
        client = server.client()
        client.set("a", 1)
        client.config_set("save", "3600 1")
        shutil.rmtree(server.folder)
        client.bgsave()
        until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", 10, lambda: "")
        at = Settings(redis_url=server.url)
        with pytest.raises(BrokerFullError, match=r"cannot write to its disk.*MISCONF"):
            require_redis(at, client)
        answers = [client.exists(each) for each in "ab"]
        assert answers == [1, 0]  # so results of jobs that have ended can be read
    finally:
        server.kill()  # it refuses to stop if it cannot save
