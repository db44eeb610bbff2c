"""Faults of upkeep and beat, in mid-admission and beside it."""

import json
import random
import socket
import tempfile
import uuid
from contextlib import ExitStack

from agewell.shared.protocol.levels import LEVELS
from agewell.shared.protocol.tasks import Queue
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.shared.settings import DEFAULT_K_PER_S
from tests.chaos.kills import Strike, process
from tests.chaos.scene import Scene, beside
from tests.support.stack import until

PILED = 10_000
"""Messages of a plain client: some hundred calls that admit."""
SLOW_S = 0.002
ADMITTED_S = 120.0
QUEUE = Queue.INFER.value
BEATS = 5


def kill_in_mid_admission(words: str) -> Strike:
    """kill -9 of a process while upkeep admits messages. The next one finishes the admission.

    The messages wait for an infer worker that is stopped for as long. When the blow falls, many are
    in the order and many are not. In the end all are there, each once, by their virtual times.
    """

    def strike(scene: Scene) -> None:
        infer, victim = process(scene, "-Q infer"), process(scene, words)
        infer.suspend()
        ids: list[str] = []
        try:
            scene.proxy.delay_s = SLOW_S
            ids = _pile(scene)
            until(lambda: _admitted(scene), ADMITTED_S, lambda: "an admission begins")
            victim.suspend()
            admitted = _admitted(scene)
            assert 0 < admitted < PILED, f"{admitted} of {PILED} are admitted"
            victim.kill()
            scene.proxy.delay_s = 0.0
            until(
                lambda: _admitted(scene) == PILED,
                ADMITTED_S,
                lambda: f"{_admitted(scene)} of {PILED} are admitted: {scene.stack.log}",
            )
            assert _order(scene) == ids
            assert not scene.client.exists(*keys.inlets(QUEUE))
        finally:
            _remove(scene, ids)
            infer.resume()

    return strike


def _admitted(scene: Scene) -> int:
    found: int = scene.client.zcard(keys.order(QUEUE))
    return found


def _order(scene: Scene) -> list[str]:
    places = scene.client.zrange(keys.order(QUEUE), 0, -1)
    return [place.decode()[-len(str(uuid.UUID(int=0))) :] for place in places]


def _pile(scene: Scene) -> list[str]:
    """Put messages onto all levels' lists, in no order. Returns their ids in the order of the jobs.

    Of e^(k t - level) that with the largest weight is first, whatever the time t is now.
    """
    chance, began = random.Random(PILED), redis_now(scene.client) - 3600
    jobs = []
    for _ in range(PILED):
        enqueued_at, level = began + chance.uniform(0, 3000), chance.choice(LEVELS)
        job_id = str(uuid.UUID(int=chance.getrandbits(128)))
        jobs.append((DEFAULT_K_PER_S * (enqueued_at - began) + level, job_id, level, enqueued_at))
    jobs.sort()
    pipe = scene.client.pipeline(transaction=False)
    for _, job_id, level, enqueued_at in chance.sample(jobs, PILED):
        pipe.lpush(keys.inlet(QUEUE, level), _message(job_id, level, enqueued_at))
    pipe.execute()
    return [job_id for _, job_id, _, _ in jobs]


def _remove(scene: Scene, ids: list[str]) -> None:
    pipe = scene.client.pipeline()
    pipe.delete(keys.order(QUEUE), *keys.inlets(QUEUE), *map(keys.job, ids))
    if ids:
        pipe.zrem(keys.jobs(State.WAITING), *ids)
    pipe.execute()


def _message(job_id: str, level: int, enqueued_at: float) -> str:
    """As kombu writes it, as far as an admission reads it."""
    headers = {"id": job_id, "task": "infer.run", "retries": 0, "enqueued_at": enqueued_at}
    delivery = {"exchange": "infer", "routing_key": "infer"}
    properties = {"correlation_id": job_id, "delivery_info": delivery, "priority": level}
    return json.dumps({"body": "W10=", "headers": headers, "properties": properties})


def second_pair(scene: Scene) -> None:
    """Another upkeep worker of the same name, and another beat, for some beats."""
    name = f"upkeep@{socket.gethostname()}"
    options = ("-n", name, "--pool=threads", "--concurrency=2", "--loglevel=INFO")
    with tempfile.TemporaryDirectory(prefix="aw-") as folder, ExitStack() as held:
        files = ("--pidfile=", f"--schedule={folder}/schedule")
        upkeep = held.enter_context(
            beside(scene, "-A", "agewell.workers.upkeep", "worker", "-Q", "upkeep", *options)
        )
        beat = held.enter_context(
            beside(scene, "-A", "agewell.workers.upkeep", "beat", *files, "--loglevel=INFO")
        )
        until(lambda: upkeep().count("succeeded") >= BEATS, ADMITTED_S, upkeep)
        until(lambda: beat().count("sweep-aging") >= BEATS, ADMITTED_S, beat)
