"""Metrics of the largest tenants of each queue, and of all others together.

Their number is bounded. A tenant that is no longer among the largest has no series in the next
scrape.
"""

import threading
from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from agewell.shared.queue.status import QueueStatus
from agewell.workers.monitoring.shares import Shares

OTHERS = "other"
"""The label of all tenants that are not among the largest."""


class TenantMetrics:
    """Makes the metrics, and keeps the last looks for the shares of tenants."""

    def __init__(self) -> None:
        self._shares = Shares()
        self._lock = threading.Lock()

    def look(self, queues: Sequence[QueueStatus]) -> None:
        """Add a look at the running jobs. Call it regularly."""
        with self._lock:
            self._shares.add(queues)

    def metrics(self, queues: Sequence[QueueStatus]) -> Iterator[Metric]:
        """Yield the metrics of a scrape."""
        waiting = _gauge("jobs_waiting", "Waiting jobs of the largest tenants.")
        running = _gauge("jobs_running", "Running jobs of the largest tenants.")
        share = _gauge("share", "Share of a queue's running jobs over the last five minutes.")
        oldest = _gauge("oldest_wait_seconds", "How long the next job of a tenant has waited.")
        predicted = _gauge(
            "predicted_wait_seconds", "How long a normal job of a tenant sent now would wait."
        )
        for queue in queues:
            for name, figures in self._figures(queue).items():
                for gauge, figure in zip((waiting, running, share), figures, strict=True):
                    gauge.add_metric((queue.queue, name), figure)
            for each in queue.tenants:
                # Report zero if no job waits, so that an alert can end.
                oldest.add_metric((queue.queue, each.tenant), each.oldest_wait_s or 0.0)
                if each.predicted_wait_s is not None:
                    predicted.add_metric((queue.queue, each.tenant), each.predicted_wait_s)
        return iter((waiting, running, share, oldest, predicted))

    def _figures(self, queue: QueueStatus) -> dict[str, tuple[float, float, float]]:
        """Return the waiting jobs, the running jobs and the share of each series of a queue."""
        with self._lock:
            found: dict[str, tuple[float, float, float]] = {
                each.tenant: (each.waiting, each.running, self._shares.of(queue.queue, each.tenant))
                for each in queue.tenants
            }
            others = queue.other_tenants
            theirs = (others.waiting, others.running, self._shares.of_others(queue.queue))
        if found:
            same_name = found.get(OTHERS, (0, 0, 0.0))  # a tenant may have this name
            found[OTHERS] = (
                theirs[0] + same_name[0], theirs[1] + same_name[1], theirs[2] + same_name[2]
            )  # fmt: skip
        return found


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"agewell_tenant_{name}", text, labels=("queue", "tenant"))
