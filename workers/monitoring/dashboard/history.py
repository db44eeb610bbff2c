"""The queue lengths of the last day, sampled here so that every visitor sees them at once."""

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
from agewell.workers.monitoring.shares import Shares

SAMPLE_EVERY_S = 2.0
WINDOWS_S = (600, 3600, 86_400)
"""The times that the page of the queues can show, in seconds. The first one is the default."""

STEPS = 300
"""How many steps to keep of each window. A sample is thirty numbers."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """Numbers of waiting jobs at one time, by queue: one per level, the most urgent first."""

    at: float
    waiting: dict[str, list[int]]

    def peak(self, later: "Sample") -> "Sample":
        """Return each queue's numbers from the sample in which most jobs wait, at this time."""
        queues = self.waiting | later.waiting
        most = {
            queue: max((each.waiting.get(queue, []) for each in (self, later)), key=sum)
            for queue in queues
        }
        return Sample(self.at, most)


class Window:
    """The samples of one window. The samples of a step are one: the peak of each queue."""

    def __init__(self, window_s: float) -> None:
        self._step_s = window_s / STEPS
        self._ended: deque[Sample] = deque(maxlen=STEPS)
        self._current: Sample | None = None

    def add(self, sample: Sample) -> None:
        """Add a sample that is later than all others."""
        current = self._current
        # Half a sampling interval: a timer is sometimes early.
        if current is None or sample.at - current.at > self._step_s - SAMPLE_EVERY_S / 2:
            self._ended.extend([current] if current else [])
            self._current = sample
        else:
            self._current = current.peak(sample)

    def after(self, time: float) -> list[Sample]:
        """Return the samples after a time. The last one may still change."""
        current = [self._current] if self._current else []
        return [each for each in (*self._ended, *current) if each.at > time]

    @property
    def ended_at(self) -> float:
        """The time of the last sample that does not change any more, 0 if there is none."""
        return self._ended[-1].at if self._ended else 0.0


class History:
    """Samples the queues periodically and keeps the last samples."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._clock = RedisClock()
        self._windows = {window_s: Window(window_s) for window_s in WINDOWS_S}
        self._newest: Sample | None = None
        self._shares = Shares()
        self._queues: list[dict[str, Any]] = []
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
            self._shares.add(latest)
            self._queues = [_queue_document(each, self._shares) for each in latest]
            self._models, self._dead = sorted(active), dead
            self._newest = Sample(now, waiting)
            for window in self._windows.values():
                window.add(self._newest)

    def document(self, after: float, window_s: int = WINDOWS_S[0]) -> dict[str, Any]:
        """Return the latest state of the queues, and the samples after a time, for the page.

        Args:
            after: Unix time in seconds. After the `ended_at` of the last document, the samples
                are those that are new or may have changed.
            window_s: one of `WINDOWS_S`.
        """
        with self._lock:
            models, dead = self._models, self._dead
            window, newest = self._windows[window_s], self._newest
            samples = window.after(after)
            if newest is not None and newest.at > max(after, *(each.at for each in samples), 0):
                samples.append(newest)
            ended_at = window.ended_at
            queues, away = self._queues, self._away
        return {
            "away": away,
            "every_s": SAMPLE_EVERY_S,
            "kept": STEPS,
            "window_s": window_s,
            "levels": [NAME_OF_LEVEL.get(level, "") for level in LEVELS],
            "queues": queues,
            "dead": dead,
            "models": models,
            "samples": [asdict(each) for each in samples],
            "ended_at": ended_at,
        }


def _queue_document(queue: QueueStatus, shares: Shares) -> dict[str, Any]:
    tenants = [
        asdict(each) | {"share": shares.of(queue.queue, each.tenant)} for each in queue.tenants
    ]
    return asdict(queue) | {"tenants": tenants}
