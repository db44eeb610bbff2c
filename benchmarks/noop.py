"""The Celery apps of the `consume` benchmark: the same no-op, on stock Celery and on ours."""

import os

from celery import Celery, shared_task

from shared.celery_app import broker_url, make_app
from workers import liveness, readiness
from workers.channel import WorkerAMQP
from workers.context import settings

readiness.announce()


def _stock(**config: object) -> Celery:
    redis_url = settings().redis_url
    assert redis_url is not None
    url = broker_url(redis_url.get_secret_value())
    stock = Celery("stock", broker=url, include=["benchmarks.noop"])
    stock.conf.update(task_default_queue="cv", **config)
    return stock


def _ours() -> Celery:
    ours = make_app(settings(), include=["benchmarks.noop"], amqp=WorkerAMQP)
    liveness.install(ours)
    return ours


KINDS = {
    "stock": _stock,
    # What no fair queue can do without: jobs that a worker holds are out of order's reach, and
    # those acknowledged before they end are lost with it.
    "stock, reserving like ours": lambda: _stock(
        task_acks_late=True, worker_prefetch_multiplier=1, worker_disable_prefetch=True
    ),
    "agewell": _ours,
}

app = KINDS[os.environ.get("NOOP_KIND", "agewell")]()


@shared_task(name="cv.noop", ignore_result=True)
def noop() -> None:
    """Do nothing."""
