"""Predicted waits, held to queueing theory, to arithmetic, and to integration in small steps."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agewell.shared.protocol.waits import Inflow, Rival, first_free_s, wait_s


def test_work_ahead_is_divided_by_the_slots():
    assert wait_s(4, 20.0) == pytest.approx(5.0)
    assert wait_s(4, 0.0) == 0.0


def test_urgent_jobs_that_come_delay_as_in_cobham_s_formula():
    """A job of the second class waits for the work ahead divided by 1 - load of the first."""
    assert wait_s(1, 3.0, [Inflow(0.4, math.inf)]) == pytest.approx(3.0 / (1 - 0.4))
    # Only those within the head start count: 2 s of them are 0.8 s of work.
    assert wait_s(1, 3.0, [Inflow(0.4, 2.0)]) == pytest.approx(3.8)


def test_urgent_jobs_that_fill_all_slots_hold_a_job_back_until_its_head_start_is_over():
    assert wait_s(2, 1.0, [Inflow(3.0, 100.0)]) == pytest.approx(150.5)
    assert wait_s(2, 1.0, [Inflow(3.0, 1e10)]) is None


def test_a_tenant_waits_for_its_part_of_the_slots():
    """Ten seconds of own work, and two others with much to do: a third of the slots is its part."""
    assert wait_s(2, 10.0, [Rival(10.0, 1e6)] * 2) == pytest.approx(15.0)
    # One of them soon has nothing left.
    assert wait_s(2, 10.0, [Rival(10.0, 1e6), Rival(10.0, 4.0)]) == pytest.approx(12.0)


def test_a_rival_gets_no_more_than_its_limits_allow():
    assert wait_s(4, 8.0, [Rival(math.inf, 1e6, limit=1.0)]) == pytest.approx(8 / 3)
    assert wait_s(4, 8.0, [Rival(math.inf, 1e6, limit=1.0, first_s=1.0)]) == pytest.approx(3.0)


works = st.lists(
    st.one_of(
        st.builds(Inflow, st.floats(0, 3), st.floats(0, 50)),
        st.builds(Rival, st.floats(0, 50), st.floats(0, 50), st.floats(0, 3)),
        st.builds(
            Rival, st.floats(0, 50), st.floats(0, 50), st.floats(0, 3), st.floats(0, 3),
            st.floats(0, 3),
        ),
    ),
    max_size=5,
)  # fmt: skip


@given(st.integers(1, 8), st.floats(0.01, 100), works)
def test_the_wait_ends_when_the_slots_have_done_what_goes_before(slots, ahead_s, others):
    found = wait_s(slots, ahead_s, others)
    assert found is not None

    def left_s(t):
        return ahead_s + sum(each.work_s(t) for each in others) - slots * t

    assert left_s(found) == pytest.approx(0.0, abs=1e-6 * (1 + slots * found))
    for part in range(50):  # and not before
        assert left_s(part / 50 * found) >= -1e-6


def test_the_first_free_slot_of_random_run_times_is_the_mean_of_their_minimum():
    assert first_free_s(4, 0.2) == 0.2  # 0.05 s for four slots
    assert first_free_s(4, 0.2, [0.15, -0.3], variation=1.0) == 0.2


def test_the_first_free_slot_of_equal_run_times_is_that_of_the_oldest_job():
    assert first_free_s(4, 0.2, [0.15, 0.03, 0.1, 0.2], variation=0.0) == pytest.approx(0.12)
    assert first_free_s(4, 0.2, [-0.01, 0.1], variation=0.0) == 0.0
