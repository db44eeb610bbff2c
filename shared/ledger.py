"""The ledger: one record of each job, kept apart from the broker's lists.

Every change of a job's state is one script: two who would change it at once cannot both succeed.
"""

import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import redis

from shared import envelope, keys
from shared.entry import ENDED, Entry, State, entry_of
from shared.metrics import Metric, counter, tally
from shared.scripts import counting_script, script
from shared.stamp import RedisClock


@dataclass(frozen=True)
class Start:
    """What a worker says when it starts a job."""

    job_id: str
    op: str
    items: int
    worker: str
    level: int
    enqueued_at: float | None
    inputs: str = ""
    """JSON, for its page: the references of its first items, and its parameters."""
    pid: int = field(default_factory=os.getpid)
    """The process of the worker's pool that runs it."""


@dataclass(frozen=True)
class End:
    """What is said when a job ends."""

    job_id: str
    state: State
    op: str = ""
    items: int = 0
    items_failed: int = 0
    error: str = ""
    only_from: State | Literal["unstarted"] | None = None
    """The state it must be in; unstarted: any but running, or unknown as a plain client sent it."""


class Ledger:
    """Reads and writes the records; a round trip a call."""

    def __init__(self, client: redis.Redis, ttl_s: int) -> None:
        self._client = client
        self._ttl_s = ttl_s
        self._clock = RedisClock()
        self._start = client.register_script(counting_script("start"))
        self._end = client.register_script(counting_script("end"))

    def start(self, start: Start, runs_lost_max: int) -> State:
        """Record that a job runs now; or, where it must not run, the state it is in or comes to.

        A call is one start, however often the client sends it because an answer is late.

        Args:
            start: the job and who runs it.
            runs_lost_max: so many runs may end with their worker; then the job is dead.
        """
        now = self._clock.now(self._client)
        answer = self._start(
            keys=[
                keys.job(start.job_id),
                keys.jobs(State.WAITING),
                keys.jobs(State.RUNNING),
                keys.STARTED,
                keys.COUNTS,
            ],
            args=[
                start.job_id,
                now,
                start.op,
                start.items,
                start.worker,
                start.pid,
                start.level,
                "" if start.enqueued_at is None else start.enqueued_at,
                runs_lost_max,
                start.inputs,
                uuid.uuid4().hex,
            ],
        )
        state = State(cast(bytes, answer).decode())
        if state is State.RUNNING and start.enqueued_at is not None:
            tally.observe(Metric.WAIT, now - start.enqueued_at, start.op, start.level)
        return state

    def end(self, end: End, result: bytes | str = "") -> bool:
        """Record how a job ended, and Celery's result with it; both expire from now on.

        Returns:
            False where it had ended already, or is not in the state it shall be ended from.
        """
        with tally.sending() as counts:
            answer = self._end(
                keys=[
                    keys.job(end.job_id),
                    keys.jobs(State.WAITING),
                    keys.jobs(State.RUNNING),
                    keys.jobs(end.state),
                    keys.result(end.job_id),
                    keys.COUNTS,
                    keys.METRICS,
                ],
                args=[
                    end.job_id,
                    self._clock.now(self._client),
                    end.state.value,
                    end.items_failed,
                    end.error,
                    self._ttl_s,
                    end.op,
                    end.items,
                    result,
                    end.only_from or "",
                    counter(Metric.ENDED, end.state.value),
                    *(part for field in counts for part in field),
                ],
            )
        return bool(answer)

    def ask_to_cancel(self, job_id: str) -> None:
        """Ask for a running job's end; it ends at its next step."""
        self._client.hset(keys.job(job_id), "cancelled_at", self._clock.now(self._client))

    def cancel_asked(self, job_id: str) -> bool:
        """Whether a job's end was asked for."""
        return bool(self._client.hexists(keys.job(job_id), "cancelled_at"))

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
        found = cast("bytes | None", self._client.hget(keys.job(job_id), "state"))
        return None if found is None else State(found.decode())

    def states(self, job_ids: Iterable[str]) -> list[State | None]:
        """The states of jobs, in their order, None for each unknown one."""
        pipe = self._client.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.hget(keys.job(job_id), "state")
        return [None if found is None else State(found.decode()) for found in pipe.execute()]

    def get(self, job_id: str) -> Entry | None:
        """A job's record, None for an unknown job."""
        return next(iter(self.get_all([job_id])))

    def get_all(self, job_ids: Iterable[str]) -> list[Entry | None]:
        """The records of jobs, in their order, None for each unknown one."""
        ids = list(job_ids)
        pipe = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipe.hgetall(keys.job(job_id))
        now = self._clock.now(self._client)
        return [entry_of(job_id, raw, now) for job_id, raw in zip(ids, pipe.execute(), strict=True)]

    def list(self, states: Iterable[State], since: float, limit: int) -> list[Entry]:
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
        entries = self.get_all(job_id.decode() for job_id, _ in found[:limit])
        return [entry for entry in entries if entry is not None]

    def counts(self) -> dict[State, int]:
        """How many jobs are in each state."""
        pipe = self._client.pipeline(transaction=False)
        for state in State:
            pipe.zcard(keys.jobs(state))
        return dict(zip(State, pipe.execute(), strict=True))

    def trim(self) -> None:
        """Drop from the lists of ended jobs those whose records have expired."""
        pipe = self._client.pipeline(transaction=False)
        for state in ENDED:
            pipe.zremrangebyscore(
                keys.jobs(state), "-inf", self._clock.now(self._client) - self._ttl_s
            )
        pipe.execute()


def publishing(waiting: str, message: Mapping[str, Any], op: str, raw: str) -> list[Any]:
    """The arguments of EVAL that publish a message and enter its job, both or neither.

    Args:
        waiting: the list to publish it to.
        message: kombu's, as an object, its numbers bounded.
        op: the job's operation.
        raw: the same as text.
    """
    headers = message["headers"]
    job_id = headers["id"]
    return [
        script("shared", "publish"),
        5,
        waiting,
        keys.job(job_id),
        keys.jobs(State.WAITING),
        keys.jobs(State.RUNNING),
        keys.DEADLINES,
        raw,
        job_id,
        op,
        message["properties"].get("priority") or 0,
        headers.get(envelope.ITEMS) or 0,
        headers.get(envelope.ENQUEUED_AT) or 0,
        headers.get(envelope.DEADLINE_AT) or "",
        headers.get("retries") or 0,
        int(bool(headers.get("parent_id"))),
    ]
