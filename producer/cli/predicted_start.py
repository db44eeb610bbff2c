"""The predicted start of the first job of an `enqueue` command, and its countdown on the bar."""

import time

from rich.progress import ProgressColumn, Task
from rich.text import Text

from agewell.producer.session import Session
from agewell.shared.protocol.tasks import Queue
from agewell.shared.queue.forecast.estimate import estimate
from agewell.shared.queue.forecast.facts import Ask
from agewell.shared.redis.connection import REDIS_ERRORS
from agewell.shared.text.units import duration

SOON_S = 0.5
"""A start that is nearer than this, or overdue, is only said to be soon."""


def predicted_start(session: Session, queue: Queue, level: int, tenant: str | None) -> float | None:
    """Predict when a job that is sent now would start, by the monotonic clock. None if unknown."""
    ask, now = Ask(level, tenant), session.now()
    try:
        [found] = estimate(session.client, session.settings, queue.value, [ask], now)
    except REDIS_ERRORS:  # sending says so, if Redis is still away
        return None
    return None if found.wait_s is None else time.monotonic() + found.wait_s


class PredictedStart(ProgressColumn):
    """Counts down to the predicted start of the first job, until one has ended.

    A task has it in the field `starts_at`, by the monotonic clock, or None.
    """

    def render(self, task: Task) -> Text:
        """Return the text for a task."""
        starts_at = task.fields.get("starts_at")
        if starts_at is None or task.completed:
            return Text()
        left_s = starts_at - time.monotonic()
        return Text(f"starts in {duration(left_s)}" if left_s >= SOON_S else "starts soon")
