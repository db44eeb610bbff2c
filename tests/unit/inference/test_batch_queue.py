"""Which items share a pass, and when: by a fake clock, without a thread."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agewell.workers.inference.batching.queue import BatchLimits, BatchQueue, Request

LIMITS = BatchLimits(max_size=4, max_pixels=400, max_wait_s=0.005)
MODEL, OTHER = SimpleNamespace(), SimpleNamespace()


def item(level=5, *, model=MODEL, shape=(2,), dtype=np.float32, pixels=1, taps=()) -> Request:
    arrays = {"image": np.zeros(shape, dtype)}
    return Request(model, arrays, pixels=pixels, rank=(level, 0.0), taps=taps)


def queue_of(*items: Request, now: float = 0.0, max_bytes: int = 2**20) -> BatchQueue:
    queue = BatchQueue(max_bytes)
    for each in items:
        queue.add(each, LIMITS, now)
    return queue


def test_an_item_waits_for_company_until_its_time_is_up():
    one = item()
    queue = queue_of(one, now=1.0)
    assert queue.take(1.004, all_here=False) == []
    assert queue.next_due_at() == pytest.approx(1.005)
    assert queue.take(1.005, all_here=False) == [one]
    assert queue.next_due_at() is None


def test_a_full_batch_goes_at_once():
    items = [item() for _ in range(5)]
    queue = queue_of(*items)
    assert queue.take(0.0, all_here=False) == items[:4]
    assert queue.take(0.0, all_here=False) == []
    assert len(queue) == 1


def test_batch_goes_at_once_if_no_more_items_can_come():
    items = [item(), item()]
    assert queue_of(*items).take(0.0, all_here=True) == items


def test_a_batch_is_full_when_its_pixels_are():
    items = [item(pixels=150) for _ in range(3)]
    queue = queue_of(*items)
    assert queue.take(0.0, all_here=False) == items[:2]


def test_one_item_above_the_budget_of_pixels_goes_alone():
    large, small = item(pixels=1000), item(pixels=1)
    queue = queue_of(large, small)
    assert queue.take(0.0, all_here=False) == [large]
    assert queue.take(9.0, all_here=False) == [small]


@pytest.mark.parametrize(
    "other",
    [item(model=OTHER), item(shape=(3,)), item(dtype=np.uint8), item(taps=("layer",))],
    ids=["model", "shape", "dtype", "taps"],
)
def test_items_that_differ_share_no_batch(other):
    one = item()
    queue = queue_of(one, other)
    assert queue.take(9.0, all_here=False) == [one]
    assert queue.take(9.0, all_here=False) == [other]


def test_the_more_urgent_level_goes_first_within_a_group_and_between_groups():
    bulk = [item(9) for _ in range(5)]
    urgent, normal = item(0), item(5, model=OTHER)
    queue = queue_of(*bulk, normal, urgent)
    assert queue.take(9.0, all_here=False) == [urgent, *bulk[:3]]
    assert queue.take(9.0, all_here=False) == [normal]
    assert queue.take(9.0, all_here=False) == bulk[3:]


def test_of_one_rank_the_first_comes_first():
    items = [item(5) for _ in range(4)]
    assert queue_of(*items).take(0.0, all_here=False) == items


def test_a_full_queue_has_no_room_and_an_empty_one_always_has():
    small, large = item(shape=(8,)), item(shape=(1000,))
    queue = queue_of(max_bytes=64)
    assert queue.has_room(large)
    queue.add(small, LIMITS, 0.0)
    assert queue.has_room(small)
    assert not queue.has_room(large)
    queue.take(9.0, all_here=True)
    assert queue.has_room(large)


MODELS = [SimpleNamespace(), SimpleNamespace()]
arrivals = st.lists(
    st.tuples(
        st.integers(0, 9),  # level
        st.integers(0, 1),  # model
        st.integers(1, 2),  # shape
        st.integers(1, 500),  # pixels
        st.floats(0, 0.01),  # seconds since the last one
        st.booleans(),  # whether a batch is taken before it
    ),
    max_size=60,
)


@given(arrivals)
def test_no_item_is_lost_or_taken_twice_and_every_batch_keeps_the_limits(arrivals):
    queue, now, added, batches = BatchQueue(2**20), 0.0, [], []
    for level, model, shape, pixels, pause, take in arrivals:
        now += pause
        if take and (batch := queue.take(now, all_here=False)):
            batches.append(batch)
        added.append(item(level, model=MODELS[model], shape=(shape,), pixels=pixels))
        queue.add(added[-1], LIMITS, now)
    now += LIMITS.max_wait_s
    while batch := queue.take(now, all_here=False):
        batches.append(batch)
    assert len(queue) == 0
    taken = [each for batch in batches for each in batch]
    assert sorted(map(id, taken)) == sorted(map(id, added))
    for batch in batches:
        assert len({each.key for each in batch}) == 1
        assert len(batch) <= LIMITS.max_size
        assert len(batch) == 1 or sum(each.pixels for each in batch) <= LIMITS.max_pixels
        ranks = [each.rank for each in batch]
        assert ranks == sorted(ranks)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_batch_is_never_less_urgent_than_the_rest(levels):
    queue = queue_of(*(item(level) for level in levels))
    taken = []
    while batch := queue.take(9.0, all_here=False):
        taken += [each.rank[0] for each in batch]
    assert taken == sorted(levels)
