"""What k does to waits: a discrete-event simulation of one queue, its sweep and its workers.

Jobs wait in the queue's ten lists, climb at sweeps, and are served lowest level first, none
interrupted. Where a job has climbed to is decided by `AgingPolicy`, as in the sweep itself.
"""

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from producer.simulate_jobs import Job
from shared.aging import AgingPolicy
from shared.names import LEVELS

TICK_SLACK = 1e-6
"""Part of an interval by which a sweep may be looked at too early: more than floats err."""


@dataclass(frozen=True)
class Setup:
    """What serves the jobs.

    ``policy`` None is first come, first served; one with k = 0 is strict priority.
    ``reserved`` counts the jobs that a worker holds beyond the running one.
    """

    policy: AgingPolicy | None
    workers: int = 1
    interval_s: float = 1.0
    reserved: int = 0


@dataclass(frozen=True)
class Run:
    """What became of the jobs, by their index.

    ``taken`` are the indexes in the order in which workers took them, ``taken_at`` when, in this
    order. A job is taken when it is reserved; it starts at once if its worker is idle.
    """

    started_at: Sequence[float]
    taken: Sequence[int]
    taken_at: Sequence[float]
    ended_at: float


class _Lists:
    """The queue's ten lists, heads on the left, and the sweep over them.

    ``due_at`` is the first sweep that can find a head that has climbed. The others would do
    nothing and are left out: heads change only when one is taken, swept, or put on an empty list.
    """

    def __init__(self, jobs: Sequence[Job], setup: Setup) -> None:
        self._jobs = jobs
        self._interval_s = setup.interval_s
        self._lists: tuple[deque[int], ...] = tuple(deque() for _ in LEVELS)
        self._sweeps = 0
        self._next = math.inf
        self.due_at = math.inf
        self.waiting = 0
        policy = setup.policy
        self._one_list = policy is None
        # Looked up rather than computed anew for each look at a head.
        self._policy = policy if policy is not None and policy.k_per_s > 0 else None
        if self._policy is not None:
            self._virtual_times = [self._policy.virtual_time(at, level) for at, level, _ in jobs]
            self._head_starts = [self._policy.head_start_s(level) for level in LEVELS]

    def put(self, index: int) -> None:
        """A job arrives."""
        level = 0 if self._one_list else self._jobs[index].level
        at = self._lists[level]
        at.append(index)
        self.waiting += 1
        if len(at) == 1:
            self._expect(index, level)

    def take(self) -> int:
        """The head of the lowest level that has one; something must be waiting."""
        level = 0
        while not self._lists[level]:
            level += 1
        at = self._lists[level]
        index = at.popleft()
        self.waiting -= 1
        if at:
            self._expect(at[0], level)
        return index

    def sweep(self) -> None:
        """Move each head, for as long as it has climbed, to its place on the list it climbed to."""
        assert self._policy is not None  # noqa: S101 - nothing is ever due without one
        now, self._sweeps = self.due_at, int(self._next)
        self._next = self.due_at = math.inf
        almost = now + TICK_SLACK * self._interval_s
        for level in LEVELS[1:]:
            at = self._lists[level]
            while at and self._climbs_at(at[0], level) <= almost:
                arrived_at, given, _ = self._jobs[at[0]]
                target = self._policy.level_at(arrived_at, given, now)
                if target >= level:
                    break
                self._place(at.popleft(), self._lists[target])
        for level in LEVELS[1:]:
            if self._lists[level]:
                self._expect(self._lists[level][0], level)

    def _place(self, index: int, at: deque[int]) -> None:
        """Put a job behind all that are not after it; only what came since the last sweep is."""
        virtual_times = self._virtual_times
        after = []
        while at and virtual_times[at[-1]] > virtual_times[index]:
            after.append(at.pop())
        at.append(index)
        at.extend(reversed(after))

    def _climbs_at(self, index: int, level: int) -> float:
        """When a job will have climbed from a level to the next."""
        return self._virtual_times[index] - self._head_starts[level - 1]

    def _expect(self, head: int, level: int) -> None:
        """A new head: see that the first sweep at which it may have climbed takes place."""
        if level == 0 or self._policy is None:
            return
        sweeps = self._climbs_at(head, level) / self._interval_s
        tick = max(self._sweeps + 1, math.ceil(sweeps - TICK_SLACK))
        if tick < self._next:
            self._next = tick
            self.due_at = tick * self._interval_s


def simulate(jobs: Sequence[Job], setup: Setup) -> Run:
    """Serve the jobs, which must be in the order of arrival, until all have ended."""
    lists = _Lists(jobs, setup)
    started_at = [0.0] * len(jobs)
    taken: list[int] = []
    taken_at: list[float] = []
    running: list[tuple[float, int]] = []  # a heap of (ends at, worker)
    held: list[deque[int]] = [deque() for _ in range(setup.workers)]
    idle = [True] * setup.workers
    takers = deque(range(setup.workers))  # those with room; Redis serves who asked first
    now = 0.0

    def start(worker: int, index: int) -> None:
        started_at[index] = now
        idle[worker] = False
        heapq.heappush(running, (now + jobs[index].service_s, worker))

    def hand_out() -> None:
        while takers and lists.waiting:
            worker = takers.popleft()
            index = lists.take()
            taken.append(index)
            taken_at.append(now)
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
        """Everything that happens up to the next arrival."""
        nonlocal now
        while running and min(running[0][0], lists.due_at) <= time:
            if lists.due_at <= running[0][0]:
                now = lists.due_at
                lists.sweep()
            else:
                now = running[0][0]
                end()

    for index, job in enumerate(jobs):
        until(job.arrived_at)
        now = job.arrived_at
        lists.put(index)
        hand_out()
    until(math.inf)
    return Run(started_at, taken, taken_at, now)


def regrets(jobs: Sequence[Job], run: Run, policy: AgingPolicy) -> list[float]:
    """By how many seconds of virtual time each job, when taken, was behind the best that waited.

    Args:
        jobs: in the order of arrival.
        run: what became of them.
        policy: the order by which to judge, with k > 0.
    """
    waiting: list[tuple[float, int]] = []
    gone = bytearray(len(jobs))
    come = 0
    found = []
    for index, at in zip(run.taken, run.taken_at, strict=True):
        while come < len(jobs) and jobs[come].arrived_at <= at:
            virtual_time = policy.virtual_time(jobs[come].arrived_at, jobs[come].level)
            heapq.heappush(waiting, (virtual_time, come))
            come += 1
        while gone[waiting[0][1]]:
            heapq.heappop(waiting)
        virtual_time = policy.virtual_time(jobs[index].arrived_at, jobs[index].level)
        found.append(virtual_time - waiting[0][0])
        gone[index] = True
    return found
