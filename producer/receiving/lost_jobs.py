"""Finds jobs that Redis has lost, so that nobody waits for them without end.

A wait for a job goes on while its record says that the job is open. A job without a record may have
been sent by a plain Celery client, or may be a later step of a chain, so the wait goes on while any
other job is open. A job that had a record before, and has none now, was lost with Redis's data.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import redis

from agewell.producer.receiving.outcome import Outcome, read_outcome
from agewell.shared.errors import LostJobError
from agewell.shared.protocol.messages import ErrorInfo
from agewell.shared.queue.open_jobs import anything_is_open
from agewell.shared.queue.record import State
from agewell.shared.redis import keys

LOOK_TWICE_AFTER_S = 3.0
"""A job must be missing this long before it counts as lost: it may be between two states."""

KNOWN_MAX = 100_000

LOST = (
    "Redis has forgotten it: it was emptied or restarted without its data, the result has "
    "expired, or the job was never sent; send it again"
)
_OPEN = {State.WAITING.encode(), State.RUNNING.encode()}


class KnownJobs:
    """The ids of the latest 100,000 jobs that have been in Redis. Threads may share it."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def add(self, job_ids: Iterable[str]) -> None:
        """Add the ids of jobs, and drop the oldest ids beyond the limit."""
        self._ids.update(dict.fromkeys(job_ids))
        if len(self._ids) > KNOWN_MAX:
            for job_id in list(self._ids)[:-KNOWN_MAX]:
                self._ids.pop(job_id, None)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._ids


class LostJobFinder:
    """Finds, among jobs that are waited for, those that will never get a result."""

    def __init__(self, client: redis.Redis, backend: Any, known: KnownJobs) -> None:
        self._client = client
        self._backend = backend
        self._known = known
        self._missed_at: dict[str, float] = {}

    def missing_again(self, states: Mapping[str, bytes | None]) -> list[str]:
        """Find the jobs that are not open now, and were not a few seconds ago.

        Args:
            states: the states of jobs without a result, by id. None if Redis has no record.
        """
        now = time.monotonic()
        open_ids = {job_id for job_id, state in states.items() if state in _OPEN}
        self._known.add(job_id for job_id in open_ids if job_id not in self._known)
        for job_id in open_ids:
            self._missed_at.pop(job_id, None)
        found = [
            job_id
            for job_id in states.keys() - open_ids
            if now - self._missed_at.setdefault(job_id, now) > LOOK_TWICE_AFTER_S
        ]
        for job_id in found:
            del self._missed_at[job_id]  # if the wait goes on, it must be missing twice again
        return found

    def outcomes(self, job_ids: Sequence[str]) -> list[Outcome]:
        """Return the outcomes of those jobs that will never get a result."""
        if not job_ids:
            return []
        with self._client.pipeline(transaction=False) as pipe:
            read_states_and_results(pipe, job_ids)
            *states, documents = pipe.execute()
        unknown = any(job_id not in self._known for job_id in job_ids)
        may_come = unknown and anything_is_open(self._client)
        found = zip(job_ids, states, documents, strict=True)
        outcomes = [self._outcome(*each, may_come=may_come) for each in found]
        return [outcome for outcome in outcomes if outcome is not None]

    def _outcome(
        self, job_id: str, state: bytes | None, document: bytes | None, *, may_come: bool
    ) -> Outcome | None:
        outcome = read_outcome(self._backend, job_id, document)
        if outcome is not None or state in _OPEN:
            return outcome
        if state:
            return _without_result(job_id, State(state.decode()))
        if may_come and job_id not in self._known:
            return None
        return Outcome(job_id, State.FAILED, (), ErrorInfo.of(LostJobError(LOST)))


def read_states_and_results(pipe: Any, job_ids: Sequence[str]) -> None:
    """Add the reads of the jobs' states, one by one, and of all their results to a pipeline.

    States are read first. So a job whose state says that it has ended has its result already. The
    pipeline may be one for asyncio.
    """
    for job_id in job_ids:
        pipe.hget(keys.job(job_id), "state")
    pipe.mget([keys.result(job_id) for job_id in job_ids])


def _without_result(job_id: str, state: State) -> Outcome:
    reason = f"it has ended as {state.value}, but there is no result: its sender wanted none"
    return Outcome(job_id, state, (), ErrorInfo(code="NoResult", message=reason))
