"""Numbers from outside, whoever sent them."""

import json
import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agewell.shared.protocol import envelope
from agewell.shared.protocol.envelope import count_of, level_of, time_of
from agewell.shared.settings import Settings
from agewell.workers.inference import tasks

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from([10**400, -(10**400), math.inf, -math.inf, math.nan, -1e13, "5", "9" * 5000]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip

LEVELS = [
    (None, 0),
    (0, 0),
    (5, 5),
    ("5", 5),
    (9, 9),
    (5.7, 5),
    (10, 9),
    (-1, 0),
    ("12", 9),
    ("abc", 0),
    ("-5", 0),
    (True, 0),
    (math.nan, 0),
    (math.inf, 9),
    (-math.inf, 0),
    (10**400, 9),
    (-(10**400), 0),
    ([5], 0),
    ({}, 0),
]
"""As kombu reads a priority, if that is a number: int(value), and no less than 0 or more than 9."""


@pytest.mark.parametrize(("value", "level"), LEVELS)
def test_a_level_is_read_in_one_way(value, level):
    assert level_of(value) == level


@pytest.mark.parametrize("value", [1.7e9, 0, 1_700_000_000, 253_402_300_799])
def test_a_time_between_1970_and_9999_is_kept(value):
    assert time_of(value) == value


@pytest.mark.parametrize(
    "value", [None, True, "1.7e9", -1, -1e13, 1e13, 1e308, math.nan, math.inf, 10**400, [], {}]
)
def test_bad_time_is_read_as_none(value):
    assert time_of(value) is None


@given(ANYTHING)
def test_any_value_is_read_as_a_number_in_range(value):
    assert level_of(value) in range(10)
    assert 0 <= count_of(value) <= 1_000_000
    assert time_of(value) is None or 0 <= time_of(value) <= 253_402_300_799


@given(
    st.dictionaries(st.sampled_from(["enqueued_at", "retries", "items", "group_index"]), ANYTHING)
)
def test_a_bounded_message_has_numbers_that_redis_takes(headers):
    message = {"headers": headers, "properties": {"priority": headers.get("retries")}}
    envelope.bound(message)
    for value in [*headers.values(), message["properties"]["priority"]]:
        assert not isinstance(value, bool)
        assert math.isfinite(value)


@pytest.mark.parametrize(
    "raw",
    [None, b"", b"\xff", b"1", b"[]", b"{}", b'{"headers": [], "properties": {}}', b"[" * 100_000],
)
def test_malformed_message_is_read_as_none(raw):
    assert envelope.read(raw) is None


def test_a_message_is_read():
    message = {"headers": {"enqueued_at": 5.0}, "properties": {}}
    assert envelope.enqueued_at(envelope.read(json.dumps(message))) == 5.0


@pytest.mark.parametrize("given", ["5", 5, 5.0])
def test_level_of_any_type_gives_a_place_in_a_batch(given, monkeypatch):
    monkeypatch.setattr(tasks, "context", lambda: SimpleNamespace(settings=Settings(aging_k=0.1)))
    request = SimpleNamespace(delivery_info={"priority": given}, headers={"enqueued_at": 100.0})
    rank = tasks._rank(SimpleNamespace(request=request))
    assert rank == (150.0, 0.0)  # enqueued_at + level / k
