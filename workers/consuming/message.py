"""Builds kombu's message from the answer of a take."""

import base64
import json
from typing import Any

from kombu.utils import json as typed_json

from agewell.shared.protocol import envelope
from agewell.shared.queue.letter import beginning
from agewell.shared.queue.publish import ORDERED, due_at_of
from agewell.shared.queue.unpack import unpack
from agewell.shared.text.problems import shortened
from agewell.workers.consuming.take import Taken

FLAG = "agewell_flag"
"""A header of a delivery: the state of a job that must not run. See `Taken.flag`."""

SINCE = "agewell_since"
"""A header of a delivery: the time since when the job has waited, as Unix time in seconds."""


def message_of(taken: Taken, tag: str, now: float, max_bytes: int) -> dict[str, Any]:
    """Build kombu's message.

    Args:
        taken: the answer of the take.
        tag: the delivery tag under which the message is reserved.
        now: when the take was sent, as Unix time in seconds by Redis's clock.
        max_bytes: a larger body is left out. A compressed body counts with its unpacked size.

    Raises:
        Exception: the text is not a message. Which class depends on the damage.
    """
    message: dict[str, Any] = unpack(_loads(taken.raw.decode()), max_bytes)
    envelope.bound(message)
    headers, properties = message["headers"], message["properties"]
    _check_names(headers if "task" in headers else _body_of_protocol_1(message))
    properties["delivery_tag"] = tag
    if taken.queue in ORDERED:
        headers[SINCE], headers[FLAG] = taken.since, taken.flag
        due_at = due_at_of(headers)
        if taken.flag or (due_at is not None and due_at <= now):
            headers["eta"] = None  # the job has already waited in Redis until then
    if taken.is_redelivered:
        headers["redelivered"] = properties["delivery_info"]["redelivered"] = True
    return message


def _check_names(names: Any) -> None:
    """Check the id and the task. Celery takes any value for them, and Redis only text.

    Raises:
        TypeError: one of them is not text.
    """
    for name in ("id", "task"):
        if isinstance(names, dict) and name in names and not isinstance(names[name], str):
            raise TypeError(f"its {name} must be text, found {shortened(names[name])}")


def _body_of_protocol_1(message: dict[str, Any]) -> Any:
    """Return the body, which has the id and the task in Celery's protocol 1, or None."""
    try:
        return json.loads(base64.b64decode(message["body"]))
    except (ValueError, TypeError, RecursionError):
        return None  # Celery refuses it


def _loads(text: str) -> Any:
    """Parse JSON like kombu does, but faster for texts without typed objects."""
    return typed_json.loads(text) if "__type__" in text else json.loads(text)


def describe(headers: Any) -> str:
    """Name a message for the log. The body is left out, because it may hold an image."""
    found = headers if isinstance(headers, dict) else {}
    return beginning(f"task {found.get('task')}, id {found.get('id')}")
