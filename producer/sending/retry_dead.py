"""Sends dead letters again, with their chains, chords and callbacks."""

from collections.abc import Iterator, Sequence
from typing import Any

import kombu.exceptions
from celery import Celery

from agewell.producer.sending.limits import Credit
from agewell.producer.sending.outbox import Outbox
from agewell.producer.session import Session
from agewell.shared.protocol.envelope import DEADLINE_AT, ENQUEUED_AT, FULL_RETRIES, time_of
from agewell.shared.protocol.tasks import Queue, op_of_task, queue_of
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.letter import Letter
from agewell.shared.queue.record import State
from agewell.shared.redis.connection import REDIS_ERRORS, unreachable

FORGOTTEN_HEADERS = (ENQUEUED_AT, FULL_RETRIES, "redelivered")
"""Headers that a job sent again loses: its wait starts now, and it has all its retries again."""

MESSAGE_OPTIONS = {
    *("root_id", "parent_id", "group_id", "group_index", "chord", "chain", "retries"),
    *("shadow", "soft_time_limit", "time_limit", "reply_to", "replaced_task_nesting"),
    *("origin", "ignore_result", "stamped_headers"),
}
"""Options of a signature that `as_task_v2` takes under the same names."""

UNSENT = (None, State.DEAD)
"""States of a job that may be sent again. In other states it was sent again or cancelled."""


class Resender:
    """Sends dead letters again, in groups, as far as their queues have room."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._letters = DeadLetters(session.client)
        self._outbox = Outbox(Credit(session), self._send)

    def resend(self, letters: Sequence[Letter]) -> Iterator[str]:
        """Send dead letters that are jobs, and yield the ids of those that were sent.

        A letter whose job was sent again before is dropped, so that no job runs twice.

        Raises:
            QueueFullError, BrokerFullError: there is no room. The jobs yielded so far are sent.
            BrokerUnreachableError: Redis does not answer.
        """
        for letter in letters:
            yield from self._outbox.add(letter, _queue_of(letter.task))
            if self._outbox.due():
                yield from self._outbox.flush()
        yield from self._outbox.flush()

    def _send(self, letters: Sequence[Letter]) -> list[str]:
        try:
            claimed = set(self._letters.claim([each.letter_id for each in letters]))
            mine = [each for each in letters if each.letter_id in claimed]
            states = self._session.ledger.states([each.letter_id for each in mine])
            unsent = [each for each, state in zip(mine, states, strict=True) if state in UNSENT]
            jobs = [each.job or {} for each in unsent]
            steps = [step for job in jobs for step in _later_steps(job)]
            self._session.ledger.forget(*(each.letter_id for each in unsent), *steps)
            self._publish(jobs)
            self._letters.drop(*(each.letter_id for each in mine))
        except (*REDIS_ERRORS, kombu.exceptions.KombuError) as error:
            raise unreachable(self._session.settings, error) from error
        return [each.letter_id for each in unsent]

    def _publish(self, jobs: Sequence[dict[str, Any]]) -> None:
        now = self._session.now()
        app = self._session.app
        with app.producer_pool.acquire(block=True) as producer, producer.batch():
            for job in jobs:
                _send(app, producer, _fresh(job, now))


def _send(app: Celery, producer: Any, job: dict[str, Any]) -> None:
    """Publish as `send_task` does, without its subscription to the result, which nobody reads."""
    options = {name: value for name, value in job["options"].items() if value is not None}
    names = {*MESSAGE_OPTIONS, *options.get("stamped_headers", ())}
    message = app.amqp.as_task_v2(
        options["task_id"],
        job["task"],
        job["args"],
        job["kwargs"],
        callbacks=options.get("link"),
        errbacks=options.get("link_error"),
        **{name: value for name, value in options.items() if name in names},
    )
    app.amqp.send_task_message(
        producer,
        job["task"],
        message,
        queue=options.get("queue") or _queue_of(job["task"]).value,
        priority=options.get("priority"),
        headers=options["headers"],
    )


def _queue_of(task: str | None) -> Queue:
    op = op_of_task(task)
    if op is None:
        raise ValueError(f"{task!r} is not an operation")
    return queue_of(op)


def _fresh(job: dict[str, Any], now: float) -> dict[str, Any]:
    """Copy a job without its age, its retries so far, and a deadline that has passed."""
    options = dict(job["options"])
    headers = dict(options.get("headers") or {})
    for name in FORGOTTEN_HEADERS:
        headers.pop(name, None)
    if (time_of(headers.get(DEADLINE_AT)) or 0.0) < now:
        headers.pop(DEADLINE_AT, None)
    for name in ("expires", "eta", "countdown"):
        options.pop(name, None)
    return job | {"options": options | {"headers": headers, "retries": 0}}


def _later_steps(job: dict[str, Any]) -> Iterator[str]:
    """Find the ids of the next steps of a job's chain, which failed with it."""
    for step in (job.get("options") or {}).get("chain") or ():
        if job_id := step["options"].get("task_id"):
            yield job_id
        if step.get("subtask_type") == "chord" and (body := step["kwargs"].get("body")):
            yield from _later_steps({"options": {"chain": [body]}})
        yield from _later_steps(step)
