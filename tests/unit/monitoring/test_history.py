"""The samples of a window: bounded, complete, and true to the peaks."""

import itertools
import random

import pytest

from agewell.workers.monitoring.dashboard.history import (
    SAMPLE_EVERY_S,
    STEPS,
    WINDOWS_S,
    Sample,
    Window,
)

START = 1_700_000_000.0
SEEDED = random.Random(7)


def samples(count):
    """Samples with the jitter of a timer, of two queues with bursts."""
    made, at = [], START
    for _ in range(count):
        waiting = {
            queue: [SEEDED.randrange(1000) if SEEDED.random() < 0.05 else 0 for _ in range(10)]
            for queue in ("cv", "infer")
        }
        made.append(Sample(at, waiting))
        at += SAMPLE_EVERY_S + SEEDED.uniform(-0.1, 0.1)
    return made


@pytest.mark.parametrize("window_s", WINDOWS_S)
def test_a_window_keeps_its_time_in_a_bounded_number_of_steps(window_s):
    window, given = Window(window_s), samples(round(1.2 * window_s / SAMPLE_EVERY_S))
    for each in given:
        window.add(each)
    kept = window.after(0)
    assert len(kept) == STEPS + 1
    span_s = given[-1].at - kept[0].at
    assert 0.95 * window_s < span_s < 1.1 * window_s


@pytest.mark.parametrize("window_s", WINDOWS_S)
def test_each_step_shows_the_sample_of_each_queue_in_which_most_jobs_waited(window_s):
    window, given = Window(window_s), samples(1000)
    for each in given:
        window.add(each)
    kept = [*window.after(0), Sample(given[-1].at + 1, {})]
    for step, following in itertools.pairwise(kept):
        inside = [each for each in given if step.at <= each.at < following.at]
        assert inside[0].at == step.at
        for queue in ("cv", "infer"):
            assert step.waiting[queue] in [each.waiting[queue] for each in inside]
            assert sum(step.waiting[queue]) == max(sum(each.waiting[queue]) for each in inside)


@pytest.mark.parametrize("window_s", WINDOWS_S)
def test_a_page_that_asks_for_what_is_new_has_all_samples(window_s):
    window, seen, ended_at = Window(window_s), [], 0.0
    for number, each in enumerate(samples(290)):
        window.add(each)
        if number % 7 == 0:
            seen = [each for each in seen if each.at <= ended_at] + window.after(ended_at)
            ended_at = window.ended_at
            assert seen == window.after(0)


def test_a_queue_that_only_one_sample_has_is_shown():
    window = Window(3600)
    window.add(Sample(START, {"cv": [1, 2]}))
    window.add(Sample(START + 2, {"cv": [0, 1], "new": [4, 0]}))
    assert window.after(0) == [Sample(START, {"cv": [1, 2], "new": [4, 0]})]
