"""Publishes which operations this CV worker offers, so that producers can check and send jobs.

A worker may get a job of an operation that only other workers have installed, also as a step of a
pipeline. It gives such a job back to the queue.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import Celery, bootsteps
from celery.worker.consumer.tasks import Tasks

from agewell.shared.operation_offers import REFRESH_S, Offer, OfferFailure, OperationOffers
from agewell.shared.protocol.tasks import PIPELINE, op_of_task, task_of
from agewell.shared.redis.connection import REDIS_ERRORS
from agewell.shared.settings import Settings
from agewell.shared.text.printable import printable
from agewell.workers.operations.registry import load_operations
from agewell.workers.process.context import context, settings

RETURN_AFTER_S = 1.0
"""A job is held this long before it goes back, so that a worker does not take it all the time."""

log = logging.getLogger(__name__)


def offer_of(worker: str, settings: Settings) -> Offer:
    """Return the operations of a worker."""
    registry = load_operations(settings.operations)
    users = [registry.operations[name].schema for name in registry.sources]
    return Offer(
        worker=worker,
        built_in=tuple(each for each in registry.operations if each not in registry.sources),
        users=tuple(users),
        sources=dict(registry.sources),
        failures=tuple(
            OfferFailure(source=printable(each.source), reason=printable(each.reason)[:2000])
            for each in registry.failures
        ),
    )


class Offers(bootsteps.StartStopStep):  # type: ignore[misc]
    """Publishes the operations while the worker takes jobs."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer_entry: Any = None
        self._run = ""
        self._refuse = consumer.on_unknown_task
        self._consumer = consumer
        consumer.on_unknown_task = self._on_unknown_task

    def start(self, consumer: Any) -> None:
        """Publish now, and then every `REFRESH_S`."""
        self._run = consumer.app.conf.agewell_worker_id
        offer = offer_of(consumer.hostname, settings())
        self._publish(offer)
        run_pipeline = consumer.strategies[task_of(PIPELINE)]
        consumer.strategies[task_of(PIPELINE)] = partial(self._on_pipeline, run_pipeline)
        self._timer_entry = consumer.timer.call_repeatedly(REFRESH_S, self._publish, (offer,))

    def _publish(self, offer: Offer) -> None:
        try:
            OperationOffers(context().client).publish(self._run, offer)
        except REDIS_ERRORS as error:  # a full Redis: the worker must take jobs all the same
            log.warning("the operations of this worker cannot be published yet: %s", error)

    def stop(self, consumer: Any) -> None:
        """Withdraw the operations. The worker ends, or it reconnects and publishes them again."""
        del consumer
        if self._timer_entry is not None:
            self._timer_entry.cancel()
        try:
            OperationOffers(context().client).withdraw(self._run)
        except REDIS_ERRORS:
            return  # they expire

    def _on_unknown_task(self, body: Any, message: Any, error: Exception) -> None:
        """Give a job back if another worker offers its operation. Otherwise Celery fails it."""
        op = op_of_task((message.headers or {}).get("task"))
        if op is not None and self._gives_back(message, {op}):
            return
        if op is not None:
            # Before Celery does, whose dead letter would not name the operation.
            message.channel.refuse(message.delivery_tag, f"no worker has the operation {op!r}")
        self._refuse(body, message, error)

    def _on_pipeline(self, run: Callable[..., Any], message: Any, *arguments: Any) -> None:
        """Give a pipeline back if only other workers offer its operations. Otherwise run it."""
        missing = steps_of(message) - load_operations(settings().operations).operations.keys()
        if not missing or not self._gives_back(message, missing):
            run(message, *arguments)

    def _gives_back(self, message: Any, ops: set[str]) -> bool:
        try:
            if not OperationOffers(context().client).were_offered(ops):
                return False
        except REDIS_ERRORS as error:  # the consumer reconnects, and gets the job again
            log.warning("not known which workers offer %s: %s", ", ".join(sorted(ops)), error)
        log.info("not installed here: %s; the job goes back to the queue", ", ".join(sorted(ops)))
        self._return_later(message)
        return True

    def _return_later(self, message: Any) -> None:
        self._consumer.timer.call_after(RETURN_AFTER_S, self._return, (message,))

    def _return(self, message: Any) -> None:
        try:
            message.channel.qos.return_unrun(message.delivery_tag)
        except REDIS_ERRORS as error:
            log.warning("a job cannot be given back yet: %s", error)
            self._return_later(message)


def steps_of(message: Any) -> set[str]:
    """Return the operations of a pipeline's message. Empty if it is malformed."""
    try:
        arguments, *_ = message.payload
        return {
            each["op"]
            for document in arguments
            if isinstance(document, dict)
            for each in document.get("steps", ())
            if isinstance(each["op"], str)
        }
    except Exception:  # noqa: BLE001  any program may send it, and the task says what is wrong
        return set()


def install(app: Celery) -> None:
    """Publish the operations of a worker's app."""
    app.steps["consumer"].add(Offers)
