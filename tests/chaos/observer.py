"""An outsider's view of jobs: Celery's results as they are published, and nothing of ours."""

import contextlib
import json
import threading
import time
from collections import defaultdict

import redis

RESULT_CHANNELS = "celery-task-meta-*"
ENDED = {"SUCCESS", "FAILURE", "REVOKED"}
AWAY_PAUSE_S = 0.05


class Observer:
    """Notes each end of each job, by a subscription to Celery's result channels.

    It asks the server itself, past any proxy. It misses ends while its own connection is away;
    `Scene.ask` finds those jobs' results.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.ends: dict[str, list[float]] = defaultdict(list)
        """By job, when it ended as seen here: time.monotonic()."""
        self.done: set[str] = set()
        """Those that ended with a result."""
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="observer", daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def twice(self) -> list[str]:
        """The jobs whose end was published more than once."""
        return [job_id for job_id, ends in self.ends.items() if len(ends) > 1]

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _watch(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(redis.RedisError, OSError):
                self._listen()
            time.sleep(AWAY_PAUSE_S)

    def _listen(self) -> None:
        with self._client.pubsub() as subscription:
            subscription.psubscribe(RESULT_CHANNELS)
            while not self._stop.is_set():
                message = subscription.get_message(timeout=0.2)
                if message is None:
                    continue
                self._ready.set()
                if message["type"] == "pmessage":
                    self._note(json.loads(message["data"]))

    def _note(self, meta: dict[str, object]) -> None:
        if meta["status"] in ENDED:
            self.ends[str(meta["task_id"])].append(time.monotonic())
        if meta["status"] == "SUCCESS":
            self.done.add(str(meta["task_id"]))
