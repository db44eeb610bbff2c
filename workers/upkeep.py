"""The Celery app of upkeep, and of beat: `celery -A agewell.workers.upkeep worker -Q upkeep`.

Apart from the operations, so that neither a long job nor a heavy library can hold it up.
"""

import logging

from agewell.shared.celery.app import make_app
from agewell.shared.errors import BlobStoreError
from agewell.shared.protocol.tasks import Task
from agewell.shared.queue.ledger import Lifetimes
from agewell.shared.redis.clock import redis_now
from agewell.workers.consuming import undecodable
from agewell.workers.consuming.connection import WorkerAMQP
from agewell.workers.maintenance import inlets, rescue
from agewell.workers.maintenance.aging import reprioritise
from agewell.workers.maintenance.duty import duty
from agewell.workers.maintenance.expire import expire, trim
from agewell.workers.maintenance.give_up import give_up_lost_jobs, give_up_refused_messages
from agewell.workers.maintenance.keep_blobs import all_kept, keep_blobs_of_waiting_jobs
from agewell.workers.maintenance.orphans import find_orphans
from agewell.workers.maintenance.rescue import rescue_jobs
from agewell.workers.process import heartbeat, logs, ready
from agewell.workers.process.context import context, settings

log = logging.getLogger(__name__)

ready.announce()
logs.install()

app = make_app(settings(), amqp=WorkerAMQP)
heartbeat.install(app)
rescue.install(app)
undecodable.install(app)
inlets.install(app)


@duty(Task.SWEEP_AGING)
def sweep_aging() -> None:
    """Re-prioritise the waiting jobs of every queue."""
    reprioritise(context().client, settings(), redis_now(context().client))


@duty(Task.KEEP_BLOBS)
def keep_blobs() -> None:
    """Keep the blobs of jobs that still wait."""
    tools = context()
    now, ttl_s = redis_now(tools.client), tools.settings.blob_ttl_s
    try:
        kept = keep_blobs_of_waiting_jobs(
            tools.client, tools.blobs, ttl_s, now, tools.settings.max_message_bytes
        )
    except BlobStoreError as error:
        log.warning("blobs of waiting jobs not kept: %s", error)
    else:
        if kept:
            log.info("blobs kept for waiting jobs: %d", kept)


@duty(Task.SWEEP_BLOBS)
def sweep_blobs() -> None:
    """Delete blobs that have outlived their time.

    After a store has been away, it is not swept before the blobs of waiting jobs are kept.
    """
    tools = context()
    if not all_kept(tools.client, tools.settings.blob_ttl_s, redis_now(tools.client)):
        log.info("blobs not swept: those of waiting jobs are not all kept yet")
        return
    try:
        log.info("blobs swept: %d", tools.blobs.sweep())
    except BlobStoreError as error:
        log.warning("blobs not swept: %s", error)


@duty(Task.RETURN_JOBS)
def return_jobs() -> None:
    """Return to their queues the jobs that dead workers held; give up those lost too often."""
    client = context().client
    returned = rescue_jobs(client, settings())
    if returned:
        log.warning("jobs returned from dead workers: %d", returned)
    given_up = give_up_lost_jobs(app, client, settings().max_deliveries)
    refused = give_up_refused_messages(app, client, settings().max_message_bytes)
    if given_up or refused:
        log.error("dead letters: %d jobs, %d messages", given_up, refused)


@duty(Task.EXPIRE_JOBS)
def expire_jobs() -> None:
    """End the waiting jobs whose deadlines have passed; forget jobs whose records have expired."""
    client = context().client
    lifetimes = Lifetimes(*settings().lifetimes_s)
    expired = expire(app.backend, client, lifetimes, redis_now(client))
    if expired:
        log.info("jobs expired: %d", expired)
    trim(context().ledger)


@duty(Task.FIND_LOST_JOBS)
def find_lost_jobs() -> None:
    """Give jobs their places again that somebody took away; end those whose messages are gone."""
    client = context().client
    found = find_orphans(app, client, settings(), redis_now(client))
    if found.put_back or found.lost:
        log.warning("jobs put back: %d, lost: %d", found.put_back, found.lost)
