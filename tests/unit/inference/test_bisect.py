"""One bad item never fails its neighbours, and no item is settled twice."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agewell.workers.inference.batching.bisect import run_bisecting, run_pass
from agewell.workers.inference.batching.queue import Request
from agewell.workers.models.arrays import DeviceLostError, OutOfMemoryError


def items(count: int, model: object = None) -> list[Request]:
    return [Request(model, {"x": np.full(3, n)}, 1, (5, 0.0)) for n in range(count)]


def outcome(request: Request) -> object:
    assert request.future.done()
    return type(request.future.exception() or request.future.result())


@given(st.integers(1, 33), st.sets(st.integers(0, 32)))
def test_bisection_isolates_exactly_the_poisoned_items(count, poisoned):
    poisoned = {n for n in poisoned if n < count}
    passes = []

    def run(part):
        numbers = [int(each.arrays["x"][0]) for each in part]
        passes.append(numbers)
        if poisoned & set(numbers):
            raise ValueError(f"{numbers}")
        return [{"y": np.array(n)} for n in numbers]

    requests = items(count)
    run_bisecting(requests, run)
    for number, request in enumerate(requests):
        if number in poisoned:
            assert str(request.future.exception()) == f"[{number}]"
        else:
            assert int(request.future.result()["y"]) == number
    depth = math.ceil(math.log2(count)) if count > 1 else 0
    assert len(passes) <= 1 + 2 * len(poisoned) * depth


def test_lost_device_blames_no_item_and_ends_the_bisection():
    passes = []

    def run(part):
        passes.append(len(part))
        raise DeviceLostError("an illegal memory access was encountered")

    requests = items(8)
    with pytest.raises(DeviceLostError):
        run_bisecting(requests, run)
    assert passes == [8]
    assert not any(each.future.done() for each in requests)


@given(st.integers(1, 40), st.integers(0, 16))
def test_a_batch_without_memory_is_halved_and_only_a_single_item_fails(count, fits):
    sizes = []

    def run(part):
        if len(part) > fits:
            raise OutOfMemoryError("no memory")
        sizes.append(len(part))
        return [{} for _ in part]

    requests = items(count)
    run_bisecting(requests, run)
    if fits == 0:
        assert {outcome(each) for each in requests} == {OutOfMemoryError}
    else:
        assert {outcome(each) for each in requests} == {dict}
        assert sum(sizes) == count


def test_a_cancelled_item_is_left_out():
    requests = items(3)
    requests[1].future.cancel()
    run_bisecting(requests, lambda part: [{} for _ in part])
    assert [each.future.cancelled() for each in requests] == [False, True, False]
    settled = items(1)
    settled[0].future.cancel()
    run_bisecting(settled, lambda part: pytest.fail("nothing is left to run"))


def model(forward, bucket=lambda count: count):
    return SimpleNamespace(spec=SimpleNamespace(id="fake/1", bucket=bucket), forward=forward)


def test_a_pass_gives_each_item_its_own_row():
    doubled = model(lambda batch, taps: {"y": batch["x"] * 2})
    found = run_pass(items(3, doubled))
    assert [list(each["y"]) for each in found] == [[0, 0, 0], [2, 2, 2], [4, 4, 4]]


def test_batch_is_padded_to_a_bucket_and_the_padding_is_dropped():
    seen = []

    def forward(batch, taps):
        seen.append(batch["x"].shape)
        return {"y": batch["x"]}

    found = run_pass(items(3, model(forward, bucket=lambda count: 8)))
    assert seen == [(8, 3)]
    assert [int(each["y"][0]) for each in found] == [0, 1, 2]


@pytest.mark.parametrize("rows", [2, 4, None])
def test_outputs_that_are_not_one_for_each_item_are_refused(rows):
    wrong = model(lambda batch, taps: {"y": np.zeros(()) if rows is None else np.zeros((rows, 1))})
    with pytest.raises(ValueError, match="for a batch of 3"):
        run_pass(items(3, wrong))
