"""Celery's results in Redis, but that a job's end and its result are written in one step.

Celery stores a result last of all, wherever it comes from: the task's own end, a revoked message, a
pool process that died. So this is where the ledger learns of the end, too.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Literal

import redis
from celery import states
from celery.app.task import Context
from celery.backends.redis import RedisBackend, SentinelBackend
from celery.exceptions import Reject, TaskRevokedError
from kombu.utils.json import dumps

from agewell.shared import errors
from agewell.shared.errors import DeadJobError, is_ours, stored_module
from agewell.shared.metrics import tally
from agewell.shared.queue.ending import STATE_OF, end_of, ignores_result, op_of, state_of
from agewell.shared.queue.ledger import End, Ledger, Lifetimes
from agewell.shared.queue.record import State
from agewell.shared.queue.request import request_of
from agewell.shared.redis.connection import REDIS_ERRORS, is_passing
from agewell.shared.redis.packing import PACKER
from agewell.shared.redis.scripts import Argument

log = logging.getLogger(__name__)

LARGEST_TOLD_CHARACTERS = 16384
"""A larger result goes to Redis alone: it would hold up the worker's other jobs on its way."""

_told: list[Sequence[Argument]] | None = None


@contextmanager
def telling() -> Iterator[list[Sequence[Argument]]]:
    """Collect the ends of jobs that are done, instead of writing them to Redis.

    For a process of the pool, which runs one task at a time: its worker writes them.

    Yields:
        What `Ledger.told` returned for each of them.
    """
    global _told
    told: list[Sequence[Argument]] = []
    _told = told
    try:
        yield told
    finally:
        _told = None


class _Ledgered:
    """The part that differs from Celery's own."""

    def _create_client(self, **params: Any) -> Any:
        return super()._create_client(**params | {"command_packer": PACKER})  # type: ignore[misc]

    def prepare_exception(self, exc: BaseException, serializer: str | None = None) -> Any:
        """An error as a stored result has it; ours under the name that every version reads."""
        stored = super().prepare_exception(exc, serializer)  # type: ignore[misc]
        if isinstance(stored, dict):
            stored["exc_module"] = stored_module(exc)
        return stored

    def exception_to_python(self, exc: Any) -> Any:
        """The error of a stored result; of agewell's own class, whichever version stored it."""
        if isinstance(exc, dict) and is_ours(exc.get("exc_module"), exc.get("exc_type")):
            exc = exc | {"exc_module": errors.__name__}
        return super().exception_to_python(exc)  # type: ignore[misc]

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,
        request: Any = None,
        **options: Any,
    ) -> Any:
        if request is None and state == states.REVOKED:
            # A worker is told to revoke a job that it does not have. Another may run it: that job
            # ends with its result, as in Celery.
            self.end_open(task_id, self.exception_to_python(result), "unstarted")
            return result
        if op_of(request) is None:
            # No job of ours, unknown perhaps; it must not end a worker because Redis is full.
            with contextlib.suppress(redis.exceptions.OutOfMemoryError):
                super()._store_result(  # type: ignore[misc]
                    task_id, result, state, traceback=traceback, request=request, **options
                )
            return result
        if state in STATE_OF:
            document = self.result_of(task_id, result, state, traceback, request)
            self._end(task_id, result, state, request, document)
        # Else it is tried again: its record says so, and another run may have ended it by now.
        return result

    def _end(self, task_id: str, result: Any, state: str, request: Any, document: str = "") -> None:
        """Tell the ledger; while Redis is away, again for some seconds, as Celery tells results.

        A process of the pool leaves the end of a job that is done to its worker. A chord counts
        its parts after they have ended, so those end here.
        """
        op, error = op_of(request), None
        if state in states.EXCEPTION_STATES:
            error = self.exception_to_python(result)
        if op is not None:
            end = end_of(task_id, op, STATE_OF[state], result, error, request)
            is_small = len(document) <= LARGEST_TOLD_CHARACTERS
            if _told is not None and end.state is State.DONE and not end.is_counted and is_small:
                with tally.sending() as counts:
                    _told.append(self.ledger.told(end, document, counts))
                return
            self.ensure(self.ledger.end, (end, document))  # type: ignore[attr-defined]

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: bool = True,
        state: str = states.SUCCESS,
    ) -> None:
        """End a job that has a result; also one whose sender wants none.

        Raises:
            Reject: Redis stays away. The message comes back, and the job is run again: Celery
                would take the missing answer for a failure of the job.
        """
        try:
            if not store_result or ignores_result(request):
                self._end(task_id, result, state, request)
            super().mark_as_done(task_id, result, request, store_result, state)  # type: ignore[misc]
        except REDIS_ERRORS as error:
            raise Reject(str(error), requeue=True) from error

    def mark_as_failure(
        self,
        task_id: str,
        exc: Exception,
        traceback: Any = None,
        request: Any = None,
        store_result: bool = True,
        call_errbacks: bool = True,
        state: str = states.FAILURE,
    ) -> None:
        """End a job that failed; also one whose sender wants no result.

        What comes after a job that another run has done goes on: nobody hears of this failure.
        """
        done = self._is_done(task_id, request)
        if done or not store_result:
            self._end(task_id, exc, state, request)
        if not done:
            super().mark_as_failure(  # type: ignore[misc]
                task_id, exc, traceback, request, store_result, call_errbacks, state
            )

    def mark_as_revoked(
        self,
        task_id: str,
        reason: str = "",
        request: Any = None,
        store_result: bool = True,
        state: str = states.REVOKED,
    ) -> None:
        """End a job that shall not run; also one whose sender wants no result."""
        if not store_result:
            self._end(task_id, TaskRevokedError(reason), state, request)
        super().mark_as_revoked(task_id, reason, request, store_result, state)  # type: ignore[misc]

    def on_chord_part_return(self, request: Any, state: str, result: Any, **options: Any) -> None:
        """Count a part of a chord; one that can never be counted must not bring its job back.

        Nor is a dead letter counted: the chord waits until it is sent again and done, or dropped.
        """
        if isinstance(result, DeadJobError):
            return
        try:
            super().on_chord_part_return(request, state, result, **options)  # type: ignore[misc]
        except (redis.ResponseError, redis.DataError) as error:
            if is_passing(error):
                raise
            log.exception("job %s: no part of a chord can be made of it", request.id)

    def chord_error_from_stack(self, callback: Any, exc: Exception | None = None) -> Any:
        """Fail the callback of a chord. It was never sent, so its signature says if it is a job."""
        error = exc or sys.exc_info()[1]
        info = super().chord_error_from_stack(callback, exc)  # type: ignore[misc]
        self._end(callback.id, error, states.FAILURE, Context(task=callback.task))
        return info

    def fail_chords(self, job: Mapping[str, Any], error: Exception) -> None:
        """Fail the chords that wait for a dead letter, which is dropped.

        Args:
            job: its message, as a Celery signature.
            error: what they fail with.
        """
        options = job["options"]
        for each in (options, *(step["options"] for step in options.get("chain") or ())):
            if each.get("chord"):
                part = Context(
                    id=each["task_id"],
                    group=each["group_id"],
                    group_index=each.get("group_index"),
                    chord=each["chord"],
                )
                self.on_chord_part_return(part, states.FAILURE, error)

    def _is_done(self, task_id: str, request: Any) -> bool:
        if op_of(request) is None:
            return False
        return self.ensure(self.ledger.state, (task_id,)) is State.DONE  # type: ignore[attr-defined]

    def end_open(
        self, job_id: str, error: Exception, only_from: State | Literal["unstarted"]
    ) -> bool:
        """End a job that no worker ends; False if it is not in that state any more.

        Those who wait for the job are told as they are if a worker ends it.
        """
        revoked = isinstance(error, TaskRevokedError)
        read = self.ledger.message_of_part if revoked else self.ledger.message
        message = read(job_id)
        state = states.REVOKED if revoked else states.FAILURE
        result = self.prepare_exception(error)
        ended = state_of(STATE_OF[state], error)
        end = End(job_id=job_id, state=ended, error=str(error), only_from=only_from)
        if not self.ledger.end(end, self.result_of(job_id, result, state)):
            return False
        request = None if message is None else request_of(message)
        if request is not None:
            self.tell_followers(request, state, error)
        return True

    def tell_followers(self, request: Any, state: str, error: Exception) -> None:
        """Tell the chord, the chain and the errbacks of a job that no worker has ended."""
        if request.chord:
            self.on_chord_part_return(request, state, error)
        if state == states.FAILURE:
            self._fail_chain(request.chain, error)  # type: ignore[attr-defined]
            if request.errbacks:
                self._call_task_errbacks(request, error, None)  # type: ignore[attr-defined]

    def _encode(self, data: Any) -> tuple[str, str, str]:
        """Encode as Celery does, but JSON without blanks: results stay for hours."""
        if self.serializer != "json":  # type: ignore[attr-defined]
            return super()._encode(data)  # type: ignore[misc,no-any-return]
        return "application/json", "utf-8", dumps(data, separators=(",", ":"))

    def result_of(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None
    ) -> str:
        """A result as Celery stores it: JSON."""
        meta = self._get_result_meta(  # type: ignore[attr-defined]
            result=result, state=state, traceback=traceback, request=request
        )
        encoded: str = self.encode(meta | {"task_id": task_id})  # type: ignore[attr-defined]
        return encoded

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger in the same Redis."""
        lifetimes = Lifetimes(*self.app.conf.agewell_lifetimes_s)  # type: ignore[attr-defined]
        return Ledger(self.client, lifetimes)  # type: ignore[attr-defined]


class Results(_Ledgered, RedisBackend):  # type: ignore[misc]
    """Results in one Redis."""


class SentinelResults(_Ledgered, SentinelBackend):  # type: ignore[misc]
    """Results in a Redis that Sentinel names."""
