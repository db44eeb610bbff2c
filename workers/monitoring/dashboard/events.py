"""Flower's record of task events, with the bytes of inline images removed."""

import logging
import os
import re
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from celery import Celery
from celery.events import EventReceiver
from flower.events import Events

from agewell.shared.protocol.envelope import LATEST, time_of
from agewell.shared.redis.connection import RECONNECT_EVERY_S
from agewell.shared.text.printable import printable
from agewell.workers.consuming.connection import OnError, seldom

log = logging.getLogger(__name__)

_INLINE = re.compile(r"(data:[\w.+/-]{1,80};base64,)[A-Za-z0-9+/=]{16,}")
"""An inline image in the repr of a job's document, complete or cut off."""


def without_bytes(text: str) -> str:
    """Remove the base64 text of data: URIs from a text."""
    return _INLINE.sub(r"\1...", text)


class ReadableEvents(Events):  # type: ignore[misc]
    """Flower's record of events, without image bytes.

    A client chooses the description of the arguments that an event carries. It may hold all their
    bytes.
    """

    _unsaved = ""
    """The reason why tasks are not saved. Empty if they are."""

    def load_state(self) -> Any:
        """Read the tasks of the run before. None if there are none, or if they cannot be kept."""
        try:
            folder = Path(self.db).parent
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=folder):
                pass
            return super().load_state()
        except OSError as error:
            self._report_unsaved(error)
            return None

    def save_state(self) -> None:
        """Write the tasks to disk. If that fails, Flower goes on without."""
        try:
            super().save_state()
            self._unsaved = ""
        except OSError as error:
            self._report_unsaved(error)

    def _report_unsaved(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        if reason != self._unsaved:  # once, not every minute
            self._unsaved = reason
            log.warning(
                "tasks are not saved, so Flower forgets them when it restarts: %s cannot be "
                "written: %s. Give the folder to user %d, or set AGEWELL_STATE_DIR to another one",
                Path(self.db).parent,
                reason,
                os.geteuid(),
            )

    def on_event(self, event: dict[str, Any]) -> None:
        """Record an event of Celery's. Ignore everything else, because no page could show it."""
        if not is_event(event):
            log.warning("event ignored, it is not from Celery: %s", printable(repr(event))[:200])
            return
        for field in ("args", "kwargs", "result"):
            if isinstance(text := event.get(field), str):
                event[field] = without_bytes(text)
        super().on_event(event)

    def run(self) -> None:
        """Record events until the process ends, from whichever connection works.

        Flower's own method doubles its pause with each attempt, and after an outage of minutes
        shows nothing for minutes more.
        """
        while True:
            try:
                self._record()
            except Exception as error:  # noqa: BLE001  as Flower does
                self._report(error, RECONNECT_EVERY_S)
                time.sleep(RECONNECT_EVERY_S)

    def _record(self) -> None:
        with self.capp.connection() as connection:
            receiver = EventReceiver(connection, handlers={"*": self.on_event}, app=self.capp)
            receiver.capture(limit=None, timeout=None, wakeup=True)

    @cached_property
    def _report(self) -> OnError:
        return seldom(lambda error, _: log.error("no events, trying again: %s", error))


def is_event(event: Any) -> bool:
    """True if this has the fields of a Celery event, with the right types."""
    if not isinstance(event, dict):
        return False
    needed = [event.get(name) for name in ("type", "hostname")]
    needed += [event.get("uuid")] if str(event.get("type")).startswith("task-") else []
    numbers = [event[name] for name in _NUMBERS if event.get(name) is not None]
    return (
        all(isinstance(text, str) and text for text in needed)
        and all(isinstance(event.get(name) or "", str) for name in _TEXTS)
        and time_of(event.get("timestamp")) is not None
        and all(type(number) in (int, float) and abs(number) <= LATEST for number in numbers)
    )


_TEXTS = ("name", "args", "kwargs", "result", "exception", "traceback", "eta", "expires")
_NUMBERS = (
    *("timestamp", "local_received", "clock", "utcoffset", "pid", "freq", "active", "processed"),
    *("retries", "runtime"),
)


def make_events(app: Celery, options: Any, io_loop: Any) -> ReadableEvents:
    """Make Flower's record of events, as Flower does."""
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
