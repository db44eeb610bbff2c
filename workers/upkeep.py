"""The Celery app of upkeep, and of beat: `celery -A workers.upkeep worker -Q upkeep`.

Apart from the operations, so that neither a long job nor a heavy library can hold it up.
"""

import logging

from celery import shared_task

from shared.celery_app import make_app
from shared.names import Task
from workers import liveness, lost, readiness
from workers.channel import WorkerAMQP
from workers.context import context, settings
from workers.sweep import sweep_queues

log = logging.getLogger(__name__)

readiness.announce()

app = make_app(settings(), amqp=WorkerAMQP)
liveness.install(app)


@shared_task(name=Task.SWEEP_AGING.value, ignore_result=True, send_events=False)  # type: ignore[untyped-decorator]
def sweep_aging() -> None:
    """Let the waiting jobs of every work queue climb."""
    sweep_queues(context().client, settings())


@shared_task(name=Task.SWEEP_BLOBS.value, ignore_result=True, send_events=False)  # type: ignore[untyped-decorator]
def sweep_blobs() -> None:
    """Delete blobs that have outlived their time."""
    log.info("swept blobs: %d", context().blobs.sweep())
    context().ledger.trim()


@shared_task(name=Task.RETURN_JOBS.value, ignore_result=True, send_events=False)  # type: ignore[untyped-decorator]
def return_jobs() -> None:
    """Return to their queues the jobs that dead workers held."""
    returned = liveness.return_jobs_of_dead_workers(context().client)
    if returned:
        log.warning("jobs returned from dead workers: %d", returned)


@shared_task(name=Task.EXPIRE_JOBS.value, ignore_result=True)  # type: ignore[untyped-decorator]
def expire_jobs() -> None:
    """End the waiting jobs whose deadlines have passed."""
    expired = lost.expire_jobs(app, context().client)
    if expired:
        log.info("jobs expired: %d", expired)


@shared_task(name=Task.FIND_LOST_JOBS.value, ignore_result=True)  # type: ignore[untyped-decorator]
def find_lost_jobs() -> None:
    """End the jobs that are open in the ledger, but whose messages are nowhere."""
    ended = lost.end_lost_jobs(app, context().client, context().ledger)
    if ended:
        log.warning("jobs lost, their messages taken away by others: %d", ended)
