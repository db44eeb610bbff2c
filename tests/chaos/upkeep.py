"""What can happen to those who keep the queues in order: in mid-sweep, and beside it."""

import json
import tempfile
import uuid

from shared import keys
from shared.names import LEVELS, Queue
from shared.stamp import redis_now
from tests.chaos.kills import Strike, process
from tests.chaos.scene import Scene, beside
from tests.e2e.stack import until

PILED = 20_000
"""Jobs that climb: some hundred calls of a sweep."""
SLOW_S = 0.002
SWEPT_S = 120.0
LISTS = [keys.waiting_list(Queue.INFER.value, level) for level in LEVELS]
BEATS = 5


def kill_in_mid_sweep(words: str) -> Strike:
    """kill -9 of a process while a sweep moves jobs; the next one ends what it has begun.

    The jobs that climb wait for an infer worker that is stopped for as long. Many have climbed
    when the blow falls and many have not; in the end all lie on the most urgent level, each once,
    in the order in which they came.
    """

    def strike(scene: Scene) -> None:
        infer, victim = process(scene, "-Q infer"), process(scene, words)
        infer.suspend()
        try:
            scene.proxy.delay_s = SLOW_S
            ids = _pile(scene)
            until(lambda: _left(scene) < PILED, SWEPT_S, lambda: "a sweep begins")
            victim.suspend()
            left = _left(scene)
            assert 0 < left < PILED, f"{left} of {PILED} have not climbed"
            victim.kill()
            scene.proxy.delay_s = 0.0
            until(lambda: not _left(scene), SWEPT_S, lambda: f"another sweep: {scene.stack.said}")
            until(lambda: scene.client.llen(LISTS[0]) == PILED, SWEPT_S, lambda: "all have climbed")
            climbed = [
                json.loads(raw)["headers"]["id"] for raw in scene.client.lrange(LISTS[0], 0, -1)
            ]
            assert climbed[::-1] == ids
        finally:
            scene.client.delete(*LISTS)
            infer.resume()

    return strike


def _left(scene: Scene) -> int:
    """Jobs on the least urgent level."""
    found: int = scene.client.llen(LISTS[-1])
    return found


def _pile(scene: Scene) -> list[str]:
    """Put jobs on the least urgent level that have waited long enough for the most urgent one."""
    began = redis_now(scene.client) - 3600
    ids = [str(uuid.uuid4()) for _ in range(PILED)]
    scene.client.lpush(LISTS[-1], *(_message(each, began + n / 1e3) for n, each in enumerate(ids)))
    return ids


def _message(job_id: str, enqueued_at: float) -> str:
    """As kombu writes it, as far as a sweep reads it."""
    headers = {"id": job_id, "task": "infer.run", "retries": 0, "enqueued_at": enqueued_at}
    delivery = {"exchange": "infer", "routing_key": "infer"}
    properties = {"correlation_id": job_id, "delivery_info": delivery, "priority": 9}
    return json.dumps({"body": "W10=", "headers": headers, "properties": properties})


def second_beat(scene: Scene) -> None:
    """Another beat beside the stack's own, for some beats."""
    with tempfile.TemporaryDirectory(prefix="aw-") as folder:
        files = ("--pidfile=", f"--schedule={folder}/schedule")
        with beside(scene, "-A", "workers.upkeep", "beat", *files, "--loglevel=INFO") as said:
            until(lambda: said().count("sweep-aging") >= BEATS, SWEPT_S, said)
