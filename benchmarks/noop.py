"""The Celery apps of the `consume` benchmark: no-op jobs on stock Celery and on agewell."""

import os
from typing import Any

from celery import Celery, Task, shared_task

from agewell.shared.celery.app import broker_url, make_app
from agewell.shared.protocol.messages import ItemResult, Job, JobResult
from agewell.workers.consuming import pool_writes
from agewell.workers.consuming.connection import WorkerAMQP
from agewell.workers.jobs import store_outage, time_limit
from agewell.workers.jobs.delivery import deliver, operation_task
from agewell.workers.jobs.job_poll import JobPoll
from agewell.workers.process import heartbeat, ready, slots
from agewell.workers.process.context import settings

ready.announce()


def _stock(**config: object) -> Celery:
    redis_url = settings().redis_url
    assert redis_url is not None
    url = broker_url(redis_url.get_secret_value())
    stock = Celery("stock", broker=url, backend=url, include=["benchmarks.noop"])
    stock.conf.update(task_default_queue="cv", **config)
    return stock


def _ours() -> Celery:
    ours = make_app(settings(), include=["benchmarks.noop"], amqp=WorkerAMQP)
    heartbeat.install(ours)
    time_limit.install(ours, settings())
    store_outage.install(ours)
    slots.install(ours)
    pool_writes.install()
    return ours


KINDS = {
    "stock": _stock,
    # A fair queue needs these settings. Jobs that a worker has prefetched cannot be reordered, and
    # jobs acknowledged before their end are lost with the worker.
    "stock, reserving like ours": lambda: _stock(
        task_acks_late=True, worker_prefetch_multiplier=1, worker_disable_prefetch=True
    ),
    "agewell": _ours,
}

KIND = os.environ.get("NOOP_KIND", "agewell")
app = KINDS[KIND]()


@shared_task(name="cv.noop", ignore_result=True)
def noop() -> None:
    """Do nothing."""


RESULT = JobResult(op="hsv", items=(ItemResult(info={"made": "nothing"}),))


def _do_nothing(job: Job, poll: JobPoll) -> JobResult:
    del job, poll
    return RESULT


if KIND == "agewell":

    @operation_task("cv.hsv")
    def hsv(task: Task, document: Any) -> dict[str, Any]:
        """Run a job of agewell that does nothing. It is in the ledger and its result is kept."""
        return deliver(task, "hsv", document, None, _do_nothing)

else:

    @shared_task(name="cv.hsv")  # type: ignore[untyped-decorator]
    def stock_hsv(document: Any) -> dict[str, Any]:
        """Run a job of stock Celery that does nothing. Its result is kept."""
        del document
        return RESULT.model_dump(mode="json", exclude_none=True)
