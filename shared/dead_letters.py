"""What was given up: jobs that took their workers down or never came right, messages that are none.

They are kept until somebody sends them again or drops them.
"""

import json
from dataclasses import dataclass
from typing import Any, cast

import redis

from shared import keys
from shared.scripts import counting_script
from shared.stamp import redis_now

KEPT_MESSAGES = 10_000
"""Messages that are no jobs are kept up to so many letters in all, then only counted."""

MESSAGE_MAX_BYTES = 64 * 2**10


_Fields = dict[
    str | int | float | bytes | bytearray | memoryview,
    str | int | float | bytes | bytearray | memoryview,
]


@dataclass(frozen=True)
class Letter:
    """One dead letter; a refused message has no task, and a job no raw message."""

    letter_id: str
    at: float
    reason: str
    queue: str
    task: str | None = None
    args: list[Any] | None = None
    level: int | None = None
    raw: bytes | None = None
    history: str = ""


class DeadLetters:
    """Keeps, lists and drops dead letters."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def keep_job(
        self, job_id: str, queue: str, task: str, args: Any, level: int, reason: str, history: str
    ) -> None:
        """Keep a job that is given up."""
        record: _Fields = {
            "queue": queue,
            "task": task,
            "args": json.dumps(args),
            "level": level,
            "history": history,
        }
        self._keep(job_id, reason, record, "dead")

    def keep_message(self, tag: str, queue: str, raw: bytes, reason: str) -> None:
        """Keep a message of which no task can be made."""
        record: _Fields = {"queue": queue, "raw": raw[:MESSAGE_MAX_BYTES]}
        self._keep(tag, reason, record, "refused", KEPT_MESSAGES)

    def list(self, limit: int = 1000) -> list[Letter]:
        """The latest letters, the last first."""
        ids = cast("list[bytes]", self._client.zrange(keys.DEAD_LETTERS, 0, limit - 1, desc=True))
        pipe = self._client.pipeline(transaction=False)
        for each in ids:
            pipe.hgetall(keys.dead_letter(each.decode()))
        found = zip(ids, pipe.execute(), strict=True)
        return [_letter(each.decode(), raw) for each, raw in found if raw]

    def get(self, letter_id: str) -> Letter | None:
        """One letter, None for an unknown id."""
        raw = cast("dict[bytes, bytes]", self._client.hgetall(keys.dead_letter(letter_id)))
        return _letter(letter_id, raw) if raw else None

    def drop(self, letter_id: str) -> bool:
        """Forget a letter; False for an unknown id."""
        pipe = self._client.pipeline()
        pipe.zrem(keys.DEAD_LETTERS, letter_id)
        pipe.delete(keys.dead_letter(letter_id))
        return bool(pipe.execute()[1])

    def count(self) -> int:
        """How many letters there are."""
        return int(self._client.zcard(keys.DEAD_LETTERS))

    def _keep(
        self, letter_id: str, reason: str, record: _Fields, count: str, most: int | str = ""
    ) -> None:
        now = redis_now(self._client)
        fields = record | {"at": now, "reason": reason}
        self._client.eval(
            counting_script("keep_letter"),
            3,
            keys.dead_letter(letter_id),
            keys.DEAD_LETTERS,
            keys.COUNTS,
            letter_id,
            now,
            count,
            most,
            *(part for pair in fields.items() for part in pair),
        )


def _letter(letter_id: str, raw: dict[bytes, bytes]) -> Letter:
    text = {key.decode(): value.decode(errors="replace") for key, value in raw.items()}
    return Letter(
        letter_id=letter_id,
        at=float(text["at"]),
        reason=text["reason"],
        queue=text["queue"],
        task=text.get("task"),
        args=json.loads(text["args"]) if "args" in text else None,
        level=int(text["level"]) if "level" in text else None,
        raw=raw.get(b"raw"),
        history=text.get("history", ""),
    )
