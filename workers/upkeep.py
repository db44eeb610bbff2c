"""The Celery app of upkeep, and of beat: `celery -A workers.upkeep worker -Q upkeep`.

Apart from the operations, so that neither a long job nor a heavy library can hold it up.
"""

import logging

from celery import shared_task

from shared.celery_app import make_app
from shared.names import Task
from workers import channel, liveness, readiness
from workers.context import context, settings
from workers.sweep import sweep_queues

log = logging.getLogger(__name__)

readiness.announce()
channel.install()

app = make_app(settings())
liveness.install(app)


@shared_task(name=Task.SWEEP_AGING.value, ignore_result=True, send_events=False)  # type: ignore[untyped-decorator]
def sweep_aging() -> None:
    """Let the waiting jobs of every work queue climb."""
    sweep_queues(context().client, settings())


@shared_task(name=Task.SWEEP_BLOBS.value, ignore_result=True, send_events=False)  # type: ignore[untyped-decorator]
def sweep_blobs() -> None:
    """Delete blobs that have outlived their time."""
    log.info("swept blobs: %d", context().blobs.sweep())


@shared_task(name=Task.RETURN_JOBS.value, ignore_result=True, send_events=False)  # type: ignore[untyped-decorator]
def return_jobs() -> None:
    """Return to their queues the jobs that dead workers held."""
    returned = liveness.return_jobs_of_dead_workers(app, context().client)
    if returned:
        log.warning("jobs returned from dead workers: %d", returned)
