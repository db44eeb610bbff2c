"""Jobs for later wait in Redis, whichever worker dies, and start on time."""

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from statistics import mean

import pytest
from celery.result import denied_join_result

from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from tests.support.consuming import scheduled_ids, worker_app
from tests.support.stack import environment, until

log = logging.getLogger(__name__)

JOBS = int(os.environ.get("SCHEDULED_JOBS", "300"))
"""10,000 in the long form, which takes some minutes."""

JOBS_PER_S = int(os.environ.get("SCHEDULED_JOBS_PER_S", "60"))
READY_S = 60
LATE_MAX_S = 1.0

DOCUMENT = {
    "op": "hsv",
    "items": [
        {
            "image": {
                "uri": "data:,",
                "sha256": "0" * 64,
                "size_bytes": 0,
                "media_type": "image/png",
            }
        }
    ],
}


@contextmanager
def program(app, queue, settings):
    """A worker of the queue, as a process of its own."""
    url = settings.redis_url.get_secret_value()
    command = [sys.executable, "-m", "celery", "-A", app, "worker", "-P", "solo", "-Q", queue]
    process = subprocess.Popen(
        [*command, "-n", f"{queue}-{time.monotonic_ns()}@here", "--without-gossip"],
        env=environment(settings.state_dir, REDIS_URL=url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def workers(settings, client):
    """Two workers that do nothing with a job, and upkeep."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(program(*each, settings))
            for each in [("benchmarks.noop", "cv")] * 2 + [("agewell.workers.upkeep", "upkeep")]
        ]
        until(lambda: client.scard(keys.WORKER_IDS) == 3, READY_S, lambda: "3 workers")
        yield started[:2]


def test_jobs_start_on_time_although_a_worker_dies(settings, client, workers):
    app = worker_app(settings)
    first_s = 4 + JOBS / 250  # publishing takes a while
    # Celery would subscribe to each result.
    with (
        denied_join_result(),
        app.producer_pool.acquire(block=True) as producer,
        producer.batch(),
    ):
        ids = [
            app.send_task(
                "cv.hsv", args=[DOCUMENT], countdown=first_s + n / JOBS_PER_S, producer=producer
            ).id
            for n in range(JOBS)
        ]
    assert scheduled_ids(client) == ids
    assert client.zcard(keys.order("cv")) == 0
    due_at = [at for _, at in client.zrange(keys.scheduled("cv"), 0, -1, withscores=True)]
    workers[0].send_signal(signal.SIGKILL)
    workers[0].wait()
    assert scheduled_ids(client) == ids
    done, wait_s = keys.jobs(State.DONE), first_s + JOBS / JOBS_PER_S + 30
    until(lambda: client.zcard(done) == JOBS, wait_s, lambda: client.zcard(done))
    pipe = client.pipeline()
    for job_id in ids:
        pipe.hget(keys.job(job_id), "started_at")
    late_s = [float(started) - due for started, due in zip(pipe.execute(), due_at, strict=True)]
    log.info("%d jobs: at most %.3f s late, %.3f s on average", JOBS, max(late_s), mean(late_s))
    assert min(late_s) > -0.05  # each process knows Redis's clock to within some milliseconds
    assert max(late_s) < LATE_MAX_S
