"""Jobs that run on a real queue by a simulated clock: its scripts decide which one is next.

Each job's wait is predicted when it is sent. So predictions can be compared with thousands of waits
in seconds, and the same seed gives the same jobs.
"""

import heapq
import itertools
import random
from dataclasses import dataclass

from agewell.producer.simulate.jobs import Exponential, ServiceTime
from agewell.shared.queue.forecast.estimate import estimate
from agewell.shared.queue.forecast.facts import Ask
from agewell.shared.queue.ledger import End
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.settings import MAX_MESSAGE_BYTES, Settings
from agewell.workers.consuming.take import TAKE, prepare_take, take_arguments
from agewell.workers.maintenance.load import measure_load
from tests.support.ordering import QUEUE, START, Scripts

TICK_S = 1.0
MEAN_S = 0.2
RANDOM = Exponential(MEAN_S)


@dataclass(frozen=True)
class Stream:
    """Poisson arrivals of one kind of job."""

    rate: float
    level: int = 5
    tenant: str | None = None
    service: ServiceTime = RANDOM
    items: int = 1
    op: str = "hsv"


@dataclass(frozen=True)
class Wait:
    """A job's predicted and simulated wait, in seconds."""

    stream: Stream
    sent_at: float
    predicted_s: float | None
    waited_s: float


class SimulatedLoad:
    """A queue, workers with some slots, and upkeep that measures the load once a second."""

    def __init__(self, client, slots, k_per_s=0.5, seed=1):
        self.client, self.slots, self.k_per_s = client, slots, k_per_s
        self.scripts = Scripts(client, "cv@sim:1:x")
        self.settings = Settings(redis_url="redis://nowhere", aging_k=k_per_s)
        self.rng, self.numbers = random.Random(seed), itertools.count(1)
        self.running = []  # a heap of (ends at, job id)
        self.sent, self.waits = {}, []
        self.tick_at = self.now = START
        self.workers_ready(slots)

    def workers_ready(self, slots):
        """Let a worker's heartbeat say how many jobs it runs at a time."""
        client, run = self.client, "cv@sim:1:x"
        client.sadd(keys.WORKER_IDS, run)
        client.set(keys.worker_alive(run), f"{slots} {QUEUE}")
        self.slots = slots

    def estimate(self, level=5, tenant=None):
        return estimate(self.client, self.settings, QUEUE, [Ask(level, tenant)], self.now)[0]

    def send(self, stream, predict=True):
        job_id = f"job{next(self.numbers)}"
        predicted_s = self.estimate(stream.level, stream.tenant).wait_s if predict else None
        self.scripts.publish(
            job_id, stream.level, self.now, self.k_per_s, enqueued_at=self.now,
            tenant=stream.tenant, items=stream.items, task=f"cv.{stream.op}",
        )  # fmt: skip
        self.sent[job_id] = (stream, self.now, predicted_s)
        self._start_jobs()
        return job_id

    def run(self, streams, seconds, predict_after_s=0.0):
        """Send the jobs of some streams for a while. Returns the waits that were predicted.

        Waits that have not ended by then are left out.
        """
        arrivals = [
            (self.now + self.rng.expovariate(each.rate), n, each) for n, each in enumerate(streams)
        ]
        heapq.heapify(arrivals)
        began = self.now
        while arrivals[0][0] < began + seconds:
            at, number, stream = heapq.heappop(arrivals)
            self.run_until(at)
            self.send(stream, predict=at >= began + predict_after_s)
            heapq.heappush(arrivals, (at + self.rng.expovariate(stream.rate), number, stream))
        self.run_until(began + seconds)
        return self.waits

    def run_until(self, time):
        """Let jobs end and others start, up to a time."""
        while True:
            ends_at = self.running[0][0] if self.running else time + 1
            if min(ends_at, self.tick_at) > time:
                break
            if self.tick_at <= ends_at:
                self.now = self.tick_at
                measure_load(self.client, self.now)
                self.tick_at += TICK_S
                self._start_jobs()  # of tenants that have waited for their rates
            else:
                self.now, job_id = heapq.heappop(self.running)
                self._take(ended=job_id)
                self._start_jobs()
        self.now = time

    def _start_jobs(self):
        while len(self.running) < self.slots and self._take():
            pass

    def _take(self, ended=None):
        ends = [self.scripts.ledger.end_arguments(End(ended, State.DONE))] if ended else []
        aging_k = {QUEUE: self.k_per_s}
        prepared = prepare_take([QUEUE], "", self.scripts.reserved, MAX_MESSAGE_BYTES, aging_k)
        tag = f"{next(self.numbers):09d}"
        answer = TAKE.run(self.client, prepared.command(*take_arguments(tag, self.now, (), ends)))
        if answer is None:
            return False
        job_id = answer[4].decode()
        stream, sent_at, predicted_s = self.sent.pop(job_id)
        if predicted_s is not None:
            self.waits.append(Wait(stream, sent_at, predicted_s, self.now - sent_at))
        heapq.heappush(self.running, (self.now + stream.service.draw(self.rng), job_id))
        return True
