"""Measure Redis's processor time for each command of the queue."""

import asyncio
import random
import select
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from queue import Empty
from typing import Any
from unittest import mock

import kombu
from celery import Celery

from agewell.producer.sending.cancel import cancel_job
from agewell.producer.session import Session
from agewell.shared.celery.app import make_app
from agewell.shared.protocol.tasks import Queue
from agewell.shared.queue.ledger import End
from agewell.shared.queue.record import State
from agewell.shared.queue.started import started
from agewell.shared.queue.status import queue_status
from agewell.shared.queue.tenants import tenant_statuses
from agewell.shared.redis import keys
from agewell.workers.consuming import take as taking
from agewell.workers.consuming.connection import WorkerAMQP
from agewell.workers.maintenance.expire import expire
from agewell.workers.monitoring.dashboard.history import History
from agewell.workers.monitoring.dashboard.lengths import Lengths
from agewell.workers.monitoring.exporter import Collector
from agewell.workers.process.context import Context
from benchmarks import filling
from benchmarks.servers import Meter, Server

TAKES, BATCH = 2000, 20
CANCELS = 200
LOOKS = 20
LISTED = 100
EXPIRING = 100_000
MIB = 2**20
LARGE = 1000
IDLE_WORKERS = 500
WAKES = 50
QUIET_S = 0.05


def worker_app(session: Session, number: int = 0) -> Celery:
    """Make the app of a worker."""
    app = make_app(session.settings, amqp=WorkerAMQP)
    where = {"unacked_key": keys.reserved(f"bench@here:1:{number}")}
    app.conf.broker_transport_options = app.conf.broker_transport_options | where
    return app


@contextmanager
def consuming(app: Celery, at_most: int = 1) -> Iterator[tuple[list[Any], kombu.Connection]]:
    """Consume like a worker with `at_most` free slots.

    Yields the list of received messages, and the connection.
    """
    got: list[Any] = []
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        queue = app.amqp.queues[Queue.CV.value]
        with kombu.Consumer(
            channel, [queue], on_message=got.append, accept=["json"], prefetch_count=at_most
        ):
            yield got, connection


def look(connection: kombu.Connection, timeout_s: float = 1.0) -> None:
    """Let a connection handle one event, or wait for the time-out."""
    try:
        connection.drain_events(timeout=timeout_s)
    except (TimeoutError, Empty):
        return


def take(server: Server, session: Session) -> float:
    """Measure the time to take and start a job, and to acknowledge one that ended, in microseconds.

    A million jobs wait.
    """
    used_us = []
    with consuming(worker_app(session), at_most=BATCH) as (got, connection):
        for _ in range(TAKES // BATCH + 1):
            with Meter(server) as meter:
                while len(got) < BATCH:
                    look(connection)
            used_us.append(meter.us)
            for message in got:
                session.ledger.end(End(job_id=message.headers["id"], state=State.DONE), "{}")
                message.ack()
            got.clear()
    return sum(used_us[1:]) / (len(used_us) - 1) / BATCH  # the first warms up


def cancel(server: Server, session: Session, ids: list[str]) -> float:
    """Measure the mean time to cancel one of the waiting jobs, in milliseconds."""
    chosen = random.Random(2).sample(ids, CANCELS)
    with Meter(server) as meter:
        for job_id in chosen:
            cancel_job(session, job_id)
    assert all(entry and entry.state == "cancelled" for entry in session.ledger.get_all(chosen))
    return meter.us / 1e3 / CANCELS


def cancel_large(server: Server, session: Session) -> float:
    """Measure the mean time to cancel one of many jobs with large messages, in milliseconds."""
    ids = [str(uuid.uuid4()) for _ in range(LARGE)]
    for number, job_id in enumerate(ids):
        filling.send(session, job_id, 5, {"number": number, "pad": "x" * int(0.7 * MIB)})
    return cancel(server, session, ids)


def _asks(session: Session) -> dict[str, Callable[[], object]]:
    """Return the queries of `agewell queues`, `agewell top` and Flower by name."""
    context = Context(session.settings, session.client, session.blobs, session.ledger)
    lengths = Lengths(context, by_level=True)

    def queues() -> object:
        return queue_status(session.client, session.settings, session.now())

    return {
        "agewell queues": queues,
        "agewell top": lambda: (queues(), started(session.client)),
        "Flower": lambda: asyncio.run(lengths.queues([each.value for each in Queue])),
    }


def read_kib(server: Server, session: Session) -> float:
    """Measure the kibibytes that one query of each reads."""
    asks = _asks(session).values()
    before = server.sent_bytes()
    for ask in asks:
        ask()
    return (server.sent_bytes() - before) / 1024


def look_at_queues(server: Server, session: Session) -> dict[str, float]:
    """Measure the time of each query in milliseconds."""
    return _measured(server, _asks(session))


def look_at_tenants(server: Server, session: Session) -> dict[str, float]:
    """Measure the time of each query that shows tenants, in milliseconds."""
    history = History(session.client, session.settings)
    collector = Collector(session.client, session.settings)
    return _measured(
        server,
        _asks(session)
        | {
            "page": history.sample,
            "list": lambda: tenant_statuses(session.client, LISTED),
            "metrics": lambda: list(collector.collect()),
        },
    )


def _measured(server: Server, asks: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    found = {}
    for name, ask in asks.items():
        ask()
        with Meter(server) as meter:
            for _ in range(LOOKS):
                ask()
        found[name] = meter.us / 1e3 / LOOKS
    return found


def wake(server: Server, session: Session) -> float:
    """Measure the median time for one message to a queue with many idle workers, in milliseconds.

    The regular polls of idle workers, every few seconds, are not counted.
    """
    with mock.patch.object(taking, "TAKE_AGAIN_AFTER_S", 3600.0), ExitStack() as stack:
        workers = [
            stack.enter_context(consuming(worker_app(session, number)))
            for number in range(IDLE_WORKERS)
        ]
        poller = select.poll()
        by_socket = {}
        for got, connection in workers:
            look(connection, 0.001)
            for each in connection.transport.cycle._fd_to_chan:
                by_socket[each] = (got, connection)
                poller.register(each, select.POLLIN)
        _settle(poller, by_socket)
        used_us = []
        for _ in range(WAKES):
            _say_idle(server, session.now())
            with Meter(server) as idle:
                _settle(poller, by_socket)
            with Meter(server) as meter:
                filling.send(session, str(uuid.uuid4()), 5)
                _settle(poller, by_socket)
            used_us.append(meter.us - idle.us)
            [taken] = [got for got, _ in workers if got]
            taken.pop().ack()
            _settle(poller, by_socket)
    return statistics.median(used_us) / 1e3


def _say_idle(server: Server, now: float) -> None:
    """Announce the workers as idle, as their regular polls would do."""
    idle = keys.idle(Queue.CV.value)
    members: Any = server.client.zrange(idle, 0, -1)
    if members:
        server.client.zadd(idle, dict.fromkeys(members, now), xx=True)


def _settle(poller: select.poll, by_socket: dict[int, Any]) -> None:
    """Let all workers handle their events until no more events come."""
    while ready := poller.poll(1e3 * QUIET_S):
        for number, _ in ready:
            look(by_socket[number][1], 0.0001)


@dataclass(frozen=True)
class Expired:
    """The measurement of the expiry of many jobs with the same deadline."""

    jobs_per_s: float
    """Rate of one process."""
    redis_us: float
    """Redis's processor time for each job."""
    longest_ms: float
    """The longest call, by Redis's clock."""


def expire_all(server: Server, session: Session) -> Expired:
    """Measure the expiry of many jobs with the same deadline."""
    app = worker_app(session)
    lifetimes = session.ledger.lifetimes
    filling.fill(session, EXPIRING, deadline_at=session.now() - 1)
    server.note_slow()
    begun = time.perf_counter()
    with Meter(server) as meter:
        expired = 0
        while count := expire(app.backend, session.client, lifetimes, session.now()):
            expired += count
    took_s = time.perf_counter() - begun
    assert expired >= EXPIRING
    return Expired(expired / took_s, meter.us / expired, server.slow_ms()[0])
