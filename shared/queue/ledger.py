"""The ledger, which reads the records of jobs and ends jobs.

Every change of a job's state is one Lua script. So if two processes try to end a job at the same
time, only one succeeds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import redis

from agewell.shared.metrics import Metric, counter, tally
from agewell.shared.queue.record import ENDED, Record, State, record_of
from agewell.shared.queue.tenant_search import latest_jobs_of
from agewell.shared.redis import keys
from agewell.shared.redis.clock import RedisClock
from agewell.shared.redis.scripts import Argument, Script

_END = Script("end")
_REPORT = Script("report")
TRIMMED_A_CALL = 500
"""Most ids to drop from each state's list per call, which blocks Redis for about 1 ms."""


@dataclass(frozen=True)
class Lifetimes:
    """How long to keep the records and results of ended jobs, in seconds."""

    done_s: int
    other_s: int

    def of(self, state: State) -> int:
        """Return the seconds for a job that ended in this state."""
        return self.done_s if state is State.DONE else self.other_s


@dataclass(frozen=True)
class End:
    """The end of one job."""

    job_id: str
    state: State
    op: str = ""
    items: int = 0
    items_failed: int = 0
    error: str = ""
    only_from: State | Literal["unstarted"] | None = None
    """The state that the job must be in, or None for any open state.

    "unstarted" means any state but running. That includes a job without a record, which a plain
    client has sent. If a job is to be cancelled only while it waits, but runs already, it is asked
    to end at its next step.
    """
    inputs: bytes = b""
    """The job's first images and its parameters, packed for the job's page."""
    is_counted: bool = False
    """True if a chord has to count the job after its end."""


class Ledger:
    """Reads and ends jobs, with one round trip per call."""

    def __init__(
        self, client: redis.Redis, lifetimes: Lifetimes, clock: RedisClock | None = None
    ) -> None:
        self._client = client
        self.lifetimes = lifetimes
        self._clock = clock or RedisClock()

    def end(self, end: End, result: bytes | str = "") -> bool:
        """Record the end of a job and Celery's result. Both expire from now on.

        Args:
            end: the end of the job.
            result: Celery's result as JSON, or empty if the sender wants none.

        Returns:
            False if the job had ended already, or is not in the state `only_from`.
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
            False if the job had ended already, or is not in the state `only_from`.
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

    def report(self, job_id: str, done: float | None = None) -> bool:
        """Record the progress of a running job. Returns True if the job was asked to end.

        Args:
            job_id: the job.
            done: the part that is done, 0 to 1. None: unknown.
        """
        text = "" if done is None else f"{done:.3f}"
        return bool(_REPORT(self._client, [keys.job(job_id)], [text]))

    def message(self, job_id: str) -> bytes | None:
        """Return the message of an open job, or None if there is none."""
        return cast("bytes | None", self._client.hget(keys.job(job_id), "message"))

    def message_of_part(self, job_id: str) -> bytes | None:
        """Return the message of an open job in a group, or None. Only such jobs have chords."""
        if not self._client.hexists(keys.job(job_id), "chord"):
            return None
        return self.message(job_id)

    def forget(self, *job_ids: str) -> None:
        """Delete the records and results of ended jobs, so that the jobs can be sent again."""
        if not job_ids:
            return
        pipe = self._client.pipeline()
        for state in ENDED:
            pipe.zrem(keys.jobs(state), *job_ids)
        pipe.delete(*map(keys.job, job_ids), *map(keys.result, job_ids))
        pipe.execute()

    def state(self, job_id: str) -> State | None:
        """Return the state of a job, or None for an unknown job. Only this field is read."""
        return next(iter(self.states([job_id])))

    def states(self, job_ids: Iterable[str]) -> list[State | None]:
        """Return the states of jobs, in the same order, with None for each unknown job."""
        pipe = self._client.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.hget(keys.job(job_id), "state")
        return [None if found is None else State(found.decode()) for found in pipe.execute()]

    def get(self, job_id: str) -> Record | None:
        """Return the record of a job, or None for an unknown job."""
        return next(iter(self.get_all([job_id])))

    def get_all(self, job_ids: Iterable[str]) -> list[Record | None]:
        """Return the records of jobs, in the same order, with None for each unknown job."""
        ids = list(job_ids)
        pipe = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipe.hmget(keys.job(job_id), Record.FIELDS)
        now = self._clock.now(self._client)
        return [
            record_of(job_id, raw, now) for job_id, raw in zip(ids, pipe.execute(), strict=True)
        ]

    def list(
        self, states: Iterable[State], since: float, limit: int, tenant: str = ""
    ) -> list[Record]:
        """Return the latest jobs in some states. The job that changed its state last comes first.

        Args:
            states: the states.
            since: leave out jobs that entered their state before this Unix time, in seconds.
            limit: return at most this many jobs.
            tenant: return only jobs of this tenant, or of this team's members. "": any.
        """
        if tenant:
            ids = latest_jobs_of(self._client, tenant, states, since, limit)
            return [record for record in self.get_all(ids) if record is not None]
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
        """Return the number of jobs in each state."""
        pipe = self._client.pipeline(transaction=False)
        for state in State:
            pipe.zcard(keys.jobs(state))
        return dict(zip(State, pipe.execute(), strict=True))

    def trim(self) -> int:
        """Remove jobs whose records have expired from the lists of ended jobs.

        Returns:
            The number of jobs removed, at most `TRIMMED_A_CALL` per state. 0 if none is left.
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
