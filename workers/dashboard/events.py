"""What Flower is told of tasks, made fit to be shown: no image bytes, whoever sent the job."""

import re
from typing import Any

from celery import Celery
from flower.events import Events

_INLINE = re.compile(r"(data:[\w.+/-]{1,80};base64,)[A-Za-z0-9+/=]{16,}")
"""An inline image in a repr of a job's document, cut off or whole."""


def without_bytes(text: str) -> str:
    """A text with the base64 of its data: URIs left out."""
    return _INLINE.sub(r"\1...", text)


class ReadableEvents(Events):  # type: ignore[misc]
    """Flower's record of events, without image bytes in it.

    A client may describe the arguments as it likes: by all of them, too.
    """

    def on_event(self, event: dict[str, Any]) -> None:
        """Take an event from Celery."""
        for field in ("args", "kwargs", "result"):
            if isinstance(text := event.get(field), str):
                event[field] = without_bytes(text)
        super().on_event(event)


def make_events(app: Celery, options: Any, io_loop: Any) -> ReadableEvents:
    """Flower's events, as Flower makes them."""
    return ReadableEvents(
        app,
        db=options.db,
        persistent=options.persistent,
        state_save_interval=options.state_save_interval,
        enable_events=options.enable_events,
        io_loop=io_loop,
        max_workers_in_memory=options.max_workers,
        max_tasks_in_memory=options.max_tasks,
    )
