"""Upkeep and beat, as programs: while one is away, and while Redis is full."""

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import pytest

from agewell.shared.protocol.tasks import Task
from agewell.shared.queue.ledger import Ledger, Lifetimes
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from tests.support.consuming import send, waiting_ids, worker_app
from tests.support.stack import until
from tests.support.taking import take

READY_S = 60
EVERY_SECOND = {Task.SWEEP_AGING, Task.RETURN_JOBS, Task.EXPIRE_JOBS}


@contextmanager
def program(settings, log, *arguments):
    """Run the upkeep worker or beat. Yields a reader of its log."""
    env = os.environ | {
        "AGEWELL_REDIS_URL": settings.redis_url.get_secret_value(),
        "AGEWELL_STATE_DIR": str(settings.state_dir),
        "AGEWELL_BLOB_URL": "redis",
    }
    command = [sys.executable, "-m", "celery", "-A", "agewell.workers.upkeep", *arguments]
    with (
        log.open("w") as file,
        subprocess.Popen(command, env=env, stdout=file, stderr=subprocess.STDOUT) as process,
    ):
        try:
            yield log.read_text
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def beat(settings, folder):
    schedule = f"--schedule={folder / 'schedule'}"
    arguments = ("beat", "--pidfile=", schedule, "--loglevel=INFO")
    return program(settings, folder / "beat.log", *arguments)


def upkeep(settings, folder):
    arguments = ("worker", "-Q", "upkeep", "-n", "upkeep@here", "--pool=threads", "--concurrency=2")
    return program(settings, folder / "upkeep.log", *arguments)


@pytest.fixture
def full(client):
    """A Redis without any room."""
    client.config_set("maxmemory", 1)
    yield
    client.config_set("maxmemory", 0)


@pytest.mark.slow
def test_while_upkeep_is_away_one_message_of_each_duty_waits(settings, client, short_path):
    with beat(settings, short_path) as log:
        until(lambda: log().count("Sending due task") >= 12, READY_S, log)
        waiting = Counter(waiting_ids(client, "upkeep"))
        assert waiting.keys() >= EVERY_SECOND
        assert waiting.keys() <= set(Task)
        assert set(waiting.values()) == {1}
        assert client.zcard(keys.scheduled("upkeep")) == 0
        assert [client.llen(each) for each in keys.inlets("upkeep")] == [0] * 10
        with upkeep(settings, short_path) as said:
            until(lambda: client.hget(keys.aging("cv"), "last_run_at"), READY_S, said)


@pytest.mark.slow
@pytest.mark.usefixtures("full")
def test_a_dead_workers_jobs_return_while_redis_is_full(settings, client, short_path):
    client.config_set("maxmemory", 0)
    with worker_app(settings) as app:
        sent = send(app, 3)
        late = send(app, headers={"deadline_at": redis_now(client) + 0.1})
    for _ in sent:
        take(client, "cv@gone:m.1:1")
    client.config_set("maxmemory", 1)
    ledger = Ledger(client, Lifetimes(1000, 1000))
    with beat(settings, short_path) as log, upkeep(settings, short_path) as said:
        until(
            lambda: ledger.states([*sent, *late]) == [State.WAITING] * 3 + [State.EXPIRED],
            READY_S,
            lambda: log() + said(),
        )
        assert waiting_ids(client) == sent
