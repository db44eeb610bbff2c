"""A queue driven through its scripts by a test's clock, and the order that it should have."""

import itertools
import json
from dataclasses import dataclass
from fractions import Fraction

import redis

from agewell.shared.queue.admit import admit
from agewell.shared.queue.aging_k import set_k
from agewell.shared.queue.end_many import end_many
from agewell.shared.queue.ledger import End, Ledger, Lifetimes
from agewell.shared.queue.order import SEQUENCE_DIGITS
from agewell.shared.queue.publish import PUBLISH, publish_command
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.clock import RedisClock
from agewell.shared.settings import MAX_MESSAGE_BYTES
from agewell.workers.consuming.take import TAKE, Taken, prepare_take, take_arguments
from agewell.workers.consuming.unacked import give_back
from agewell.workers.maintenance.aging import rescore

QUEUE = "cv"
START = 1_700_000_000.0
LIFETIMES = Lifetimes(1000, 1000)


def message(job_id, level, *, task="cv.hsv", **headers):
    """A message as kombu writes it. A header that is None is left out."""
    given = {"lang": "py", "task": task, "id": job_id, "retries": 0, **headers}
    return {
        "body": "W1tdLCB7fV0=",
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {name: value for name, value in given.items() if value is not None},
        "properties": {"priority": level, "body_encoding": "base64", "delivery_tag": job_id},
    }


class _Clock(RedisClock):
    """The time of a test: Redis's, until one has been given."""

    set_to: float | None = None

    def now(self, client):
        return super().now(client) if self.set_to is None else self.set_to


class Scripts:
    """One client of a queue: it publishes, takes and ends jobs."""

    def __init__(self, client: redis.Redis, name: str = "cv@here:1.1:x", queue: str = QUEUE):
        self.client, self.queue = client, queue
        self.reserved = keys.reserved(name)
        self._tags, self._name = itertools.count(), name
        self._ended: list[str] = []
        self._clock = _Clock()
        self.ledger = Ledger(client, LIFETIMES, self._clock)

    def publish(self, job_id, level, now, k_per_s=0.05, **headers):
        """As our own app does: "entered", "known" or "ended"."""
        sent = message(job_id, level, **headers)
        command = publish_command(self.queue, sent, json.dumps(sent), now, k_per_s)
        return PUBLISH.run(self.client, command).decode()

    def push(self, job_id, level, **headers):
        """As a plain Celery client does."""
        self.push_all([job_id], level, **headers)

    def push_all(self, job_ids, level, **headers):
        """The same, many at once."""
        messages = [json.dumps(message(job_id, level, **headers)) for job_id in job_ids]
        self.client.lpush(keys.inlet(self.queue, level), *messages)

    def take(self, now, k_per_s=0.05):
        """Take the next job. Returns its id, tag and delivery, or None if nothing waits."""
        self._clock.set_to = now
        tag = f"{next(self._tags):06d}-{self._name}"
        ended, self._ended = self._ended, []
        aging_k = {self.queue: k_per_s}
        prepared = prepare_take([self.queue], "", self.reserved, MAX_MESSAGE_BYTES, aging_k)
        command = prepared.command(*take_arguments(tag, now, ended))
        answer = TAKE.run(self.client, command)
        return None if answer is None else (answer[4].decode(), tag, Taken.of(answer, ""))

    def end(self, job_id, tag, state=State.DONE, now=None):
        """End a job that was taken, at the time of the last take or now.

        The next take acknowledges it.
        """
        self._ended.append(tag)
        self._clock.set_to = now or self._clock.set_to
        return self.ledger.end(End(job_id, state))

    def forget(self, tag):
        """Acknowledge a delivery whose job goes on by another message."""
        self._ended.append(tag)

    def cancel(self, job_id):
        return self.ledger.end(End(job_id, State.CANCELLED, only_from=State.WAITING))

    def give_back(self, tag, k_per_s=0.05, now=None, lost_max=0):
        aging_k = {self.queue: k_per_s}
        return give_back(self.client, self.reserved, tag, aging_k, lost_max=lost_max, now=now)

    def expire(self, now):
        """End all jobs that are late, in as many bounded calls as it takes."""
        while end_many(self.client, keys.DEADLINES, State.EXPIRED, now, LIFETIMES).ended:
            pass

    def admit(self, now, k_per_s=0.05):
        while admit(self.client, {self.queue: k_per_s}, now, MAX_MESSAGE_BYTES):
            pass

    def change_k(self, k_per_s, now):
        """Set k as an operator does. Waiting jobs have their new places when this returns."""
        set_k(self.client, self.queue, k_per_s, now, by_operator=True)
        while not rescore(self.client, self.queue, 0.05, START):
            pass

    def waiting(self):
        """Ids in the order in which they are due."""
        return ids_of(self.client.zrange(keys.order(self.queue), 0, -1))

    def virtual_times(self):
        """In the same order."""
        return [at for _, at in self.client.zrange(keys.order(self.queue), 0, -1, withscores=True)]

    def scheduled(self):
        return ids_of(self.client.zrange(keys.scheduled(self.queue), 0, -1))


def ids_of(places):
    return [place[SEQUENCE_DIGITS:].decode() for place in places]


@dataclass
class Job:
    """A job as the oracle knows it. Times are exact."""

    job_id: str
    level: int
    since: Fraction
    number: int = 0
    due_at: Fraction | None = None
    deadline_at: Fraction | None = None
    retries: int = 0
    has_started: bool = False
    tag: str = ""


def in_order(jobs, k):
    """Sort jobs by w = e^(k t - level), the heaviest first, then by who came first.

    ln w = k (now - since) - level: at any time that is the order of level - k since. With k = 0
    levels are strict, and a level is served in the order of time.
    """
    if k == 0:
        return sorted(jobs, key=lambda job: (job.level, job.since, job.number))
    return sorted(jobs, key=lambda job: (job.level + k * job.since, job.number))


def virtual_time(job, k):
    """From this time on a job goes before newcomers of level 0. Strict levels are 1e10 s apart."""
    return job.since + (job.level / k if k else job.level * 10**10)
