"""One dead letter, and how to read it from Redis."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kombu.utils.json import loads

from agewell.shared.text.printable import printable

EXCERPT_CHARACTERS = 120
PARSED_MAX_BYTES = 8 * 2**20
"""A longer message is not parsed to find its task and id."""

NAMES = ("task", "id", "reply_to")
"""Fields to show of a message that cannot be parsed as a job."""


@dataclass(frozen=True)
class Letter:
    """One dead letter: a job that agewell gave up on, or a message it could not parse."""

    letter_id: str
    at: float
    """When agewell gave up, as Unix time in seconds."""
    reason: str
    queue: str
    task: str | None = None
    level: int | None = None
    job: dict[str, Any] | None = None
    """The job's message as a Celery signature: its task, its arguments, its chain and so on."""
    raw: bytes | None = None
    """The first bytes of a message that could not be read."""
    size_bytes: int | None = None
    """The size of that whole message."""
    named: dict[str, str] = field(default_factory=dict)
    """The task, the id and the reply address in that message, by `NAMES`."""
    history: str = ""
    """A line for each run of the job that took its worker down."""

    @property
    def is_job(self) -> bool:
        """False for a message that could not be parsed as a job."""
        return self.task is not None

    @property
    def args(self) -> list[Any] | None:
        """The arguments of the job's task, or None if its message was not kept."""
        return None if self.job is None else list(self.job["args"])


def names_in(raw: bytes) -> dict[str, str]:
    """Return the task, the id and the reply address in a message's headers and properties."""
    message = _parsed(raw)
    headers = message.get("headers")
    properties = message.get("properties")
    found: dict[str, Any] = {**(properties if isinstance(properties, dict) else {})}
    found |= headers if isinstance(headers, dict) else {}
    return {name: beginning(str(found[name])) for name in NAMES if found.get(name) is not None}


def excerpt_of(raw: bytes) -> str:
    """Return the first characters of a message's body, or of the message if it has no body."""
    body = _parsed(raw).get("body")
    if isinstance(body, str) and body:
        try:
            raw = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raw = body.encode(errors="replace")
    return beginning(raw[: 4 * EXCERPT_CHARACTERS].decode(errors="replace"))


def beginning(text: str, most: int = EXCERPT_CHARACTERS) -> str:
    """Return the first characters of a text, with control characters escaped."""
    shown = printable(text[:most])
    return f"{shown}..." if len(text) > most else shown


def letter_of(letter_id: str, raw: Mapping[bytes, bytes]) -> Letter:
    """Read a letter from its hash in Redis, also one that an earlier version wrote."""
    text = {key.decode(): value.decode(errors="replace") for key, value in raw.items()}
    message = raw.get(b"raw")
    size = text.get("size", len(message) if message is not None else None)
    return Letter(
        letter_id=letter_id,
        at=float(text["at"]),
        reason=text["reason"],
        queue=text["queue"],
        task=text.get("task"),
        level=int(text["level"]) if "level" in text else None,
        job=_job(letter_id, text),
        raw=message,
        size_bytes=None if size is None else int(size),
        named=json.loads(text["named"]) if "named" in text else names_in(message or b""),
        history=text.get("history", ""),
    )


def _job(letter_id: str, text: Mapping[str, str]) -> dict[str, Any] | None:
    if "job" in text:
        found: dict[str, Any] = loads(text["job"])
        return found
    if "args" not in text:
        return None
    # An earlier version kept only the arguments.
    options = {"task_id": letter_id, "queue": text["queue"], "priority": int(text["level"])}
    return {
        "task": text["task"],
        "args": json.loads(text["args"]),
        "kwargs": {},
        "options": options,
    }


def _parsed(raw: bytes) -> dict[str, Any]:
    if len(raw) > PARSED_MAX_BYTES:
        return {}
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
