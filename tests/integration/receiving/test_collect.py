"""Waiting for results, written by Celery's own backend to a real Redis."""

import asyncio
import subprocess
import threading
import time
from contextlib import contextmanager

import pytest
import redis

from agewell.producer.async_client import AsyncClient
from agewell.producer.client import Client
from agewell.producer.receiving import listen, lost_jobs
from agewell.producer.session import make_session
from agewell.producer.up.embedded_redis import embedded_redis
from agewell.shared.protocol.built_in_jobs import HsvItem, HsvJob
from agewell.shared.protocol.messages import ImageRef
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.settings import Settings
from tests.support.paths import ROOT
from tests.support.stack import COMMAND, environment, until

RESULT = {"op": "hsv", "items": [{"error": {"code": "MaskError", "message": "made up"}}]}
SOON_S = 30.0

pytestmark = pytest.mark.parametrize("redis_server", ["embedded"], indirect=True)
"""These tests are about a client's waiting. One server is enough for that."""
JOB = HsvJob(
    items=(
        HsvItem(
            image=ImageRef(uri="data:,", sha256="0" * 64, size_bytes=0, media_type="image/png")
        ),
    )
)


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """Look twice within a second."""
    monkeypatch.setattr(lost_jobs, "LOOK_TWICE_AFTER_S", 0.8)
    monkeypatch.setattr(listen, "LOOK_EVERY_S", 0.5)


@pytest.fixture
def agewell(settings, client):
    with Client(make_session(settings)) as opened:
        yield opened


def store(settings, job_id):
    make_session(settings).app.backend.store_result(job_id, RESULT, "SUCCESS")


@contextmanager
def meanwhile(work):
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_a_job_behind_a_hundred_thousand_open_ones_is_seen_to_end(agewell, settings, client):
    ids = [f"job-{number}" for number in range(100_000)]
    pipe = client.pipeline(transaction=False)
    for each in ids:
        pipe.hset(keys.job(each), "state", "waiting")
    pipe.execute()
    store(settings, ids[-1])
    client.config_resetstat()
    assert next(agewell.outcomes(ids, SOON_S)).job_id == ids[-1]
    stats = client.info("commandstats")
    busy_s = sum(stats[f"cmdstat_{name}"]["usec"] for name in ("hget", "mget")) / 1e6
    assert busy_s < 1.0  # for one look at each of them


def test_forgotten_jobs_are_reported_as_lost(agewell, client):
    ids = agewell.send_many([JOB] * 3)
    client.flushall()
    [later] = agewell.send_many([JOB])
    outcomes = list(agewell.outcomes(ids, SOON_S))
    assert {each.job_id for each in outcomes} == set(ids)
    assert {each.state for each in outcomes} == {State.FAILED}
    assert {each.error.code for each in outcomes} == {"LostJobError"}
    assert "send it again" in outcomes[0].error.message
    with pytest.raises(TimeoutError):
        agewell.wait(later, 2.0)


def test_a_job_that_is_lost_while_another_program_waits_is_reported(agewell, settings, client):
    [job_id] = agewell.send_many([JOB])
    with Client(make_session(settings)) as other, meanwhile(client.flushall):
        assert other.wait(job_id, SOON_S).error.code == "LostJobError"


def test_a_job_that_is_sent_later_is_waited_for_while_others_are_open(agewell, settings):
    agewell.send_many([JOB])
    with pytest.raises(TimeoutError):
        agewell.wait("the-last-step-of-a-chain", 2.0)


def test_a_job_between_two_states_is_not_lost(agewell, settings, client):
    [job_id] = agewell.send_many([JOB])
    record = client.hgetall(keys.job(job_id))

    def retry_a_dead_letter():
        client.delete(keys.job(job_id))
        time.sleep(0.3)
        client.hset(keys.job(job_id), mapping=record)
        time.sleep(1.0)
        store(settings, job_id)

    with meanwhile(retry_a_dead_letter):
        assert agewell.wait(job_id, SOON_S).errors[0].code == "MaskError"


def test_a_job_whose_sender_wanted_no_result_is_not_waited_for(agewell, client):
    [job_id] = agewell.send_many([JOB])
    agewell.session.app.backend.mark_as_done(job_id, RESULT, _Request(job_id), store_result=False)
    outcome = agewell.wait(job_id, SOON_S)
    assert (outcome.state, outcome.error.code) == (State.DONE, "NoResult")


class _Request:
    """A request as a worker has it."""

    task, ignore_result, args, chord, chain, delivery_info = "cv.hsv", True, [{}], None, None, {}

    def __init__(self, job_id):
        self.id = job_id


@pytest.fixture
def own_redis(short_path):
    with embedded_redis(short_path / "own") as server:
        yield server


def restart(server, settings, job_id):
    server.process.kill()
    server.process.wait()
    time.sleep(0.5)
    server.restart_if_dead()
    store(settings, job_id)


def test_a_restart_of_redis_is_survived(settings, own_redis):
    own = settings.model_copy(update={"redis_url": Settings(redis_url=own_redis.url).redis_url})
    with Client(make_session(own)) as agewell:
        [job_id] = agewell.send_many([JOB])
        found = []
        # The server ends with the thread that has started it, so that is this one.
        with meanwhile(lambda: found.append(agewell.wait(job_id, SOON_S))):
            restart(own_redis, own, job_id)
        assert found[0].state is State.DONE


def test_a_coroutine_survives_a_restart_of_redis(settings, own_redis):
    own = settings.model_copy(update={"redis_url": Settings(redis_url=own_redis.url).redis_url})

    async def test():
        async with AsyncClient(Client(make_session(own))) as agewell:
            job_id = await agewell.send(JOB)
            wait = asyncio.create_task(agewell.wait(job_id, SOON_S))
            with redis.Redis.from_url(own_redis.url) as client:
                while not client.pubsub_numsub(keys.result(job_id))[0][1]:
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(restart, own_redis, own, job_id)
            assert (await wait).state is State.DONE

    asyncio.run(test())


def test_a_coroutine_is_told_of_a_forgotten_job(settings, client):
    async def test():
        async with AsyncClient(Client(make_session(settings))) as agewell:
            job_id = await agewell.send(JOB)
            client.flushall()
            outcome = await agewell.wait(job_id, SOON_S)
            assert outcome.error.code == "LostJobError"

    asyncio.run(test())


def test_the_command_that_waits_names_forgotten_jobs_and_exits_with_1(settings, client, short_path):
    photo = ROOT / "examples" / "images" / "bird.jpg"
    env = environment(short_path / "state", REDIS_URL=settings.redis_url.get_secret_value())
    command = [str(COMMAND), "enqueue", "hsv", str(photo), "--wait"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=env, **pipes) as process:
        [job_id] = until(lambda: client.zrange(keys.jobs("waiting"), 0, -1), SOON_S, lambda: "sent")
        client.flushall()
        _, said = process.communicate(timeout=SOON_S)
    assert process.returncode == 1
    assert f"job {job_id.decode()}: lost: Redis has forgotten it" in " ".join(said.split())
