"""The batcher's thread: items that share a pass, wait, or are pushed back."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from types import SimpleNamespace

import numpy as np
import pytest

from agewell.workers.inference.batching.batcher import Batcher
from agewell.workers.inference.batching.queue import Request

NEVER_MS = 3_600_000.0
PATIENCE_S = 60.0


def model(max_batch_size=4, max_wait_ms=NEVER_MS):
    return SimpleNamespace(
        spec=SimpleNamespace(
            max_batch_size=max_batch_size, max_pixels=10**9, max_wait_ms=max_wait_ms
        )
    )


def item(of, value=0, length=1) -> Request:
    return Request(of, {"x": np.full(length, value)}, 1, (5, 0.0))


class Passes:
    """A network that adds one, and remembers the size of each pass."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, part):
        self.sizes.append(len(part))
        return [{"y": each.arrays["x"] + 1} for each in part]


@pytest.fixture
def passes():
    return Passes()


@pytest.fixture
def batcher(passes):
    running = Batcher(run=passes).start()
    yield running
    running.close()


def test_lone_item_runs_at_once(batcher, passes):
    with batcher.working():
        future = batcher.submit(item(model(), 41))
        with batcher.waiting():
            assert future.result(PATIENCE_S)["y"] == 42
    assert passes.sizes == [1]


def test_items_wait_while_another_job_may_still_add_to_them(batcher, passes):
    one = model(max_batch_size=2)
    with batcher.working(), batcher.working():
        first = batcher.submit(item(one))
        with batcher.waiting():
            assert not first.done()
            second = batcher.submit(item(one))
            wait([first, second], PATIENCE_S)
    assert passes.sizes == [2]


def test_an_item_waits_no_longer_than_its_model_says(batcher, passes):
    with batcher.working(), batcher.working():
        first = batcher.submit(item(model(max_wait_ms=1)))
        assert first.result(PATIENCE_S)["y"] == 1
    assert passes.sizes == [1]


def test_many_threads_share_passes_and_each_gets_its_own(batcher, passes):
    one = model(max_batch_size=8, max_wait_ms=50)

    def job(number):
        with batcher.working():
            future = batcher.submit(item(one, number))
            with batcher.waiting():
                return int(future.result(PATIENCE_S)["y"][0])

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(job, range(400))) == list(range(1, 401))
    assert sum(passes.sizes) == 400
    assert max(passes.sizes) <= 8
    assert len(passes.sizes) < 400


def test_a_full_queue_pushes_back_until_there_is_room():
    gate, entered = threading.Event(), threading.Event()

    def run(part):
        entered.set()
        assert gate.wait(PATIENCE_S)
        return [{} for _ in part]

    one = model(max_batch_size=1)
    batcher = Batcher(run=run, max_queued_bytes=64).start()
    with ThreadPoolExecutor(1) as pool:

        def job():
            with batcher.working():
                return [batcher.submit(item(one, length=8)) for _ in range(4)]

        running = pool.submit(job)
        assert entered.wait(PATIENCE_S)
        assert not running.done()  # one runs, one fills the queue, the third waits
        gate.set()
        wait(running.result(PATIENCE_S), PATIENCE_S)
    batcher.close()


def test_items_that_wait_when_the_batcher_closes_still_run(passes):
    batcher = Batcher(run=passes)
    with batcher.working():
        futures = [batcher.submit(item(model(), n)) for n in range(3)]
        batcher.start().close()
        assert [int(each.result(0)["y"][0]) for each in futures] == [1, 2, 3]
        with pytest.raises(RuntimeError, match="closed"):
            batcher.submit(item(model()))
