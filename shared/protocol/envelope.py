"""Messages as kombu writes them: the one place that reads their numbers, and bounds them.

`shared/queue/envelope.lua` reads in the same way what plain clients push.

Any Celery client may put any value into a header. A number that is none, is not finite or is out of
range must neither stop a worker nor be written to Redis, so every reader gets it from here.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from agewell.shared.protocol.levels import LEVELS

ENQUEUED_AT = "enqueued_at"
DEADLINE_AT = "deadline_at"
ITEMS = "items"
FULL_RETRIES = "full_retries"
"""How many of a job's retries are no fault of its own: Redis was full, or the blob store away."""

COUNT_MAX = 1_000_000
LATEST = 253_402_300_799.0
"""The end of the year 9999, the last that Python's datetime knows, in Unix seconds."""


def level_of(value: Any) -> int:
    """The level that a priority means: 0 to 9, also given as text; 0 if it is no number."""
    number = _number(float(value) if _is_numeral(value) else value)
    return 0 if number is None else int(min(max(number, LEVELS[0]), LEVELS[-1]))


def time_of(value: Any) -> float | None:
    """A Unix time in seconds; None if it is none that a job can have."""
    number = _number(value)
    return number if number is not None and 0 <= number <= LATEST else None


def count_of(value: Any) -> int:
    """A count, 0 to 1,000,000; 0 if it is no number."""
    number = _number(value)
    return 0 if number is None else int(min(max(number, 0), COUNT_MAX))


def bound(message: Mapping[str, Any]) -> None:
    """Bound every number of a message that is read later, in place; drop what is none."""
    properties, headers = message.get("properties"), message.get("headers")
    if isinstance(properties, dict) and "priority" in properties:
        properties["priority"] = level_of(properties["priority"])
    if isinstance(headers, dict):
        for name in headers.keys() & _BOUNDS.keys():
            value = _BOUNDS[name](headers[name])
            if value is None:
                del headers[name]
            else:
                headers[name] = value


def read(raw: bytes | str | None) -> dict[str, Any] | None:
    """A message with its headers and properties; None for whatever else may lie in a list."""
    try:
        message = json.loads(raw) if raw is not None else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    parts = (message.get("headers"), message.get("properties"))
    return message if all(isinstance(part, dict) for part in parts) else None


def enqueued_at(message: Mapping[str, Any] | None) -> float | None:
    """When the job of a message was enqueued; None if nobody noted it, or for no message."""
    return None if message is None else time_of(message["headers"].get(ENQUEUED_AT))


def _number(value: Any) -> float | None:
    """A number; None for anything else, such as true, text or NaN.

    One beyond every float is infinite, also if it is written with all its digits.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    return None if math.isnan(number) else number


def _is_numeral(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdecimal()


def _group_index(value: Any) -> int | None:
    """The place of a job in its group; Celery itself takes one without a place."""
    return None if _number(value) is None else count_of(value)


_BOUNDS: dict[str, Callable[[Any], float | int | None]] = {
    ENQUEUED_AT: time_of,
    DEADLINE_AT: time_of,
    ITEMS: count_of,
    "retries": count_of,
    FULL_RETRIES: count_of,
    "group_index": _group_index,
    "replaced_task_nesting": count_of,
}
