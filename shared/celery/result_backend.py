"""Celery's Redis result backend, changed to write a job's result and its end in one script.

Celery stores a result as its last step, whether the task ended, its message was revoked, or its
process died. So this module also records the end in the ledger.
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

COLLECTED_MAX_CHARACTERS = 16384
"""A larger result is not collected, because sending it to the worker would delay other jobs."""

_collected_ends: list[Sequence[Argument]] | None = None


@contextmanager
def collect_ends() -> Iterator[list[Sequence[Argument]]]:
    """Collect the ends of done jobs instead of writing them to Redis.

    This is for a pool process, which runs one task at a time. Its worker writes the ends.

    Yields:
        The list to which `Ledger.end_arguments` of each end is added.
    """
    global _collected_ends
    ends: list[Sequence[Argument]] = []
    _collected_ends = ends
    try:
        yield ends
    finally:
        _collected_ends = None


class _LedgerBackend:
    """Mixin with the methods that differ from Celery's backends."""

    def _create_client(self, **params: Any) -> Any:
        return super()._create_client(**params | {"command_packer": PACKER})  # type: ignore[misc]

    def prepare_exception(self, exc: BaseException, serializer: str | None = None) -> Any:
        """Return an error as a document, with a module name that every version can read."""
        stored = super().prepare_exception(exc, serializer)  # type: ignore[misc]
        if isinstance(stored, dict):
            stored["exc_module"] = stored_module(exc)
        return stored

    def exception_to_python(self, exc: Any) -> Any:
        """Return the error of a document, of agewell's class whichever version stored it."""
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
            # The worker was asked to revoke a job that it does not have. If another worker runs
            # the job, the job goes on and ends with its result, as in Celery.
            self.end_open(task_id, self.exception_to_python(result), "unstarted")
            return result
        if op_of(request) is None:
            # Not a job of agewell. A full Redis must not end the worker because of it.
            with contextlib.suppress(redis.exceptions.OutOfMemoryError):
                super()._store_result(  # type: ignore[misc]
                    task_id, result, state, traceback=traceback, request=request, **options
                )
            return result
        if state in STATE_OF:
            document = self.result_of(task_id, result, state, traceback, request)
            self._finish(task_id, state, result, request, document)
        # In any other state the job is retried, and its record already says so.
        return result

    def _finish(
        self, task_id: str, state: str, value: Any, request: Any, document: str = ""
    ) -> None:
        """Record the end of a job. While Redis is away, retry for some seconds, as Celery does.

        Args:
            task_id: the job's id.
            state: Celery's state, a key of `STATE_OF`.
            value: the task's result, or its error.
            request: the task's request. If it is not a job of agewell, nothing happens.
            document: Celery's stored result, or empty if the sender wants none.
        """
        op = op_of(request)
        if op is None:
            return
        error = self.exception_to_python(value) if state in states.EXCEPTION_STATES else None
        end = end_of(task_id, op, state, value, error, request)
        # A chord counts a part after its end, so a part's end cannot wait for the worker.
        is_small = len(document) <= COLLECTED_MAX_CHARACTERS
        if _collected_ends is None or end.state is not State.DONE or end.is_counted or not is_small:
            self.ensure(self.ledger.end, (end, document))  # type: ignore[attr-defined]
            return
        with tally.sending() as counts:
            _collected_ends.append(self.ledger.end_arguments(end, document, counts))

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: bool = True,
        state: str = states.SUCCESS,
    ) -> None:
        """End a job that is done, also if its sender wants no result.

        Raises:
            Reject: Redis does not come back. The message is requeued and the job runs again,
                because Celery would otherwise treat the lost connection as a failed job.
        """
        try:
            if not store_result or ignores_result(request):
                self._finish(task_id, state, result, request)
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
        """End a job that failed, also if its sender wants no result.

        If another run of the job is done, its chain and chord go on, and this failure is ignored.
        """
        done = self._is_done(task_id, request)
        if done or not store_result:
            self._finish(task_id, state, exc, request)
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
        """End a job that was cancelled or has expired, also if its sender wants no result."""
        if not store_result:
            self._finish(task_id, state, TaskRevokedError(reason), request)
        super().mark_as_revoked(task_id, reason, request, store_result, state)  # type: ignore[misc]

    def on_chord_part_return(self, request: Any, state: str, result: Any, **options: Any) -> None:
        """Count a part of a chord.

        A part that can never be counted is logged, because an error would requeue its job for
        nothing. A dead letter is not counted: its chord waits until you retry or drop the letter.
        """
        if isinstance(result, DeadJobError):
            return
        try:
            super().on_chord_part_return(request, state, result, **options)  # type: ignore[misc]
        except (redis.ResponseError, redis.DataError) as error:
            if is_passing(error):
                raise
            log.exception("job %s: its chord cannot count it, and may never end", request.id)

    def chord_error_from_stack(self, callback: Any, exc: Exception | None = None) -> Any:
        """Fail the callback of a chord, which was never sent, and record its end if it is a job."""
        error = exc or sys.exc_info()[1]
        info = super().chord_error_from_stack(callback, exc)  # type: ignore[misc]
        self._finish(callback.id, states.FAILURE, error, Context(task=callback.task))
        return info

    def fail_chords(self, job: Mapping[str, Any], error: Exception) -> None:
        """Fail the chords that wait for a dead letter that is being dropped.

        Args:
            job: the letter's message, as a Celery signature.
            error: the error that the chords fail with.
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
        """End a job that no worker will end, and notify its chord, chain and errbacks.

        Args:
            job_id: the job's id.
            error: the job's error. A `TaskRevokedError` makes it cancelled or expired.
            only_from: end it only if it is in this state. See `End.only_from`.

        Returns:
            False if the job is in another state now, and so was not ended.
        """
        revoked = isinstance(error, TaskRevokedError)
        read = self.ledger.message_of_part if revoked else self.ledger.message
        message = read(job_id)
        state = states.REVOKED if revoked else states.FAILURE
        result = self.prepare_exception(error)
        ended = state_of(state, error)
        end = End(job_id=job_id, state=ended, error=str(error), only_from=only_from)
        if not self.ledger.end(end, self.result_of(job_id, result, state)):
            return False
        request = None if message is None else request_of(message)
        if request is not None:
            self.notify_followers(request, state, error)
        return True

    def notify_followers(self, request: Any, state: str, error: Exception) -> None:
        """Notify the chord, the chain and the errbacks of a job that no worker has ended."""
        if request.chord:
            self.on_chord_part_return(request, state, error)
        if state == states.FAILURE:
            self._fail_chain(request.chain, error)  # type: ignore[attr-defined]
            if request.errbacks:
                self._call_task_errbacks(request, error, None)  # type: ignore[attr-defined]

    def _encode(self, data: Any) -> tuple[str, str, str]:
        """Encode as Celery does, but JSON without spaces, because results stay for hours."""
        if self.serializer != "json":  # type: ignore[attr-defined]
            return super()._encode(data)  # type: ignore[misc,no-any-return]
        return "application/json", "utf-8", dumps(data, separators=(",", ":"))

    def result_of(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None
    ) -> str:
        """Return a result as the JSON document that Celery stores."""
        meta = self._get_result_meta(  # type: ignore[attr-defined]
            result=result, state=state, traceback=traceback, request=request
        )
        encoded: str = self.encode(meta | {"task_id": task_id})  # type: ignore[attr-defined]
        return encoded

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger in the Redis of this backend."""
        lifetimes = Lifetimes(*self.app.conf.agewell_lifetimes_s)  # type: ignore[attr-defined]
        return Ledger(self.client, lifetimes)  # type: ignore[attr-defined]


class Results(_LedgerBackend, RedisBackend):  # type: ignore[misc]
    """Result backend for one Redis."""


class SentinelResults(_LedgerBackend, SentinelBackend):  # type: ignore[misc]
    """Result backend for a Redis master that Sentinel names."""
