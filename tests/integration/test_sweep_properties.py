"""Aging against an oracle that sorts: random scripts of arrivals, pops and returns on a real Redis.

The clock is the script's. Jobs arrive, are taken as kombu takes them (the lowest level first, from
the right), come back as kombu returns them (to the head of their given level) or as Celery
publishes them again (at its tail, with the time of the first). Foreign clients' come without a
time, and age from the one that a sweep gives them. A sweep runs at least every T.
"""

import itertools
import json
import random
import threading
import time

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workers.sweep import sweep

from shared import keys
from shared.aging import AgingPolicy
from shared.names import LEVELS
from workers import sweep as sweep_module

# Hundreds of examples each: on the oldest server and on the newest.
pytestmark = pytest.mark.parametrize("redis_server", ["embedded", "valkey"], indirect=True)

QUEUE = "cv"
START = 1_700_000_000.0
LISTS = [keys.waiting_list(QUEUE, level) for level in LEVELS]
EPSILON_S = 1e-5
"""Unix times in seconds, as doubles, are exact to 2.4e-7; here sums of two or three of them."""


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """How far a call comes in its time is the machine's matter; what it does there is ours."""
    monkeypatch.setattr(sweep_module, "CALL_S", 60.0)


def encode(name, level, enqueued_at, **headers):
    given_headers = {"id": name, "retries": 0, "parent_id": None, **headers}
    if enqueued_at is not None:
        given_headers["enqueued_at"] = enqueued_at
    return json.dumps(
        {
            "body": "W10=",
            "headers": given_headers,
            "properties": {"priority": level, "delivery_tag": name},
        }
    )


class Model:
    """A queue under a script, and the virtual times of what waits in it."""

    def __init__(self, client, k_per_s, interval_s):
        client.flushall()
        self.client = client
        self.policy = AgingPolicy(k_per_s)
        self.interval_s = interval_s
        self.now = self.swept_at = START
        self.names = itertools.count()
        self.waiting = {}  # name -> virtual time
        self.unsettled = set()  # came back since the last sweep: not yet in their places
        self.unstamped = set()  # foreign, and no sweep has seen them
        self.taken = []
        self.worst_s = 0.0

    def arrive(self, level):
        self._push(str(next(self.names)), level, self.now, "LPUSH")

    def arrive_foreign(self, level, parent_id):
        name = str(next(self.names))
        self._push(name, level, None, "LPUSH", parent_id=parent_id)
        self.unsettled.add(name)
        self.unstamped.add(name)

    def take(self):
        for each in LISTS:
            raw = self.client.rpop(each)
            if raw is not None:
                self._check_and_take(json.loads(raw))
                return
        assert not self.waiting

    def _check_and_take(self, message):
        name, at = message["headers"]["id"], message["headers"].get("enqueued_at")
        level = message["properties"]["priority"]
        v = self.waiting.pop(name)
        if at is None:
            self.unsettled.remove(name)
            self.unstamped.remove(name)
            return
        settled = [v for each, v in self.waiting.items() if each not in self.unsettled]
        if name not in self.unsettled and settled:
            self.worst_s = max(self.worst_s, v - min(settled))
        self.unsettled.discard(name)
        self.taken.append((name, level, at))

    def come_back(self, how):
        """One of those taken: redelivered, retried, or followed by the next step of its chain."""
        if not self.taken:
            return
        name, level, at = self.taken.pop(0)
        if how == "redelivered":
            self._push(name, level, at, "RPUSH", redelivered=True)
        elif how == "retried":
            self._push(name, level, at, "LPUSH", retries=1)
        else:
            self._push(name, how, at, "LPUSH", parent_id="first")
        self.unsettled.add(name)

    def _push(self, name, level, at, command, **headers):
        assert name not in self.waiting
        self.waiting[name] = self.policy.virtual_time(self.now if at is None else at, level)
        raw = encode(name, level, at, **headers)
        self.client.execute_command(command, LISTS[level], raw)

    def let_pass(self, seconds):
        """Time passes, with the sweeps that fall into it."""
        until = self.now + seconds
        while self.swept_at + self.interval_s <= until:
            self.now = self.swept_at + self.interval_s
            self.sweep()
        self.now = until

    def sweep(self):
        sweep(self.client, QUEUE, self.policy, self.now, since=self.swept_at)
        self.swept_at = self.now
        self.unsettled.clear()
        self._see_stamps()

    def _see_stamps(self):
        """Foreign jobs have the time that a sweep gave them: none that is yet to come."""
        lists = LISTS if self.unstamped else ()
        for raw in itertools.chain(*(self.client.lrange(each, 0, -1) for each in lists)):
            message = json.loads(raw)
            name, at = message["headers"]["id"], message["headers"]["enqueued_at"]
            if name in self.unstamped:
                assert at <= self.now + EPSILON_S
                level = message["properties"]["priority"]
                self.waiting[name] = self.policy.virtual_time(at, level)
        self.unstamped.clear()

    def lists(self):
        return [
            [json.loads(raw)["headers"]["id"] for raw in self.client.lrange(each, 0, -1)[::-1]]
            for each in LISTS
        ]


levels = st.sampled_from(LEVELS)
steps = st.one_of(
    st.tuples(st.just("arrive"), levels),
    st.tuples(st.just("arrive"), st.sampled_from([0, 9])),
    st.tuples(st.just("take")),
    st.tuples(st.just("let_pass"), st.sampled_from([0.001, 0.13, 0.5, 0.9, 1.0, 2.7, 11.0, 60.0])),
    st.tuples(st.just("sweep")),
)
returns = st.tuples(
    st.just("come_back"), st.one_of(st.sampled_from(["redelivered", "retried"]), levels)
)
foreign = st.tuples(
    st.just("arrive_foreign"), levels, st.sampled_from([None, "a task of somebody else"])
)
rates = st.sampled_from([0.02, 0.05, 0.3, 1.0, 3.0])
intervals = st.sampled_from([0.1, 1.0, 7.0])
examples = settings(
    deadline=None,
    derandomize=True,
    max_examples=120,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def play(client, k_per_s, interval_s, script):
    model = Model(client, k_per_s, interval_s)
    for action, *arguments in script:
        getattr(model, action)(*arguments)
        assert model.worst_s < interval_s + EPSILON_S
    return model


def assert_all_are_there(model):
    """Nothing is lost and nothing is twice."""
    assert sorted(itertools.chain(*model.lists())) == sorted(model.waiting)


@examples
@given(rates, intervals, st.lists(steps, min_size=20, max_size=80))
def test_regret_is_below_the_sweep_interval(client, k_per_s, interval_s, script):
    assert_all_are_there(play(client, k_per_s, interval_s, script))


@examples
@given(rates, intervals, st.lists(st.one_of(steps, returns, foreign), min_size=20, max_size=80))
def test_regret_stays_below_it_where_jobs_come_back(client, k_per_s, interval_s, script):
    """From the first sweep that saw them: until then, what came back is no part of the measure."""
    assert_all_are_there(play(client, k_per_s, interval_s, script))


@pytest.mark.parametrize(("k_per_s", "interval_s"), [(0.05, 1.0), (0.37, 1.0), (1 / 3, 0.7)])
def test_regret_is_below_the_longest_time_between_sweeps_under_load(client, k_per_s, interval_s):
    """A hundred jobs wait, more come as fast as they leave; sweeps come now sooner, now later."""
    choose = random.Random(1)
    model = Model(client, k_per_s, interval_s)
    for event in range(3000):
        model.let_pass(choose.expovariate(10))
        if event < 100 or choose.random() < 0.5:
            model.arrive(choose.choice(LEVELS))
        else:
            model.take()
        if choose.random() < 0.02:
            model.sweep()
    assert 0 < model.worst_s < interval_s + EPSILON_S, model.worst_s


@examples
@given(rates, st.lists(st.one_of(steps, returns, foreign), min_size=20, max_size=60))
def test_after_a_sweep_each_list_is_in_the_order_of_virtual_time(client, k_per_s, script):
    model = play(client, k_per_s, 1.0, script)
    model.sweep()
    for names in model.lists():
        times = [model.waiting[name] for name in names]
        assert all(a <= b + EPSILON_S for a, b in itertools.pairwise(times))


@examples
@given(rates, st.integers(1, 9), st.lists(steps, min_size=20, max_size=60))
def test_sweeps_of_small_calls_end_as_those_of_large_ones(client, k_per_s, most, script):
    large = play(client, k_per_s, 1.0, script)
    expected = large.lists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_module, "MOVES_A_CALL", most)
        assert play(client, k_per_s, 1.0, script).lists() == expected


@examples
@given(rates, st.lists(st.tuples(levels, st.integers(0, 20)), min_size=2, max_size=60))
def test_jobs_of_the_same_virtual_time_leave_in_the_order_in_which_they_came(
    client, k_per_s, arrivals
):
    model = Model(client, k_per_s, 1.0)
    for level, ticks in arrivals:
        for _ in range(2):
            model.arrive(level)
        model.let_pass(ticks / 4)
    model.let_pass(10 / k_per_s)
    times = dict(model.waiting)
    for _ in range(len(times)):
        model.take()
    for (first, level, at), (second, *others) in itertools.pairwise(model.taken):
        if [level, at] == others:
            assert int(first) < int(second)
    assert not model.waiting


def test_nothing_is_lost_or_doubled_where_two_sweepers_and_four_takers_race(client, redis_server):
    """Arrivals too; every job is taken exactly once."""
    jobs = 4000
    taken, done = [], threading.Event()
    policy = AgingPolicy(20.0)

    def arrive():
        choose = random.Random(1)
        with redis.Redis.from_url(redis_server.url) as own:
            for n in range(jobs):
                level = choose.choice(LEVELS)
                raw = encode(str(n), level, time.time(), retries=n % 7 // 6)
                own.lpush(LISTS[level], raw)

    def keep_sweeping():
        with redis.Redis.from_url(redis_server.url) as own:
            while not done.is_set():
                now = time.time()
                sweep(own, QUEUE, policy, now, since=now - 0.01)

    def take():
        with redis.Redis.from_url(redis_server.url) as own:
            choose = random.Random(2)
            while not done.is_set():
                found = own.brpop(LISTS, timeout=0.2)
                if found is None:
                    continue
                message = json.loads(found[1])
                level = message["properties"]["priority"]
                if choose.random() < 0.1:  # rejected: to the head of its given level
                    message["headers"]["redelivered"] = True
                    own.rpush(LISTS[level], json.dumps(message))
                else:
                    taken.append(message["headers"]["id"])

    threads = [
        threading.Thread(target=each)
        for each in [arrive, keep_sweeping, keep_sweeping, take, take, take, take]
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while len(taken) < jobs and time.monotonic() < deadline:
        time.sleep(0.02)
    done.set()
    for thread in threads:
        thread.join()
    assert sorted(map(int, taken)) == list(range(jobs))
    assert client.llen(LISTS[0]) == 0
