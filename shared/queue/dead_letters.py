"""Dead letters: jobs that agewell gave up on, and messages that it could not parse.

They are kept until somebody sends them again or drops them.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import redis
from kombu.utils.json import dumps

from agewell.shared.queue.letter import Letter, letter_of, names_in
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.shared.redis.scripts import Script

KEPT_MESSAGES = 10_000
"""Messages that are no jobs are kept up to so many letters in all, then only counted."""

MESSAGE_MAX_BYTES = 64 * 2**10
JOB_MAX_BYTES = 8 * 2**20
"""A job whose message is longer is kept without it, and cannot be sent again."""

REASON_CHARACTERS = 1000
LETTERS_A_PAGE = 100
CLAIMED_S = 60
"""Two who send the same letter again at once do not both succeed."""

_KEEP = Script("keep_letter")

_Fields = dict[
    str | int | float | bytes | bytearray | memoryview,
    str | int | float | bytes | bytearray | memoryview,
]


class DeadLetters:
    """Keeps, lists and drops dead letters."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def keep_job(
        self, job_id: str, queue: str, job: Mapping[str, Any], level: int, reason: str, history: str
    ) -> None:
        """Keep a job that is given up, with all that its message says.

        Args:
            job_id: its id.
            queue: where it waited.
            job: its message, as a Celery signature.
            level: its priority.
            reason: why it is given up.
            history: a line for each run that ended with its worker.
        """
        record: _Fields = {
            "queue": queue,
            "task": job["task"],
            "level": level,
            "history": history,
        }
        encoded = dumps(job)
        if len(encoded) <= JOB_MAX_BYTES:
            record["job"] = encoded
        self._keep(job_id, reason, record, "dead")

    def keep_unread(
        self, job_id: str, queue: str, task: str, level: int, head: bytes, size: int, reason: str
    ) -> None:
        """Keep what is known of a job whose message is too large: its size and its first bytes."""
        record: _Fields = {"queue": queue, "task": task, "level": level, "raw": head, "size": size}
        self._keep(job_id, reason, record, "dead", KEPT_MESSAGES)

    def keep_message(
        self, tag: str, queue: str, raw: bytes, reason: str, size: int | None = None
    ) -> None:
        """Keep a message of which no task can be made; its size, if `raw` is not all of it."""
        record: _Fields = {
            "queue": queue,
            "raw": raw[:MESSAGE_MAX_BYTES],
            "size": len(raw) if size is None else size,
            "named": json.dumps(names_in(raw)),
        }
        self._keep(tag, reason, record, "refused", KEPT_MESSAGES)

    def latest(self, limit: int = 1000) -> list[Letter]:
        """The latest letters, the last first."""
        ids = cast("list[bytes]", self._client.zrange(keys.DEAD_LETTERS, 0, limit - 1, desc=True))
        return self.get_all([each.decode() for each in ids])

    def oldest_at(self) -> float:
        """When the oldest letter was given up, in Unix seconds; 0 if there is none."""
        first = cast(
            "list[tuple[bytes, float]]",
            self._client.zrange(keys.DEAD_LETTERS, 0, 0, withscores=True),
        )
        return float(first[0][1]) if first else 0.0

    def get(self, letter_id: str) -> Letter | None:
        """One letter, None for an unknown id."""
        return next(iter(self.get_all([letter_id])), None)

    def get_all(self, letter_ids: Sequence[str]) -> list[Letter]:
        """Those of some letters that there are."""
        pipe = self._client.pipeline(transaction=False)
        for each in letter_ids:
            pipe.hgetall(keys.dead_letter(each))
        found = zip(letter_ids, pipe.execute(), strict=True)
        return [letter_of(each, raw) for each, raw in found if raw]

    def pages(self) -> Iterator[Sequence[Letter]]:
        """All letters, some at a time and in no order; some may come twice."""
        found = self._client.zscan_iter(keys.DEAD_LETTERS, count=LETTERS_A_PAGE)
        ids = (cast(bytes, letter_id).decode() for letter_id, _ in found)
        while page := list(itertools.islice(ids, LETTERS_A_PAGE)):
            yield self.get_all(page)

    def claim(self, letter_ids: Sequence[str]) -> list[str]:
        """Those of some letters that are still there, and that nobody else is about to send."""
        pipe = self._client.pipeline(transaction=False)
        for each in letter_ids:
            pipe.set(keys.dead_letter_claim(each), 1, nx=True, ex=CLAIMED_S)
        claimed = [each for each, got in zip(letter_ids, pipe.execute(), strict=True) if got]
        for each in claimed:
            pipe.exists(keys.dead_letter(each))
        return [each for each, there in zip(claimed, pipe.execute(), strict=True) if there]

    def drop(self, *letter_ids: str) -> int:
        """Forget letters; how many of them there were."""
        pipe = self._client.pipeline()
        for each in letter_ids:
            pipe.zrem(keys.DEAD_LETTERS, each)
            pipe.delete(keys.dead_letter(each), keys.dead_letter_claim(each))
        return sum(pipe.execute()[::2])

    def count(self) -> int:
        """How many letters there are."""
        return int(self._client.zcard(keys.DEAD_LETTERS))

    def _keep(
        self, letter_id: str, reason: str, record: _Fields, count: str, most: int | str = ""
    ) -> None:
        now = redis_now(self._client)
        fields = record | {"at": now, "reason": reason[:REASON_CHARACTERS]}
        _KEEP(
            self._client,
            [
                keys.dead_letter(letter_id),
                keys.DEAD_LETTERS,
                keys.COUNTS,
                keys.job(letter_id),
                keys.GIVEN_UP,
            ],
            [letter_id, now, count, most, *(part for pair in fields.items() for part in pair)],
        )
