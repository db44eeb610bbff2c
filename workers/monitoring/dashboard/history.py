"""The last minutes of the queues, sampled here so that every visitor sees them at once."""

import logging
import threading
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

import redis

from agewell.shared.model_commands import ModelControl
from agewell.shared.protocol.levels import LEVELS, NAME_OF_LEVEL
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.status import QueueStatus, queue_status
from agewell.shared.redis.clock import RedisClock
from agewell.shared.redis.connection import REDIS_ERRORS
from agewell.shared.settings import Settings

SAMPLE_EVERY_S = 2.0
SAMPLES = 300
"""Ten minutes; a sample is thirty numbers."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """How many jobs waited at a time, by queue: one number a level, the most urgent first."""

    at: float
    waiting: dict[str, list[int]]


class History:
    """Looks at the queues every so often, and keeps what it saw."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._clock = RedisClock()
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._latest: list[QueueStatus] = []
        self._models: list[str] = []
        self._dead = 0
        self._lock = threading.Lock()
        self._away = False

    def sample(self) -> None:
        """Look once; a Redis that is away is said once, and is asked again the next time."""
        try:
            now = self._clock.now(self._client)
            latest = queue_status(self._client, self._settings, now)
            workers = ModelControl(self._client).workers()
            dead = DeadLetters(self._client).count()
        except REDIS_ERRORS as error:
            if not self._away:
                log.warning("the queues cannot be read: %s", error)
            self._away = True
            return
        active = {
            f"{each.name} {each.version}" for w in workers for each in w.versions if each.active
        }
        waiting = {each.queue: [level.waiting for level in each.levels] for each in latest}
        with self._lock:
            self._away = False
            self._latest = latest
            self._models, self._dead = sorted(active), dead
            self._samples.append(Sample(now, waiting))

    def document(self, after: float) -> dict[str, Any]:
        """What the page shows: the latest look, and the samples later than a time."""
        with self._lock:
            models, dead = self._models, self._dead
            samples = [each for each in self._samples if each.at > after]
            latest, away = self._latest, self._away
        return {
            "away": away,
            "every_s": SAMPLE_EVERY_S,
            "kept": SAMPLES,
            "levels": [NAME_OF_LEVEL.get(level, "") for level in LEVELS],
            "queues": [asdict(each) for each in latest],
            "dead": dead,
            "models": models,
            "samples": [asdict(each) for each in samples],
        }
