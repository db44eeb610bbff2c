"""Celery app of the upkeep worker and of beat.

Start it with `celery -A agewell.workers.upkeep worker -Q upkeep`. It is separate from the workers
that run jobs, so that neither a long job nor a heavy library can delay it.
"""

import logging

from agewell.shared.celery.app import make_app
from agewell.shared.errors import BlobStoreError
from agewell.shared.protocol.tasks import Task
from agewell.shared.queue.ledger import Lifetimes
from agewell.shared.redis.clock import redis_now
from agewell.workers.consuming import reconnecting, undecodable
from agewell.workers.consuming.connection import WorkerAMQP
from agewell.workers.maintenance import admission, beat_scheduler, rescue
from agewell.workers.maintenance.aging import reprioritise
from agewell.workers.maintenance.duty import duty
from agewell.workers.maintenance.expire import expire, trim
from agewell.workers.maintenance.give_up import give_up_lost_jobs, give_up_refused_messages
from agewell.workers.maintenance.keep_blobs import all_kept, keep_blobs_of_waiting_jobs
from agewell.workers.maintenance.orphans import find_orphans
from agewell.workers.maintenance.rescue import rescue_jobs
from agewell.workers.maintenance.tenant_candidates import settle_tenants
from agewell.workers.maintenance.tenant_slots import free_tenant_slots
from agewell.workers.monitoring import beat
from agewell.workers.process import heartbeat, logs, ready
from agewell.workers.process.context import context, settings

log = logging.getLogger(__name__)

ready.announce()
logs.install()

app = make_app(settings(), amqp=WorkerAMQP)
app.conf.beat_scheduler = beat_scheduler.NAME
reconnecting.install(app)
heartbeat.install(app)
beat.install()
rescue.install(app)
undecodable.install(app)
admission.install(app)


@duty(Task.SWEEP_AGING)
def sweep_aging() -> None:
    """Re-prioritise the waiting jobs of every queue."""
    reprioritise(context().client, settings(), redis_now(context().client))


@duty(Task.KEEP_BLOBS)
def keep_blobs() -> None:
    """Extend the TTL of the blobs that waiting jobs need."""
    tools = context()
    now, ttl_s = redis_now(tools.client), tools.settings.blob_ttl_s
    try:
        kept = keep_blobs_of_waiting_jobs(
            tools.client, tools.blobs, ttl_s, now, tools.settings.max_message_bytes
        )
    except BlobStoreError as error:
        log.warning("could not extend the blobs of waiting jobs: %s", error)
    else:
        if kept:
            log.info("extended %d blobs of waiting jobs", kept)


@duty(Task.SWEEP_BLOBS)
def sweep_blobs() -> None:
    """Delete blobs whose TTL has passed.

    After an outage of the blob store, the blobs of waiting jobs are extended first.
    """
    tools = context()
    if not all_kept(tools.client, tools.settings.blob_ttl_s, redis_now(tools.client)):
        log.info("expired blobs not deleted yet: the blobs of waiting jobs must be extended first")
        return
    try:
        log.info("deleted %d expired blobs", tools.blobs.sweep())
    except BlobStoreError as error:
        log.warning("could not delete expired blobs: %s", error)


@duty(Task.RETURN_JOBS)
def return_jobs() -> None:
    """Requeue the jobs of dead workers, and give up jobs that were lost too often."""
    client = context().client
    returned = rescue_jobs(client, settings())
    if returned:
        log.warning("requeued %d jobs of dead workers", returned)
    given_up = give_up_lost_jobs(app, client, settings().max_deliveries)
    refused = give_up_refused_messages(app, client, settings().max_message_bytes)
    if given_up or refused:
        log.error("new dead letters: %d jobs given up, %d messages refused", given_up, refused)


@duty(Task.EXPIRE_JOBS)
def expire_jobs() -> None:
    """End waiting jobs whose deadlines have passed, and forget jobs whose records have expired."""
    client = context().client
    lifetimes = Lifetimes(*settings().lifetimes_s)
    expired = expire(app.backend, client, lifetimes, redis_now(client))
    if expired:
        log.info("%d waiting jobs passed their deadlines and ended as expired", expired)
    trim(context().ledger)


@duty(Task.FIND_LOST_JOBS)
def find_lost_jobs() -> None:
    """Repair jobs whose keys in Redis were deleted, and end the jobs whose messages are gone."""
    client = context().client
    now = redis_now(client)
    settle_tenants(client, now)
    found = find_orphans(app, client, settings(), now)
    if found.put_back or found.lost:
        log.warning(
            "keys in Redis were deleted: %d jobs repaired, %d lost", found.put_back, found.lost
        )
    if freed := free_tenant_slots(client):
        log.warning("records in Redis were deleted: freed %d slots of tenants", freed)
