"""Publishes which operations this CV worker offers, so that producers can check and send jobs."""

from typing import Any

from celery import Celery, bootsteps
from celery.worker.consumer.tasks import Tasks

from agewell.shared.operation_offers import REFRESH_S, Offer, OfferFailure, OperationOffers
from agewell.shared.redis.connection import REDIS_ERRORS
from agewell.shared.settings import Settings
from agewell.workers.operations.registry import load_operations
from agewell.workers.process.context import context, settings


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
            OfferFailure(source=each.source, reason=each.reason[:2000])
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

    def start(self, consumer: Any) -> None:
        """Publish now, and then every `REFRESH_S`."""
        self._run = consumer.app.conf.agewell_worker_id
        offers, offer = OperationOffers(context().client), offer_of(consumer.hostname, settings())
        offers.publish(self._run, offer)
        self._timer_entry = consumer.timer.call_repeatedly(
            REFRESH_S, offers.publish, (self._run, offer)
        )

    def stop(self, consumer: Any) -> None:
        """Withdraw the operations. The worker ends, or it reconnects and publishes them again."""
        del consumer
        if self._timer_entry is not None:
            self._timer_entry.cancel()
        try:
            OperationOffers(context().client).withdraw(self._run)
        except REDIS_ERRORS:
            return  # they expire


def install(app: Celery) -> None:
    """Publish the operations of a worker's app."""
    app.steps["consumer"].add(Offers)
