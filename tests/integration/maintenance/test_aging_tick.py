"""The beat task: which k is in force, how stale places are found, and the record of a tick."""

import math
import random

import pytest

from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.protocol.levels import LEVELS
from agewell.shared.protocol.tasks import Queue
from agewell.shared.queue.aging_k import read_aging, return_to_settings, set_k
from agewell.shared.queue.status import queue_status
from agewell.shared.redis import keys
from agewell.workers.maintenance import aging
from agewell.workers.maintenance.aging import JOBS_A_SAMPLE, note_tick, reprioritise, rescore
from tests.support.ordering import QUEUE, START, Scripts

K = 0.05  # the settings' default: a level is 20 s


@pytest.fixture
def scripts(client):
    return Scripts(client)


def climbs(client, settings, now, queue=QUEUE):
    [found] = [each for each in queue_status(client, settings, now) if each.queue == queue]
    return [level.climbs_per_minute for level in found.levels]


def after_a_second(count):
    """The noted rate of climbs a second after nothing: a mean over a minute that forgets."""
    return (1 - math.exp(-1 / 60)) * 60 * count


def test_climbs_are_counted_by_the_level_that_jobs_leave(client, settings, scripts):
    reprioritise(client, settings, START)
    number = 0
    for level, jobs in {9: 3, 5: 2, 1: 1, 0: 4}.items():
        for _ in range(jobs):
            number += 1
            scripts.publish(str(number), level, START, enqueued_at=START - 19.5)
    reprioritise(client, settings, START + 1)
    expected = [after_a_second(count) for count in (0, 1, 0, 0, 0, 2, 0, 0, 0, 3)]
    assert climbs(client, settings, START + 1) == pytest.approx(expected)
    assert client.hget(keys.aging(QUEUE), "moved") == b"6"


def test_job_is_counted_once_a_level(client, settings, scripts):
    scripts.publish("a", 9, START, enqueued_at=START)
    for second in range(0, 200):
        reprioritise(client, settings, START + second)
    assert client.hget(keys.aging(QUEUE), "moved") == b"9"


def test_newcomers_have_not_climbed(client, settings, scripts):
    reprioritise(client, settings, START)
    for number in range(200):
        scripts.publish(str(number), number % 10, START + 0.5, enqueued_at=START + 0.5)
    reprioritise(client, settings, START + 1)
    assert client.hget(keys.aging(QUEUE), "moved") == b"0"


def test_climbs_among_many_newcomers_are_estimated_from_a_sample(client, settings, scripts):
    """2,000 jobs climb to level 4 and 6,000 come to it. 16 of them tell, within 3 deviations."""
    choose = random.Random(1)
    reprioritise(client, settings, START)
    for number in range(8000):
        climbed = number % 4 == 0
        at = START + choose.random() - (20 if climbed else 0)
        scripts.publish(str(number), 5 if climbed else 4, START + 1, enqueued_at=at)
    reprioritise(client, settings, START + 1)
    deviation = 8000 * math.sqrt(0.25 * 0.75 / JOBS_A_SAMPLE)
    assert int(client.hget(keys.aging(QUEUE), "moved")) == pytest.approx(2000, abs=3 * deviation)


@pytest.mark.parametrize("newcomers", [0, JOBS_A_SAMPLE // 2])
def test_few_climbs_are_counted_exactly(client, settings, scripts, newcomers):
    reprioritise(client, settings, START)
    for number in range(JOBS_A_SAMPLE - newcomers):
        scripts.publish(str(number), 5, START, enqueued_at=START + number / 100 - 20)
    for number in range(newcomers):
        scripts.publish(f"new {number}", 4, START, enqueued_at=START + number / 100)
    reprioritise(client, settings, START + 1)
    moved = int(client.hget(keys.aging(QUEUE), "moved"))
    assert abs(moved - (JOBS_A_SAMPLE - newcomers)) <= 1  # one is just on the edge at the start


def test_nothing_climbs_without_aging(client, settings, scripts):
    settings = settings.model_copy(update={"aging_k": 0.0})
    reprioritise(client, settings, START)
    scripts.publish("a", 9, START, 0.0, enqueued_at=0.0)
    reprioritise(client, settings, START + 1000)
    assert client.hget(keys.aging(QUEUE), "moved") == b"0"


def test_first_tick_counts_no_climbs(client, settings, scripts):
    scripts.publish("a", 9, START, enqueued_at=START - 1000)
    reprioritise(client, settings, START)
    assert client.hget(keys.aging(QUEUE), "moved") == b"0"


def test_rate_of_climbs_is_forgotten(client, settings, scripts):
    reprioritise(client, settings, START)
    scripts.publish("a", 5, START, enqueued_at=START - 19.5)
    reprioritise(client, settings, START + 1)
    first = climbs(client, settings, START + 1)[5]
    reprioritise(client, settings, START + 16)
    assert climbs(client, settings, START + 16)[5] == pytest.approx(first * math.exp(-15 / 60))


def test_tick_notes_that_it_ran(client, settings):
    reprioritise(client, settings, START)
    for queue in Queue:
        notes = client.hgetall(keys.aging(queue.value))
        assert float(notes[b"last_run_at"]) == START
        assert 0 < float(notes[b"longest_call_s"]) < 1
        assert int(notes[b"calls"]) >= 1
    [cv, *_] = queue_status(client, settings, START + 3)
    assert cv.last_sweep_s_ago == 3


def test_clock_that_went_back_does_no_harm(client, settings, scripts):
    scripts.publish("a", 5, START, enqueued_at=START - 1000)
    reprioritise(client, settings, START)
    reprioritise(client, settings, START - 500)
    assert all(math.isfinite(rate) for rate in climbs(client, settings, START))


def test_each_queue_ages_by_its_own_k(client, settings):
    settings = settings.model_copy(update={"aging_k_by_queue": {"infer": 0.1}})
    reprioritise(client, settings, START)
    assert {queue: read_aging(client, settings, queue).k_per_s for queue in ("cv", "infer")} == {
        "cv": 0.05,
        "infer": 0.1,
    }
    for queue in ("cv", "infer"):
        Scripts(client, queue=queue).publish(queue, 5, START, enqueued_at=START - 9.5)
    reprioritise(client, settings, START + 1)
    assert client.hget(keys.aging("cv"), "moved") == b"0"
    assert client.hget(keys.aging("infer"), "moved") == b"1"


def test_k_of_changed_settings_reorders_jobs_that_wait(client, settings, scripts):
    reprioritise(client, settings, START)
    scripts.publish("old bulk", 9, START, enqueued_at=START - 150)
    scripts.publish("new urgent", 0, START, enqueued_at=START)
    assert scripts.waiting() == ["new urgent", "old bulk"]
    reprioritise(client, settings.model_copy(update={"aging_k": 0.1}), START + 1)
    assert scripts.waiting() == ["old bulk", "new urgent"]


def test_k_of_an_operator_stays_until_it_is_reset(client, settings):
    reprioritise(client, settings, START)
    set_k(client, QUEUE, 0.5, START + 1, by_operator=True)
    reprioritise(client, settings, START + 2)
    law = read_aging(client, settings, QUEUE)
    assert (law.k_per_s, law.set_by_operator, law.since) == (0.5, True, START + 1)
    return_to_settings(client, QUEUE)
    reprioritise(client, settings, START + 3)
    law = read_aging(client, settings, QUEUE)
    assert (law.k_per_s, law.set_by_operator, law.since) == (K, False, START + 3)


def test_k_that_is_no_other_changes_nothing(client, settings):
    reprioritise(client, settings, START)
    for second in range(1, 4):
        reprioritise(client, settings, START + second)
    assert read_aging(client, settings, QUEUE).since == START


def test_tick_admits_plain_messages_and_due_jobs(client, settings, scripts):
    scripts.push("plain", 5)
    scripts.publish("due", 0, START, eta="2023-11-14T22:13:30+00:00")  # START + 10 s
    reprioritise(client, settings, START + 9)
    assert scripts.waiting() == ["plain"]
    reprioritise(client, settings, START + 11)
    assert scripts.waiting() == ["due", "plain"]


def test_change_of_k_is_done_in_steps_while_jobs_come_and_go(client, scripts):
    """Then the order is exact: of those that waited, those that came, and those that came back."""
    choose = random.Random(1)
    since = {}
    for number in range(3000):
        job_id, level = str(number), choose.choice(LEVELS)
        since[job_id] = (START - choose.random() * 500, level, number)
        scripts.publish(job_id, level, START, K, enqueued_at=since[job_id][0])
    set_k(client, QUEUE, 0.37, START, by_operator=True)
    steps, taken = 0, []
    while not rescore(client, QUEUE, K, START):
        steps += 1
        job_id, tag, _ = scripts.take(START)
        if steps % 2:
            scripts.give_back(tag)
        else:
            taken.append(job_id)
        number = 3000 + steps
        since[str(number)] = (START - choose.random() * 500, choose.choice(LEVELS), number)
        scripts.publish(
            str(number), since[str(number)][1], START, K, enqueued_at=since[str(number)][0]
        )
        if steps == 10:
            law = read_aging(client, None, QUEUE)
            assert 0 < law.rescored < law.waiting
    assert steps > 20
    for job_id in taken:
        del since[job_id]
    policy = AgingPolicy(0.37)
    due = {
        job: (policy.virtual_time(at, level), number) for job, (at, level, number) in since.items()
    }
    assert scripts.waiting() == sorted(since, key=due.__getitem__)


def test_change_during_a_change_starts_over(client, scripts):
    for number in range(1000):
        scripts.publish(str(number), number % 10, START, K, enqueued_at=START - number % 97)
    set_k(client, QUEUE, 0.37, START, by_operator=True)
    for _ in range(5):
        rescore(client, QUEUE, K, START)
    scripts.change_k(1.0, START)
    due = {str(number): (number % 10 - number % 97, number) for number in range(1000)}
    assert scripts.waiting() == sorted(due, key=due.__getitem__)


def test_tick_ends_in_time_though_much_is_left(client, settings, scripts, monkeypatch):
    monkeypatch.setattr(aging, "RESCORE_S", 0.0)
    for number in range(1000):
        scripts.publish(str(number), 5, START, K, enqueued_at=START)
    reprioritise(client, settings, START)
    assert 0 < read_aging(client, settings, QUEUE).rescored < 1000
    ticks = 1
    while read_aging(client, settings, QUEUE).rescored is not None:
        reprioritise(client, settings, START + ticks)
        ticks += 1
    assert ticks > 5


def test_tick_runs_on_a_full_redis(client, settings, scripts):
    scripts.publish("a", 5, START, enqueued_at=START - 150)
    reprioritise(client, settings, START)
    client.config_set("maxmemory", 1)
    try:
        set_k(client, QUEUE, 1.0, START, by_operator=True)
        assert rescore(client, QUEUE, K, START)
        note_tick(client, QUEUE, K, START + 7, 1, 0.001)
    finally:
        client.config_set("maxmemory", 0)
    assert read_aging(client, settings, QUEUE).last_tick_at == START + 7
    [(_, place)] = client.zrange(keys.order(QUEUE), 0, -1, withscores=True)
    assert place == START - 145
