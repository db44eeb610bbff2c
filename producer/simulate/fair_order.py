"""The order of tenants' jobs, the Python twin of the queue's scripts (`shared/queue/tenants.lua`).

The tenants are a tree of two levels below the queue: tenants and teams, and the members of teams.
Each of them has at most one candidate, which waits among the candidates of its team or of the
queue. The law that delays candidates and advances clocks is in `shared/protocol/fair_share.py`.
"""

import heapq
from collections.abc import Mapping

from agewell.producer.simulate.tenant_nodes import Candidate, Charged, Node, Waiting
from agewell.shared.protocol.fair_share import Pace, correction, delayed
from agewell.shared.protocol.tenants import team_of
from agewell.shared.queue.tenants import TenantLimits


class FairOrder:
    """The waiting jobs of one queue, in the order of the law.

    Use it like the queue: `add` a job, look at the `first` one, `start` it, and `release` it when
    it has ended. Time is an argument and never goes back.
    """

    def __init__(self, limits: Mapping[str, TenantLimits] | None = None) -> None:
        """Make an order without jobs, with the limits of tenants and teams."""
        self._pace = Pace()
        self._queue = Node()
        self._nodes: dict[str, Node] = {}
        self._paused: list[tuple[float, int, Node]] = []  # a heap, by when the rate allows a job
        self._pauses = 0
        self._charged: dict[int, Charged] = {}  # running jobs of tenants, by number
        self.running = 0
        """The number of running jobs."""
        for name, each in (limits or {}).items():
            self._node(name).limits = each

    def limit(self, name: str, limits: TenantLimits, now: float) -> None:
        """Change the limits of a tenant or team."""
        node = self._node(name)
        node.limits = limits
        if limits.rate_per_s:
            node.next_at = min(node.next_at, now + 1 / limits.rate_per_s)
        self._settle(node, now)

    def add(self, job: Waiting, now: float) -> None:
        """Let a job wait. One that was started before keeps its number, and its place."""
        node = self._queue if job.tenant is None else self._node(job.tenant)
        node.own[job.number] = job
        heapq.heappush(node.heap, Candidate(job.virtual_time, job.number, job, None))
        self._settle(node, now)

    def cancel(self, job: Waiting, now: float) -> None:
        """Remove a waiting job."""
        node = self._queue if job.tenant is None else self._node(job.tenant)
        del node.own[job.number]
        self._settle(node, now)

    def first(self, now: float) -> Waiting | None:
        """Return the job to start next. None if none waits that may run."""
        while self._paused and self._paused[0][0] <= now:
            self._settle(heapq.heappop(self._paused)[2], now)
        first = self._queue.first()
        return None if first is None else first.job

    def next_look_at(self) -> float | None:
        """Return when a tenant's rate allows its next job, if one waits for that."""
        return self._paused[0][0] if self._paused else None

    def start(self, job: Waiting, cost_s: float, now: float) -> None:
        """Start a job that waits, and charge it to its tenant and its team."""
        self.running += 1
        if job.tenant is None:
            del self._queue.own[job.number]
            return
        node = self._node(job.tenant)
        path = node.path()
        self._charge(path, job, cost_s, now)
        for each in path:
            each.running += 1
            if each.limits.rate_per_s:
                each.next_at = max(each.next_at, now) + 1 / each.limits.rate_per_s
        del node.own[job.number]
        self._settle(node, now)

    def release(self, job: Waiting, now: float, *, lost: bool = False) -> None:
        """A started job no longer runs. It is charged for the time that it ran.

        Args:
            job: it has started.
            now: the time.
            lost: its worker has died. Nobody knows when, so its charge does not grow.
        """
        self.running -= 1
        if job.tenant is not None:
            node = self._node(job.tenant)
            charged = self._charged.pop(job.number)
            ran_s = now - charged.at
            self._correct(charged, min(ran_s, charged.cost_s) if lost else ran_s, now)
            for each in node.path():
                each.running -= 1
            self._settle(node, now)

    def forget_clock(self, name: str, now: float) -> None:
        """Forget the clock of a tenant or team, which lies in the past."""
        node = self._node(name)
        node.clock = 0.0
        self._settle(node, now)

    def forget_rate(self, name: str, now: float) -> None:
        """Forget when the rate of a tenant or team allows the next job."""
        node = self._node(name)
        node.next_at = 0.0
        self._settle(node, now)

    def _charge(self, path: list[Node], job: Waiting, cost_s: float, now: float) -> None:
        head_start_s = job.virtual_time - job.since
        charge = self._pace.charge(
            path[0].clock, job.since, head_start_s, cost_s, self.running, now
        )
        per_s, clocks = charge.per_s, []
        for node in path:
            if node.parent is not None:
                per_s *= max(1.0, node.parent.weights / node.limits.weight)
            node.clock = charge.advanced(node.clock, job.since, cost_s * per_s)
            clocks.append((node, per_s, node.clock))
        self._charged[job.number] = Charged(now, cost_s, tuple(clocks))

    @staticmethod
    def _correct(charged: Charged, ran_s: float, now: float) -> None:
        for node, per_s, clock in charged.clocks:
            # A clock that was forgotten while the job ran lay in the past.
            before = node.clock or clock
            corrected = before + correction(per_s, charged.cost_s, ran_s)
            if node.clock or corrected > now:
                node.clock = corrected

    def _node(self, name: str) -> Node:
        node = self._nodes.get(name)
        if node is None:
            team = team_of(name)
            node = Node(self._queue if team is None else self._node(team))
            self._nodes[name] = node
        return node

    def _settle(self, node: Node, now: float) -> None:
        """Give a tenant, and then its team, the candidate that it should have."""
        while node.parent is not None:
            first = node.first()
            if first is not None and not node.may_run(now):
                self._pause(node, now)
                first = None
            self._nominate(node, first)
            node = node.parent

    def _pause(self, node: Node, now: float) -> None:
        is_late = node.limits.rate_per_s and node.next_at > now
        if is_late and node.looked_at != node.next_at:
            node.looked_at = node.next_at
            self._pauses += 1
            heapq.heappush(self._paused, (node.next_at, self._pauses, node))

    @staticmethod
    def _nominate(node: Node, first: Candidate | None) -> None:
        parent, before = node.parent, node.candidate
        if parent is None:
            return
        weight = 0.0 if first is None else node.limits.weight
        if weight != node.counted:
            parent.weights += weight - node.counted
            node.counted = weight
        if first is None:
            node.candidate = None
            return
        job = first.job
        key = max(first.key, delayed(job.virtual_time, job.since, node.clock))
        if before is None or before.job is not job or before.key != key:
            node.candidate = Candidate(key, job.number, job, node)
            heapq.heappush(parent.heap, node.candidate)
