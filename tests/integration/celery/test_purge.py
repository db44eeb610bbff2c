"""`celery purge`: waiting jobs end as cancelled, and running jobs go on."""

import os
import subprocess
import sys

import celery
import pytest
from celery.result import AsyncResult

from agewell.shared.celery.app import broker_url
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from tests.support.consuming import scheduled_ids, send, waiting_ids
from tests.support.delivering import hsv, run, taken
from tests.support.messages import good_job


@pytest.fixture
def plain(settings, client):
    """A program that knows nothing of agewell."""
    url = broker_url(settings.redis_url.get_secret_value())
    with celery.Celery("plain", broker=url, backend=url, set_as_current=False) as made:
        made.conf.broker_transport_options = {"priority_steps": list(range(10))}
        made.conf.task_default_queue = "cv"
        yield made


def test_all_that_waits_ends_as_cancelled(app, plain, client, tools):
    running = hsv(app, good_job()).apply_async().id
    with taken(app) as message:
        waiting, later = *send(app), *send(app, countdown=1000)
        pushed = plain.send_task("cv.hsv", [good_job()], queue="cv", priority=3).id
        plain.send_task("own.task", [], queue="cv")
        assert app.control.purge() == 4
        assert (waiting_ids(client), scheduled_ids(client)) == ([], [])
        for job_id in (waiting, later, pushed):
            assert tools.ledger.get(job_id).state is State.CANCELLED
            assert AsyncResult(job_id, app=plain).state == "REVOKED"
            assert not client.hexists(keys.job(job_id), "message")
        assert tools.ledger.get(running).state is State.RUNNING
        run(app, message)
    assert tools.ledger.get(running).state is State.DONE
    assert client.zcard(keys.jobs(State.WAITING)) == 0


def test_purge_takes_any_number_of_jobs_in_bounded_steps(app, client):
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        send(app, 1000, producer=producer)
    client.config_resetstat()
    assert app.control.purge() == 1000
    scripts = client.info("commandstats")["cmdstat_evalsha"]
    assert scripts["usec"] / scripts["calls"] < 5000
    assert client.zcard(keys.jobs(State.CANCELLED)) == 1000


def test_purge_of_a_stock_app_drops_only_messages_in_the_lists(app, plain, client, tools):
    [admitted] = send(app)
    plain.send_task("cv.hsv", [{}], queue="cv")
    assert plain.control.purge() == 1
    assert waiting_ids(client) == [admitted]
    assert tools.ledger.get(admitted).state is State.WAITING


def test_celerys_command_purges(app, client, settings, tools):
    sent = send(app, 3)
    command = [sys.executable, "-m", "celery", "-A", "agewell.workers.upkeep", "purge", "--force"]
    url = settings.redis_url.get_secret_value()
    env = os.environ | {"AGEWELL_REDIS_URL": url, "AGEWELL_STATE_DIR": str(settings.state_dir)}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert "Purged 3 messages" in done.stdout, done.stderr
    assert {each.state for each in tools.ledger.get_all(sent)} == {State.CANCELLED}
