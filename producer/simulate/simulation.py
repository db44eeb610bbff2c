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
    waiting: list[tuple[float, int]] = []  # a heap of (virtual time, index)
    started_at = [0.0] * len(jobs)
    taken: list[int] = []
    running: list[tuple[float, int]] = []  # a heap of (ends at, worker)
    held: list[deque[int]] = [deque() for _ in range(setup.workers)]
    idle = [True] * setup.workers
    takers = deque(range(setup.workers))  # with room, in the order in which they asked
    now = 0.0

    def start(worker: int, index: int) -> None:
        started_at[index] = now
        idle[worker] = False
        heapq.heappush(running, (now + jobs[index].service_s, worker))

    def hand_out() -> None:
        while takers and waiting:
            worker = takers.popleft()
            _, index = heapq.heappop(waiting)
            taken.append(index)
            if idle[worker]:
                start(worker, index)
            else:
                held[worker].append(index)
            if len(held[worker]) < setup.reserved:
                takers.append(worker)

    def end() -> None:
        _, worker = heapq.heappop(running)
        idle[worker] = True
        if len(held[worker]) == setup.reserved:  # it was full
            takers.append(worker)
        if held[worker]:
            start(worker, held[worker].popleft())
        hand_out()

    def until(time: float) -> None:
        """Handle every end of a job up to the next arrival."""
        nonlocal now
        while running and running[0][0] <= time:
            now = running[0][0]
            end()

    for index, job in enumerate(jobs):
        until(job.arrived_at)
        now = job.arrived_at
        at = policy.virtual_time(now, job.level) if policy is not None else 0.0
        heapq.heappush(waiting, (at, index))
        hand_out()
    until(math.inf)
    return Run(started_at, taken, now)
