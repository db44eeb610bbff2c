"""The queue lengths of the last minutes, sampled here so that every visitor sees them at once."""

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
"""Ten minutes of samples. A sample is thirty numbers."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """Numbers of waiting jobs at one time, by queue: one per level, the most urgent first."""

    at: float
    waiting: dict[str, list[int]]


class History:
    """Samples the queues periodically and keeps the last samples."""

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
        """Take one sample. If Redis is down, this is logged once, and the next call tries again."""
        try:
            now = self._clock.now(self._client)
            latest = queue_status(self._client, self._settings, now)
            workers = ModelControl(self._client).workers()
            dead = DeadLetters(self._client).count()
        except REDIS_ERRORS as error:
            if not self._away:
                log.warning("could not read the queues from Redis: %s", error)
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
        """Return the latest state of the queues, and the samples after a time, for the page.

        Args:
            after: Unix time in seconds.
        """
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
