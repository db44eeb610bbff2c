"""The pool that is written to at once, on Celery's event loop, with real processes."""

import os
import signal
import time

import pytest
from celery.concurrency import asynpool
from kombu.asynchronous import Hub, set_event_loop

from agewell.workers.consuming.pool_writes import ATOMIC_BYTES, PromptPool

PROCESSES = 2


@pytest.fixture
def hub():
    hub = Hub()
    set_event_loop(hub)
    yield hub
    hub.close()
    set_event_loop(None)


@pytest.fixture
def pool(hub):
    pool = PromptPool(processes=PROCESSES, threads=False, synack=False, enable_timeouts=True)
    pool.register_with_event_loop(hub)
    hub.on_tick.add(pool.on_poll_start)
    run(hub, lambda: len(pool._all_inqueues) == PROCESSES)  # each says that it is up
    yield pool
    pool.terminate()
    pool.join()


def run(hub, until, timeout_s=60.0):
    deadline = time.monotonic() + timeout_s
    hub.timer.call_repeatedly(0.01, lambda: None)
    while not until():
        assert time.monotonic() < deadline
        hub.run_once()


def apply(pool, argument):
    ended = []
    pool.apply_async(len, (argument,), callback=ended.append)
    return ended


@pytest.mark.parametrize(
    "size", [1, ATOMIC_BYTES - 300, ATOMIC_BYTES - 4, ATOMIC_BYTES, ATOMIC_BYTES + 1, 300_000]
)
def test_messages_of_any_size_arrive_whole(pool, hub, size):
    ended = [apply(pool, "x" * size) for _ in range(3 * PROCESSES)]
    run(hub, lambda: all(ended))
    assert ended == [[size]] * (3 * PROCESSES)


def test_a_free_process_gets_its_job_before_the_next_turn_of_the_loop(pool, hub):
    ended = [apply(pool, "x") for _ in range(PROCESSES + 1)]
    assert len(pool._busy_workers) == PROCESSES
    assert len(pool.outbound_buffer) == 1  # no process is free for the last one
    run(hub, lambda: all(ended))
    assert pool._busy_workers == set()


def test_celerys_own_pool_waits_for_the_loop(hub):
    pool = asynpool.AsynPool(processes=1, threads=False, synack=False, enable_timeouts=True)
    try:
        pool.register_with_event_loop(hub)
        hub.on_tick.add(pool.on_poll_start)
        run(hub, lambda: len(pool._all_inqueues) == 1)
        ended = apply(pool, "x")
        assert pool._busy_workers == set()
        run(hub, lambda: ended)
    finally:
        pool.terminate()
        pool.join()


def test_a_job_written_to_a_killed_process_runs_in_another(pool, hub):
    victim = pool._pool[0]
    os.kill(victim.pid, signal.SIGKILL)
    os.waitid(os.P_PID, victim.pid, os.WEXITED | os.WNOWAIT)  # dead, and Celery has not seen it
    ended = [apply(pool, "x") for _ in range(2 * PROCESSES)]
    hub.timer.call_repeatedly(0.1, pool.maintain_pool)
    run(hub, lambda: all(ended))
    assert ended == [[1]] * (2 * PROCESSES)
