"""Simulates one queue with tenants and its workers, event by event.

`FairOrder` says which job starts next. The cost of a job is learned from those that have ended, as
the queue does it.
"""

import heapq
import math
from collections.abc import Callable, Mapping, Sequence

from agewell.producer.simulate.fair_order import FairOrder
from agewell.producer.simulate.tenant_jobs import Stream, TenantJob
from agewell.producer.simulate.tenant_nodes import Waiting
from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.protocol.fair_share import UNKNOWN_COST_S
from agewell.shared.queue.tenants import TenantLimits

NEWEST_COST = 0.05
"""Weight of the latest job in the moving average of a cost, as in `shared/queue/tenants.lua`."""

REPORT_EACH = 1000
"""Jobs between two reports of the progress."""


class TenantRun:
    """The workers of a simulation, and the jobs of tenants that wait for them.

    Attributes:
        started_at: when each job started, by its index, in seconds since the start.
        now: the time of the last event. After the run, when the last job ended.
    """

    def __init__(
        self,
        jobs: Sequence[TenantJob],
        streams: Sequence[Stream],
        limits: Mapping[str, TenantLimits],
        policy: AgingPolicy,
        workers: int,
    ) -> None:
        """Prepare a run of jobs, given in the order of arrival.

        Args:
            jobs: of all streams.
            streams: the streams of the jobs. Those with equal service times share a cost, like the
                jobs of one operation.
            limits: of tenants and teams. One without limits has the weight 1.
            policy: the aging.
            workers: the number of jobs that run at a time.
        """
        self._jobs, self._streams, self._policy, self._workers = jobs, streams, policy, workers
        self._order = FairOrder(limits)
        self._running: list[tuple[float, int, Waiting]] = []  # a heap of (ends at, index, job)
        services = [each.service for each in streams]
        self._operations = [services.index(each) for each in services]
        self._costs_s: dict[int, float] = {}
        self.started_at = [0.0] * len(jobs)
        self.now = 0.0

    def run(self, done: Callable[[int], None]) -> None:
        """Run all jobs until they have ended.

        Args:
            done: called now and then, with the number of jobs that have come.
        """
        for index, (job, stream) in enumerate(self._jobs):
            self._run_until(job.arrived_at)
            self.now = job.arrived_at
            virtual_time = self._policy.virtual_time(job.arrived_at, job.level)
            tenant = self._streams[stream].tenant
            self._order.add(Waiting(virtual_time, index, job.arrived_at, tenant), self.now)
            self._hand_out()
            if index % REPORT_EACH == 0:
                done(index)
        self._run_until(math.inf)

    def _run_until(self, time: float) -> None:
        """Handle every end of a job up to a time, and every job that a rate allows then."""
        while (event := self._next_event()) <= time and event < math.inf:
            self.now = event
            if self._running and self._running[0][0] <= event:
                self._end_first()
            self._hand_out()

    def _next_event(self) -> float:
        ends_at = self._running[0][0] if self._running else math.inf
        if len(self._running) == self._workers:
            return ends_at
        allowed_at = self._order.next_look_at()
        return ends_at if allowed_at is None else min(ends_at, allowed_at)

    def _hand_out(self) -> None:
        order = self._order
        while len(self._running) < self._workers:
            job = order.first(self.now)
            if job is None:
                return
            index = job.number
            made, stream = self._jobs[index]
            cost_s = self._costs_s.get(self._operations[stream], UNKNOWN_COST_S)
            order.start(job, cost_s, self.now)
            self.started_at[index] = self.now
            heapq.heappush(self._running, (self.now + made.service_s, index, job))

    def _end_first(self) -> None:
        _, index, job = heapq.heappop(self._running)
        made, stream = self._jobs[index]
        operation = self._operations[stream]
        before = self._costs_s.get(operation, made.service_s)
        self._costs_s[operation] = before + NEWEST_COST * (made.service_s - before)
        self._order.release(job, self.now)
