"""Clocks that are wrong, and jobs that take longer than a broker's patience."""

import socket
import time
from unittest.mock import patch

from agewell.shared.redis.clock import redis_now
from tests.chaos.kills import Strike, freeze_process_of_a_job
from tests.chaos.scene import HSV, Scene, beside
from tests.support.stack import until

SENT = 20
SENT_S = 60.0
SKEW_S = 0.5
VISIBILITY_TIMEOUT_S = 1
RESTORE_EVERY_S = 10.0
"""kombu looks so often for messages to restore (`kombu.transport.redis.Transport`)."""


def set_clock(ahead_s: float) -> Strike:
    """Set the producer's clock. Its messages carry Redis's time all the same."""

    def strike(scene: Scene) -> None:
        right = time.time
        began = redis_now(scene.client)
        with patch("time.time", lambda: right() + ahead_s):
            before = len(scene.acknowledged)
            until(lambda: len(scene.acknowledged) >= before + SENT, SENT_S, lambda: "it sends on")
            sent = scene.acknowledged[before : before + SENT]
        now = redis_now(scene.client)
        for job_id in sent:
            [at] = scene.record(job_id, "enqueued_at")
            assert began - SKEW_S < float(at) < now + SKEW_S

    return strike


def outlast_the_visibility_timeout(scene: Scene) -> list[str]:
    """A job goes on for longer than the visibility timeout of another worker on its queue.

    kombu would have that worker take the job for lost, and run it a second time beside the first.
    """
    options = ("-n", f"impatient@{socket.gethostname()}", "--pool=threads", "--concurrency=1")
    app = ("-A", "tests.chaos.impatient", "worker", "-Q", "cv", "--loglevel=INFO")
    with beside(scene, *app, *options) as said:
        until(lambda: " ready." in said(), SENT_S, said)
        scene.send(scene.photos * 8, HSV)
        running, job_id = freeze_process_of_a_job(scene)
        time.sleep(VISIBILITY_TIMEOUT_S + RESTORE_EVERY_S + 1)
        assert scene.record(job_id, "state", "lost") == ["running", ""]
        running.resume()
        until(lambda: job_id not in scene.running(), SENT_S, lambda: "the job ends")
        assert scene.record(job_id, "state", "lost") == ["done", ""]
    return [job_id]
