"""The reader of kombu messages, which bounds every number in them.

Any Celery client may put any value into a header. A value that is not a number, is not finite or is
out of range must not stop a worker or get into Redis, so all code reads such values with this
module. `shared/queue/envelope.lua` does the same for messages that plain Celery clients push.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from agewell.shared.protocol.levels import LEVELS

ENQUEUED_AT = "enqueued_at"
DEADLINE_AT = "deadline_at"
ITEMS = "items"
WANTED_BY = "wanted_by"
"""A header: when the result is wanted. The job moves forward so that it is probably done."""
TENANT = "tenant"
"""A header: for whom the job runs, `tenant` or `team/user`."""
FULL_RETRIES = "full_retries"
"""A header: how many of a job's retries were because Redis or the blob store was not usable."""

COUNT_MAX = 1_000_000
LATEST = 253_402_300_799.0
"""The end of the year 9999, Python's latest datetime, in Unix seconds."""


def level_of(value: Any) -> int:
    """Return a priority as a level from 0 to 9. Digits as text count, any other value is 0."""
    number = _number(float(value) if _is_numeral(value) else value)
    return 0 if number is None else int(min(max(number, LEVELS[0]), LEVELS[-1]))


def time_of(value: Any) -> float | None:
    """Return a Unix time in seconds, or None if the value is not a number from 0 to `LATEST`."""
    number = _number(value)
    return number if number is not None and 0 <= number <= LATEST else None


def count_of(value: Any) -> int:
    """Return a count clipped to 0 to 1,000,000, or 0 if the value is not a number."""
    number = _number(value)
    return 0 if number is None else int(min(max(number, 0), COUNT_MAX))


def bound(message: Mapping[str, Any]) -> None:
    """Bound the numbers in a message's headers and properties, in place.

    Values that are not numbers are removed. Only numbers that agewell reads later are changed.
    """
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
    """Parse a message. Returns None if it is not JSON, or has no headers and properties."""
    try:
        message = json.loads(raw) if raw is not None else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    parts = (message.get("headers"), message.get("properties"))
    return message if all(isinstance(part, dict) for part in parts) else None


def enqueued_at(message: Mapping[str, Any] | None) -> float | None:
    """Return when the job of a message was enqueued, in Unix seconds, or None if unknown."""
    return None if message is None else time_of(message["headers"].get(ENQUEUED_AT))


def _number(value: Any) -> float | None:
    """Return a value as a float, or None if it is not a number: a boolean, text or NaN.

    An integer that is too large for a float becomes infinity.
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
    """Return the position of a job in its group, or None, which Celery accepts too."""
    return None if _number(value) is None else count_of(value)


_BOUNDS: dict[str, Callable[[Any], float | int | None]] = {
    ENQUEUED_AT: time_of,
    DEADLINE_AT: time_of,
    WANTED_BY: time_of,
    ITEMS: count_of,
    "retries": count_of,
    FULL_RETRIES: count_of,
    "group_index": _group_index,
    "replaced_task_nesting": count_of,
}
