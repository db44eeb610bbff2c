"""Simulates one queue and its workers, event by event.

The job with the smallest virtual time starts first, and no job is interrupted. `AgingPolicy`
computes that time, as it does for the real queue.
"""

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from agewell.producer.simulate.jobs import Job
from agewell.shared.protocol.aging import AgingPolicy


@dataclass(frozen=True)
class Setup:
    """The order of service and the workers.

    Attributes:
        policy: the aging. k = 0 is strict priority, and None is first come, first served.
        workers: the number of jobs that run at a time.
        reserved: the number of jobs that a worker holds beyond the running one.
    """

    policy: AgingPolicy | None
    workers: int = 1
    reserved: int = 0


@dataclass(frozen=True)
class Run:
    """The times of a simulation, in seconds since its start.

    Attributes:
        started_at: when each job started, by its index.
        taken: the indexes of the jobs in the order in which workers took them. A worker takes a job
            when it reserves it, and starts it at once if it is idle.
        ended_at: when the last job ended.
    """

    started_at: Sequence[float]
    taken: Sequence[int]
    ended_at: float


def simulate(jobs: Sequence[Job], setup: Setup) -> Run:
    """Run jobs, given in the order of arrival, until all have ended."""
    policy = setup.policy
    workers = _Workers(jobs, setup)
    for index, job in enumerate(jobs):
        at = policy.virtual_time(job.arrived_at, job.level) if policy is not None else 0.0
        workers.run_until(job.arrived_at)
        workers.add(index, at)
    workers.run_until(math.inf)
    return Run(workers.started_at, workers.taken, workers.now)


class _Workers:
    """The workers of a simulation, and the jobs that wait for them.

    Attributes:
        now: the time of the last event, in seconds.
        started_at: when each job started, by its index.
        taken: the indexes of the jobs, in the order in which workers took them.
    """

    def __init__(self, jobs: Sequence[Job], setup: Setup) -> None:
        self._jobs = jobs
        self._reserved = setup.reserved
        self._waiting: list[tuple[float, int]] = []  # a heap of (virtual time, index)
        self._running: list[tuple[float, int]] = []  # a heap of (ends at, worker)
        self._held: list[deque[int]] = [deque() for _ in range(setup.workers)]
        self._idle = [True] * setup.workers
        self._takers = deque(range(setup.workers))  # with room, in the order in which they asked
        self.now = 0.0
        self.started_at = [0.0] * len(jobs)
        self.taken: list[int] = []

    def run_until(self, time: float) -> None:
        """Handle every end of a job up to a time, in seconds."""
        running = self._running
        while running and running[0][0] <= time:
            self.now = running[0][0]
            self._end_first()

    def add(self, index: int, virtual_time: float) -> None:
        """Let a job wait that arrives now, and let workers with room take the first ones."""
        self.now = self._jobs[index].arrived_at
        heapq.heappush(self._waiting, (virtual_time, index))
        self._hand_out()

    def _hand_out(self) -> None:
        takers, waiting = self._takers, self._waiting
        while takers and waiting:
            worker = takers.popleft()
            _, index = heapq.heappop(waiting)
            self.taken.append(index)
            if self._idle[worker]:
                self._start(worker, index)
            else:
                self._held[worker].append(index)
            if len(self._held[worker]) < self._reserved:
                takers.append(worker)

    def _start(self, worker: int, index: int) -> None:
        self.started_at[index] = self.now
        self._idle[worker] = False
        heapq.heappush(self._running, (self.now + self._jobs[index].service_s, worker))

    def _end_first(self) -> None:
        """End the running job that ends first, and let its worker go on."""
        _, worker = heapq.heappop(self._running)
        held = self._held[worker]
        self._idle[worker] = True
        if len(held) == self._reserved:  # it was full
            self._takers.append(worker)
        if held:
            self._start(worker, held.popleft())
        self._hand_out()
