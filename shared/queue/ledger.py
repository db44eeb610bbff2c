"""The ledger: reads the records of jobs, and ends jobs.

Every change of a job's state is one script: two who would change it at once cannot both succeed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import redis

from agewell.shared.metrics import Metric, counter, tally
from agewell.shared.queue.record import ENDED, Record, State, record_of
from agewell.shared.redis import keys
from agewell.shared.redis.clock import RedisClock
from agewell.shared.redis.scripts import Argument, Script

_END = Script("end")
TRIMMED_A_CALL = 500
"""Of each state: a call takes about a millisecond of Redis's time."""


@dataclass(frozen=True)
class Lifetimes:
    """Seconds that the records and results of ended jobs are kept."""

    done_s: int
    other_s: int

    def of(self, state: State) -> int:
        """For a job that ended in this state."""
        return self.done_s if state is State.DONE else self.other_s


@dataclass(frozen=True)
class End:
    """How a job ends."""

    job_id: str
    state: State
    op: str = ""
    items: int = 0
    items_failed: int = 0
    error: str = ""
    only_from: State | Literal["unstarted"] | None = None
    """The state it must be in; unstarted: any but running, or unknown as a plain client sent it.

    A job that is to be cancelled while it waits, and runs by now, is asked to end at its next step.
    """
    inputs: bytes = b""
    """Its first images and its parameters, packed, for its page."""
    is_counted: bool = False
    """True if a chord has to count the job after its end."""


class Ledger:
    """Reads and ends jobs; one round trip a call."""

    def __init__(
        self, client: redis.Redis, lifetimes: Lifetimes, clock: RedisClock | None = None
    ) -> None:
        self._client = client
        self.lifetimes = lifetimes
        self._clock = clock or RedisClock()

    def end(self, end: End, result: bytes | str = "") -> bool:
        """Record how a job ended, and Celery's result with it; both expire from now on.

        Returns:
            False if it had ended already, or is not in the state it must be in.
        """
        with tally.sending() as counts:
            return self.write(self.end_arguments(end, result, counts))

    def end_arguments(
        self, end: End, result: bytes | str = "", counts: Iterable[tuple[str, int]] = ()
    ) -> Sequence[Argument]:
        """Return an end as arguments of the Lua scripts, for `write` or for the next take."""
        return [
            end.job_id,
            end.state.value,
            end.items_failed,
            end.error,
            self.lifetimes.of(end.state),
            end.op,
            end.items,
            result,
            end.only_from or "",
            end.inputs,
            int(end.is_counted),
            counter(Metric.ENDED, end.state.value),
            *(part for field in counts for part in field),
        ]

    def write(self, end_arguments: Sequence[Argument]) -> bool:
        """Record an end that `end_arguments` has returned, perhaps in another process.

        Returns:
            False if the job had ended already, or is not in the state it must be in.
        """
        job_id, state = map(str, end_arguments[:2])
        answer = _END(
            self._client,
            [
                keys.job(job_id),
                keys.jobs(State.WAITING),
                keys.jobs(State.RUNNING),
                keys.jobs(state),
                keys.result(job_id),
                keys.DEADLINES,
                keys.COUNTS,
                keys.METRICS,
                *keys.orders(),
            ],
            [self._clock.now(self._client), keys.RESERVED_PREFIX, *end_arguments],
        )
        return bool(answer)

    def cancel_asked(self, job_id: str) -> bool:
        """True if a job's end was asked for."""
        return bool(self._client.hexists(keys.job(job_id), "cancelled_at"))

    def message(self, job_id: str) -> bytes | None:
        """The message of an open job; None if there is none."""
        return cast("bytes | None", self._client.hget(keys.job(job_id), "message"))

    def message_of_part(self, job_id: str) -> bytes | None:
        """The message of an open job of a group; None for another job, whose end tells no chord."""
        if not self._client.hexists(keys.job(job_id), "chord"):
            return None
        return self.message(job_id)

    def forget(self, *job_ids: str) -> None:
        """Drop ended jobs' records and Celery's results, so that the jobs may be sent again."""
        if not job_ids:
            return
        pipe = self._client.pipeline()
        for state in ENDED:
            pipe.zrem(keys.jobs(state), *job_ids)
        pipe.delete(*map(keys.job, job_ids), *map(keys.result, job_ids))
        pipe.execute()

    def state(self, job_id: str) -> State | None:
        """The state in a job's record, None for an unknown job; no matter what else is in there."""
        return next(iter(self.states([job_id])))

    def states(self, job_ids: Iterable[str]) -> list[State | None]:
        """The states of jobs, in their order, None for each unknown one."""
        pipe = self._client.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.hget(keys.job(job_id), "state")
        return [None if found is None else State(found.decode()) for found in pipe.execute()]

    def get(self, job_id: str) -> Record | None:
        """A job's record, None for an unknown job."""
        return next(iter(self.get_all([job_id])))

    def get_all(self, job_ids: Iterable[str]) -> list[Record | None]:
        """The records of jobs, in their order, None for each unknown one; no message is read."""
        ids = list(job_ids)
        pipe = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipe.hmget(keys.job(job_id), Record.FIELDS)
        now = self._clock.now(self._client)
        return [
            record_of(job_id, raw, now) for job_id, raw in zip(ids, pipe.execute(), strict=True)
        ]

    def list(self, states: Iterable[State], since: float, limit: int) -> list[Record]:
        """The latest jobs in these states, the last to come to its state first.

        Args:
            states: which.
            since: only those that came to their state after this Unix time, in seconds.
            limit: so many at most.
        """
        pipe = self._client.pipeline(transaction=False)
        for state in states:
            pipe.zrange(
                keys.jobs(state), "+inf", since, desc=True, byscore=True,
                offset=0, num=limit, withscores=True,
            )  # fmt: skip
        found = [pair for part in pipe.execute() for pair in part]
        found.sort(key=lambda pair: -pair[1])
        records = self.get_all(job_id.decode() for job_id, _ in found[:limit])
        return [record for record in records if record is not None]

    def counts(self) -> dict[State, int]:
        """How many jobs are in each state."""
        pipe = self._client.pipeline(transaction=False)
        for state in State:
            pipe.zcard(keys.jobs(state))
        return dict(zip(State, pipe.execute(), strict=True))

    def trim(self) -> int:
        """Drop from the lists of ended jobs those whose records have expired, so many a call.

        Returns:
            How many were dropped: 0 if none is left.
        """
        now = self._clock.now(self._client)
        dropped = 0
        for state in ENDED:
            before = now - self.lifetimes.of(state)
            expired: Any = self._client.zrange(
                keys.jobs(state), "-inf", before, byscore=True, offset=0, num=TRIMMED_A_CALL
            )
            if expired:
                dropped += self._client.zrem(keys.jobs(state), *expired)
        return dropped
