import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.protocol.levels import LEVELS
from agewell.shared.settings import Settings

levels = st.sampled_from(LEVELS)
rates = st.floats(0.001, 10)
# Whole milliseconds, as differences of virtual time below a float's resolution decide nothing.
times = st.integers(0, 10_000_000).map(lambda ms: ms / 1000)


def weight(k, waited_s, level):
    """The formula as it is written: e^(k t - level)."""
    return math.exp(k * waited_s - level)


@given(rates, times, levels)
def test_the_weight_is_e_to_the_k_t_minus_level(k, waited_s, level):
    log_weight = AgingPolicy(k).log_weight(level, waited_s)
    if abs(k * waited_s - level) < 700:
        assert math.exp(log_weight) == pytest.approx(weight(k, waited_s, level), rel=1e-9)
    else:
        assert log_weight == pytest.approx(k * waited_s - level)


@given(rates, times, times, levels, levels, st.floats(0, 100_000))
def test_order_by_weight_is_order_by_virtual_time_at_any_moment(
    k, enqueued_a, enqueued_b, level_a, level_b, later_s
):
    policy = AgingPolicy(k)
    now = max(enqueued_a, enqueued_b) + later_s
    weight_a, weight_b = (
        k * (now - at) - level for at, level in ((enqueued_a, level_a), (enqueued_b, level_b))
    )
    first_a, first_b = (
        policy.virtual_time(at, level)
        for at, level in ((enqueued_a, level_a), (enqueued_b, level_b))
    )
    if abs(weight_a - weight_b) > 1e-9 * (1 + k * now):
        assert (weight_a > weight_b) == (first_a < first_b)


def test_a_day_of_waiting_overflows_the_weight_but_not_the_order():
    policy = AgingPolicy(0.05)
    with pytest.raises(OverflowError):
        weight(0.05, 86_400, 9)
    assert policy.log_weight(9, 86_400) == 0.05 * 86_400 - 9
    assert policy.log_weight(9, 86_400) > policy.log_weight(9, 86_399)
    assert policy.level_at(0, 9, now=86_400) == 0


def test_a_job_outweighs_a_newcomer_of_a_level_from_when_it_has_climbed_to_it():
    k = 0.05
    policy = AgingPolicy(k)
    for given_level in LEVELS:
        for waited_s in (each / 10 for each in range(2500)):
            # By the weights alone: a newcomer of a level has waited for 0 s.
            reached = [level for level in LEVELS if k * waited_s - given_level >= -level - 1e-12]
            assert policy.level_at(1000, given_level, 1000 + waited_s) == min(reached)


@pytest.mark.parametrize(
    ("waited_s", "level"),
    [(0, 5), (19.999, 5), (20, 4), (39.999, 4), (40, 3), (99.999, 1), (100, 0), (1e9, 0)],
)
def test_a_normal_job_climbs_a_level_every_twenty_seconds_at_k_a_twentieth(waited_s, level):
    assert AgingPolicy(0.05).level_at(0, 5, waited_s) == level


@given(rates, levels, times, st.floats(0, 1e6))
def test_a_job_never_sinks(k, level, enqueued_at, later_s):
    policy = AgingPolicy(k)
    sooner = policy.level_at(enqueued_at, level, enqueued_at + later_s / 2)
    assert 0 <= policy.level_at(enqueued_at, level, enqueued_at + later_s) <= sooner <= level


@given(levels, times, st.floats(0, 1e9))
def test_without_aging_levels_are_strict(level, enqueued_at, later_s):
    strict = AgingPolicy(0)
    assert strict.level_at(enqueued_at, level, enqueued_at + later_s) == level
    assert strict.log_weight(level, later_s) == -level


def test_without_aging_the_older_is_first_at_level_0_and_every_other_level_after_it():
    strict = AgingPolicy(0)
    assert strict.virtual_time(1, 0) < strict.virtual_time(2, 0) < strict.virtual_time(0, 1)


def test_a_job_of_the_future_keeps_its_level():
    assert AgingPolicy(0.05).level_at(1000, 5, now=0) == 5


def test_queue_may_have_its_own_k():
    settings = Settings(aging_k=0.05, aging_k_by_queue={"infer": 0.2})
    assert AgingPolicy(settings.k_of("infer")) == AgingPolicy(0.2)
    assert AgingPolicy(settings.k_of("cv")) == AgingPolicy(0.05)
