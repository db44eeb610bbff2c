"""Many clients of one queue at once: nothing is lost, nothing runs or ends twice."""

import itertools
import random
import threading
import time

import redis

from agewell.shared.protocol.levels import LEVELS
from agewell.shared.queue.aging_k import set_k
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.workers.maintenance.aging import reprioritise
from tests.support.ordering import QUEUE, Scripts

JOBS_EACH = 600
"""Of each of the two publishers."""


class Race:
    """Threads that work on one queue until every job has ended, and their findings."""

    def __init__(self, redis_server, settings):
        self.url, self.settings = redis_server.url, settings
        self.sent = []
        self.ends = []
        self.errors = []
        self.done_publishing = []
        self.is_over = threading.Event()

    def run(self):
        parts = [self.publish, self.push, *[self.work] * 4, self.cancel, self.tick, self.change_k]
        threads = [
            threading.Thread(target=self.guarded, args=(part, seed))
            for seed, part in enumerate(parts)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not self.errors:
            if len(self.done_publishing) == 2 and len(self.ends) >= len(self.sent):
                break
            time.sleep(0.01)
        self.is_over.set()
        for thread in threads:
            thread.join()
        assert not self.errors

    def guarded(self, part, seed):
        with redis.Redis.from_url(self.url) as client:
            try:
                part(Scripts(client, f"cv@here:1.{seed}:x"), random.Random(seed))
            except Exception as error:  # noqa: BLE001 - the test fails of it
                self.errors.append(error)

    def publish(self, scripts, choose):
        for number in range(JOBS_EACH):
            job_id = f"ours-{number}"
            for _ in range(choose.choice([1, 1, 2])):  # twice, as if the first answer were late
                scripts.publish(job_id, choose.choice(LEVELS), time.time(), enqueued_at=time.time())
            self.sent.append(job_id)
        self.done_publishing.append(1)

    def push(self, scripts, choose):
        for number in range(JOBS_EACH):
            job_id = f"plain-{number}"
            scripts.push(job_id, choose.choice(LEVELS))
            self.sent.append(job_id)
        self.done_publishing.append(1)

    def work(self, scripts, choose):
        while not self.is_over.is_set():
            found = scripts.take(time.time())
            if found is None:
                continue
            job_id, tag, taken = found
            # One that was cancelled must not run: its worker ends it, if the canceller has not.
            fate = 1.0 if taken.flag else choose.random()
            if fate < 0.1:
                assert scripts.give_back(tag)
            elif fate < 0.2:
                level, retries = scripts.client.hmget(keys.job(job_id), "level", "retries")
                scripts.publish(job_id, int(level), time.time(), retries=int(retries) + 1)
                scripts.forget(tag)
            elif scripts.end(job_id, tag, State.CANCELLED if taken.flag else State.DONE):
                self.ends.append(job_id)
        scripts.take(0.0)  # acknowledges the last ones

    def cancel(self, scripts, choose):
        while not self.is_over.is_set():
            if self.sent:
                job_id = choose.choice(self.sent[-50:])
                if scripts.cancel(job_id):
                    self.ends.append(job_id)
                time.sleep(0.001)

    def tick(self, scripts, choose):
        del choose
        while not self.is_over.is_set():
            reprioritise(scripts.client, self.settings, time.time())

    def change_k(self, scripts, choose):
        while not self.is_over.is_set():
            k_per_s = choose.choice([0.0, 0.05, 1.0, 30.0])
            set_k(scripts.client, QUEUE, k_per_s, time.time(), by_operator=True)
            time.sleep(0.02)


def test_racing_ends_end_each_job_once(client, redis_server, settings):
    race = Race(redis_server, settings)
    race.run()
    assert len(race.sent) == 2 * JOBS_EACH
    assert sorted(race.ends) == sorted(race.sent)
    open_jobs = [keys.jobs(State.WAITING), keys.jobs(State.RUNNING), keys.DEADLINES, keys.REFUSED]
    assert not client.exists(*open_jobs, keys.order(QUEUE), keys.scheduled(QUEUE))
    assert not client.exists(*keys.inlets(QUEUE))
    assert not client.keys(f"{keys.RESERVED_PREFIX}*")
    records = {key.decode() for key in client.scan_iter(f"{keys.RECORD_PREFIX}*")}
    assert records == {keys.job(job_id) for job_id in race.sent}
    assert not any(client.hexists(record, "message") for record in records)


def test_jobs_taken_by_racing_workers_leave_in_order(client, redis_server):
    """No worker takes a job before a better one that waited all the time."""
    scripts = Scripts(client)
    for number in range(500):
        scripts.publish(f"{number}", number % 10, time.time(), enqueued_at=1e9 + number * 7 % 311)
    expected = scripts.waiting()
    places = {job_id: place for place, job_id in enumerate(expected)}
    taken = [[] for _ in range(4)]

    def take(own):
        with redis.Redis.from_url(redis_server.url) as connection:
            mine = Scripts(connection, f"cv@here:1.{own}:x")
            while (found := mine.take(time.time())) is not None:
                taken[own].append(places[found[0]])

    threads = [threading.Thread(target=take, args=(own,)) for own in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(itertools.chain(*taken)) == list(range(500))
    assert all(each == sorted(each) for each in taken)
