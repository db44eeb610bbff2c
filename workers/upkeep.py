"""The Celery app of upkeep, and of beat: `celery -A workers.upkeep worker -Q upkeep`.

Apart from the operations, so that neither a long job nor a heavy library can hold it up.
"""

import logging
from collections.abc import Callable
from typing import cast

from celery import shared_task

from shared.celery_app import make_app
from shared.errors import BlobStoreError
from shared.names import Task
from shared.stamp import redis_now
from workers import liveness, logs, lost, readiness
from workers.amqp import WorkerAMQP
from workers.context import context, settings
from workers.keeping import keep_blobs_of_waiting_jobs
from workers.sweep import sweep_queues

log = logging.getLogger(__name__)

readiness.announce()
logs.install()

app = make_app(settings(), amqp=WorkerAMQP)
liveness.install(app)


def _task(name: Task) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Make a function a task of upkeep: no result is kept, and none of it is listed in Flower."""
    task = shared_task(name=name.value, ignore_result=True, send_events=False)
    return cast("Callable[[Callable[[], None]], Callable[[], None]]", task)


@_task(Task.SWEEP_AGING)
def sweep_aging() -> None:
    """Let the waiting jobs of every work queue climb."""
    sweep_queues(context().client, settings())


@_task(Task.SWEEP_BLOBS)
def sweep_blobs() -> None:
    """Keep the images of jobs that still wait; delete blobs that have outlived their time.

    A store that has been away is not swept before the images of waiting jobs are kept.
    """
    tools = context()
    tools.ledger.trim()
    now, ttl_s = redis_now(tools.client), tools.settings.blob_ttl_s
    try:
        kept = keep_blobs_of_waiting_jobs(
            tools.client, tools.blobs, ttl_s, now, tools.settings.max_message_bytes
        )
        log.info("blobs kept for waiting jobs: %d, swept: %d", kept, tools.blobs.sweep())
    except BlobStoreError as error:
        log.warning("neither kept nor swept: %s", error)


@_task(Task.RETURN_JOBS)
def return_jobs() -> None:
    """Return to their queues the jobs that dead workers held."""
    returned = liveness.return_jobs_of_dead_workers(context().client)
    if returned:
        log.warning("jobs returned from dead workers: %d", returned)


@_task(Task.EXPIRE_JOBS)
def expire_jobs() -> None:
    """End the waiting jobs whose deadlines have passed."""
    expired = lost.expire_jobs(app, context().client)
    if expired:
        log.info("jobs expired: %d", expired)


@_task(Task.FIND_LOST_JOBS)
def find_lost_jobs() -> None:
    """End the jobs that are open in the ledger, but whose messages are nowhere."""
    ended = lost.end_lost_jobs(app, context().client, context().ledger)
    if ended:
        log.warning("jobs lost, their messages taken away by others: %d", ended)
