"""The store of dead letters: jobs that agewell gave up on, and messages it could not parse.

Dead letters stay until you retry or drop them.
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
"""The number of letters from which on unparsable messages are only counted, not kept."""

MESSAGE_MAX_BYTES = 64 * 2**10
JOB_MAX_BYTES = 8 * 2**20
"""A job with a longer message is kept without the message, and cannot be retried."""

REASON_CHARACTERS = 1000
LETTERS_A_PAGE = 100
CLAIMED_S = 60
"""How long a claim lasts. It keeps two people from retrying the same letter at the same time."""

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
        """Keep a job that agewell gave up on.

        Args:
            job_id: the job's id, which is also the letter's.
            queue: the job's queue.
            job: the job's message, as a Celery signature.
            level: the job's priority.
            reason: why agewell gave up. It is cut to `REASON_CHARACTERS`.
            history: a line for each run that took its worker down.
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
        """Keep the size and the first bytes of a job whose message is too large."""
        record: _Fields = {"queue": queue, "task": task, "level": level, "raw": head, "size": size}
        self._keep(job_id, reason, record, "dead", KEPT_MESSAGES)

    def keep_message(
        self, tag: str, queue: str, raw: bytes, reason: str, size: int | None = None
    ) -> None:
        """Keep a message that cannot be parsed.

        Args:
            tag: the letter's id.
            queue: the message's queue.
            raw: the message, or its first bytes.
            reason: why it cannot be parsed.
            size: the size of the message in bytes, if `raw` is not all of it.
        """
        record: _Fields = {
            "queue": queue,
            "raw": raw[:MESSAGE_MAX_BYTES],
            "size": len(raw) if size is None else size,
            "named": json.dumps(names_in(raw)),
        }
        self._keep(tag, reason, record, "refused", KEPT_MESSAGES)

    def latest(self, limit: int = 1000) -> list[Letter]:
        """Return the latest letters, the newest first."""
        ids = cast("list[bytes]", self._client.zrange(keys.DEAD_LETTERS, 0, limit - 1, desc=True))
        return self.get_all([each.decode() for each in ids])

    def oldest_at(self) -> float:
        """Return the time of the oldest letter, in Unix seconds, or 0 if there is none."""
        first = cast(
            "list[tuple[bytes, float]]",
            self._client.zrange(keys.DEAD_LETTERS, 0, 0, withscores=True),
        )
        return float(first[0][1]) if first else 0.0

    def get(self, letter_id: str) -> Letter | None:
        """Return one letter, or None if the id is unknown."""
        return next(iter(self.get_all([letter_id])), None)

    def get_all(self, letter_ids: Sequence[str]) -> list[Letter]:
        """Return letters by their ids. Unknown ids are left out."""
        pipe = self._client.pipeline(transaction=False)
        for each in letter_ids:
            pipe.hgetall(keys.dead_letter(each))
        found = zip(letter_ids, pipe.execute(), strict=True)
        return [letter_of(each, raw) for each, raw in found if raw]

    def pages(self) -> Iterator[Sequence[Letter]]:
        """Yield all letters in pages, in no particular order. A letter may come twice."""
        found = self._client.zscan_iter(keys.DEAD_LETTERS, count=LETTERS_A_PAGE)
        ids = (cast(bytes, letter_id).decode() for letter_id, _ in found)
        while page := list(itertools.islice(ids, LETTERS_A_PAGE)):
            yield self.get_all(page)

    def claim(self, letter_ids: Sequence[str]) -> list[str]:
        """Claim letters before retrying them, for `CLAIMED_S` seconds.

        Returns:
            The ids of the letters that exist and that nobody else has claimed.
        """
        pipe = self._client.pipeline(transaction=False)
        for each in letter_ids:
            pipe.set(keys.dead_letter_claim(each), 1, nx=True, ex=CLAIMED_S)
        claimed = [each for each, got in zip(letter_ids, pipe.execute(), strict=True) if got]
        for each in claimed:
            pipe.exists(keys.dead_letter(each))
        return [each for each, exists in zip(claimed, pipe.execute(), strict=True) if exists]

    def drop(self, *letter_ids: str) -> int:
        """Delete letters. Returns how many of them existed."""
        pipe = self._client.pipeline()
        for each in letter_ids:
            pipe.zrem(keys.DEAD_LETTERS, each)
            pipe.delete(keys.dead_letter(each), keys.dead_letter_claim(each))
        return sum(pipe.execute()[::2])

    def count(self) -> int:
        """Return the number of letters."""
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
