"""Redis's processor time for each command of the queue, at a million waiting jobs."""

import asyncio
import random
import select
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from queue import Empty
from typing import Any

import kombu
from celery import Celery

from benchmarks import filling
from benchmarks.servers import Meter, Server
from producer.cancel import cancel_job
from producer.session import Session
from shared import keys
from shared.celery_app import make_app
from shared.ledger import Start
from shared.names import Queue
from shared.queues import queue_status, started
from workers import lost
from workers.amqp import WorkerAMQP
from workers.context import Context
from workers.dashboard.lengths import Lengths

TAKES = 2000
CANCELS = 200
LOOKS = 20
MIB = 2**20
LARGE = 1000
IDLE_WORKERS = 500
WAKES = 50
QUIET_S = 0.05


def worker_app(session: Session, number: int = 0) -> Celery:
    """The app of a worker."""
    app = make_app(session.settings, amqp=WorkerAMQP)
    where = {"unacked_key": keys.unacked(f"bench@here:{number}")}
    app.conf.broker_transport_options = app.conf.broker_transport_options | where
    return app


@contextmanager
def consuming(app: Celery) -> Iterator[tuple[list[Any], kombu.Connection]]:
    """Consume as a worker with one free slot does: what came, and its connection."""
    got: list[Any] = []
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        queue = app.amqp.queues[Queue.CV.value]
        with kombu.Consumer(
            channel, [queue], on_message=got.append, accept=["json"], prefetch_count=1
        ):
            yield got, connection


def look(connection: kombu.Connection, timeout_s: float = 1.0) -> None:
    """Let a connection do what it does, once."""
    try:
        connection.drain_events(timeout=timeout_s)
    except (TimeoutError, Empty):
        return


def take(server: Server, session: Session) -> float:
    """Microseconds to take a job, its start and the acknowledgement of the last one included."""
    with consuming(worker_app(session)) as (got, connection):
        _take(session, got, connection, 100)
        with Meter(server) as meter:
            _take(session, got, connection, TAKES)
    return meter.us / TAKES


def _take(session: Session, got: list[Any], connection: kombu.Connection, jobs: int) -> None:
    for _ in range(jobs):
        while not got:
            look(connection)
        message = got.pop()
        job_id, level = message.headers["id"], message.properties["priority"]
        enqueued_at = message.headers["enqueued_at"]
        start = Start(job_id, "hsv", 1, "bench", level, enqueued_at)
        session.ledger.start(start, 3)
        message.ack()


def cancel(server: Server, session: Session, ids: list[str]) -> float:
    """Milliseconds to cancel one of the waiting jobs, wherever it waits; the mean of many."""
    chosen = random.Random(2).sample(ids, CANCELS)
    with Meter(server) as meter:
        for job_id in chosen:
            cancel_job(session, job_id)
    assert all(entry and entry.state == "cancelled" for entry in session.ledger.get_all(chosen))
    return meter.us / 1e3 / CANCELS


def cancel_large(server: Server, session: Session) -> float:
    """Milliseconds to cancel one of many jobs whose messages are large; the mean of all calls."""
    ids = [str(uuid.uuid4()) for _ in range(LARGE)]
    for number, job_id in enumerate(ids):
        filling.send(session, job_id, 5, {"number": number, "pad": "x" * int(0.7 * MIB)})
    return cancel(server, session, ids)


def look_at_queues(server: Server, session: Session) -> dict[str, float]:
    """Milliseconds for what `agewell queues`, `agewell top` and Flower ask; kilobytes they read."""
    context = Context(session.settings, session.client, session.blobs, session.ledger)
    lengths = Lengths(context, by_level=True)
    asks = {
        "agewell queues": lambda: queue_status(session.client, session.settings, session.now()),
        "agewell top": lambda: (
            queue_status(session.client, session.settings, session.now()),
            started(session.client),
        ),
        "Flower": lambda: asyncio.run(lengths.queues([each.value for each in Queue])),
    }
    found = {}
    for name, ask in asks.items():
        ask()
        with Meter(server) as meter:
            for _ in range(LOOKS):
                ask()
        found[name] = meter.us / 1e3 / LOOKS
    return found


def wake(server: Server, session: Session) -> float:
    """Milliseconds for one message to an empty queue on which many workers wait."""
    with ExitStack() as stack:
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
            begun = time.perf_counter()
            with Meter(server) as idle:
                time.sleep(QUIET_S)
            idle_rate = idle.us / (time.perf_counter() - begun)
            begun = time.perf_counter()
            with Meter(server) as meter:
                filling.send(session, str(uuid.uuid4()), 5)
                _settle(poller, by_socket)
            used_us.append(meter.us - idle_rate * (time.perf_counter() - begun))
            taken = [got for got, _ in workers if got]
            assert len(taken) == 1
            taken[0].pop().ack()
            _settle(poller, by_socket)
    return sum(used_us) / WAKES / 1e3


def _settle(poller: select.poll, by_socket: dict[int, Any]) -> None:
    """Let every worker react to what has come, until nothing comes."""
    while ready := poller.poll(1e3 * QUIET_S):
        for number, _ in ready:
            look(by_socket[number][1], 0.0001)


def expire(server: Server, session: Session, jobs: int) -> float:
    """Jobs expired per second, all of one deadline, by the clock."""
    app = worker_app(session)
    filling.fill(session, jobs, deadline_at=session.now() - 1)
    begun = time.perf_counter()
    while lost.expire_jobs(app, session.client):
        pass
    return jobs / (time.perf_counter() - begun)
