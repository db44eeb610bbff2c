"""Metrics for Prometheus on their own port: `python -m agewell.workers.monitoring.exporter`.

The exporter reads everything from Redis at each scrape. It keeps only the last looks at tenants,
for their shares. Metrics have no job ids.
"""

import logging
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from typing import cast

import redis
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from agewell.shared import metrics
from agewell.shared.errors import AgewellError
from agewell.shared.model_commands import ModelControl
from agewell.shared.protocol.tasks import WORK_QUEUES
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.paused_workers import paused_workers
from agewell.shared.queue.status import QueueStatus, queue_status
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.shared.redis.connection import REDIS_ERRORS
from agewell.shared.settings import Settings
from agewell.workers.monitoring.shares import LOOK_EVERY_S
from agewell.workers.monitoring.tenant_metrics import TenantMetrics
from agewell.workers.process.context import context, exit_with_error, settings
from agewell.workers.process.pulse import note_healthy
from agewell.workers.process.ready import notify_ready

log = logging.getLogger(__name__)


class Collector:
    """Reads all metrics from Redis at each scrape."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._tenants = TenantMetrics()

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering the collector does not query Redis."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, or only `agewell_up` 0 if Redis does not answer."""
        try:
            queues = queue_status(self._client, self._settings, redis_now(self._client))
            found = [
                *self._worker_metrics(),
                *self._queues(queues),
                *self._tenants.metrics(queues),
                *self._aging(queues),
                *self._models(),
                *self._rare_events(),
                *self._redis(),
            ]
        except REDIS_ERRORS as error:
            log.warning("Redis does not answer: %s", error)
            found = []
        up = GaugeMetricFamily("agewell_up", "1 if Redis answers, 0 if not.")
        up.add_metric((), 1 if found else 0)
        yield from (up, *found)

    def look(self) -> bool:
        """Look at the tenants, for their shares. False if Redis does not answer."""
        try:
            queues = queue_status(self._client, self._settings, redis_now(self._client))
        except REDIS_ERRORS:
            return False
        self._tenants.look(queues)
        return True

    def _worker_metrics(self) -> Iterator[Metric]:
        """Yield the counters and histograms of the workers."""
        raw = cast("dict[bytes, bytes]", self._client.hgetall(keys.METRICS))
        for metric, series in metrics.read(raw).items():
            family = metric.value
            if family.buckets:
                bounds = [*(repr(float(bound)) for bound in family.buckets), "+Inf"]
                histogram = HistogramMetricFamily(family.name, family.text, labels=family.labels)
                for each in series:
                    buckets = list(zip(bounds, each.cumulative, strict=True))
                    histogram.add_metric(each.labels, buckets, each.total)
                yield histogram
            else:
                counter = CounterMetricFamily(family.name, family.text, labels=family.labels)
                for each in series:
                    counter.add_metric(each.labels, each.total)
                yield counter

    def _queues(self, queues: list[QueueStatus]) -> Iterator[Metric]:
        """Yield waiting, scheduled and reserved jobs."""
        by_level = ("queue", "level")
        waiting = GaugeMetricFamily("agewell_jobs_waiting", "Waiting jobs.", labels=by_level)
        oldest = GaugeMetricFamily(
            "agewell_oldest_wait_seconds", "How long the first job has waited.", labels=by_level
        )
        weight = GaugeMetricFamily(
            "agewell_head_log_weight", "Logarithm of the first job's weight.", labels=by_level
        )
        reserved = GaugeMetricFamily(
            "agewell_jobs_reserved", "Jobs that workers have taken.", labels=("queue",)
        )
        scheduled = GaugeMetricFamily(
            "agewell_jobs_scheduled",
            "Jobs that are due later, including retries.",
            labels=("queue",),
        )
        predicted = GaugeMetricFamily(
            "agewell_predicted_wait_seconds",
            "How long a job sent now would wait. Missing if it cannot be told.",
            labels=by_level,
        )
        slots = GaugeMetricFamily(
            "agewell_slots",
            "Jobs that the running workers run at the same time.",
            labels=("queue",),
        )
        for queue in queues:
            scheduled.add_metric((queue.queue,), queue.scheduled)
            slots.add_metric((queue.queue,), queue.slots)
            reserved.add_metric((queue.queue,), queue.reserved)
            for level in queue.levels:
                labels = (queue.queue, str(level.level))
                waiting.add_metric(labels, level.waiting)
                # Report zero if no job waits, so that an alert can end.
                oldest.add_metric(labels, level.oldest_wait_s or 0.0)
                if level.predicted_wait_s is not None:
                    predicted.add_metric(labels, level.predicted_wait_s)
                if level.head_log_weight is not None:
                    weight.add_metric(labels, level.head_log_weight)
        paused = self._paused()
        return iter((waiting, oldest, predicted, weight, reserved, scheduled, slots, paused))

    def _paused(self) -> Metric:
        """Return how many workers are paused because their blob store is unreachable."""
        paused = GaugeMetricFamily(
            "agewell_workers_paused",
            "Workers that take no jobs because their blob store is unreachable.",
            labels=("queue",),
        )
        runs = paused_workers(self._client)
        for queue in WORK_QUEUES:
            mine = sum(run.partition("@")[0] == queue.value for run in runs)
            paused.add_metric((queue.value,), mine)
        return paused

    def _aging(self, queues: list[QueueStatus]) -> Iterator[Metric]:
        """Yield k, the climbs and the last sweep of each queue."""
        labels = ("queue",)
        moved = CounterMetricFamily(
            "agewell_promotions_total", "Climbs of jobs from one level to another.", labels=labels
        )
        last = GaugeMetricFamily(
            "agewell_last_sweep_timestamp_seconds", "Time of the last sweep.", labels=labels
        )
        speed = GaugeMetricFamily(
            "agewell_aging_k_per_second", "k in the weight e^(k t - level).", labels=labels
        )
        for queue in (each for each in queues if each.queue in WORK_QUEUES):
            found = cast("dict[bytes, bytes]", self._client.hgetall(keys.aging(queue.queue)))
            speed.add_metric((queue.queue,), queue.k_per_s)
            moved.add_metric((queue.queue,), int(found.get(b"moved", 0)))
            if b"last_run_at" in found:
                last.add_metric((queue.queue,), float(found[b"last_run_at"]))
        return iter((moved, last, speed))

    def _models(self) -> Iterator[Metric]:
        """Yield the active version of each model, and the memory that each version takes."""
        labels = ("model", "version")
        active = GaugeMetricFamily(
            "agewell_model_active",
            "Workers on which the version is active, for jobs that do not pin one.",
            labels=labels,
        )
        held = GaugeMetricFamily(
            "agewell_model_bytes", "Memory of the version on all workers.", labels=labels
        )
        workers = ModelControl(self._client).workers()
        versions = [each for worker in workers for each in worker.versions]
        for name, version in sorted({(each.name, each.version) for each in versions}):
            mine = [each for each in versions if (each.name, each.version) == (name, version)]
            active.add_metric((name, version), sum(each.active for each in mine))
            held.add_metric((name, version), sum(each.size_bytes for each in mine if each.loaded))
        alive = GaugeMetricFamily("agewell_infer_workers", "Infer workers that are alive.")
        alive.add_metric((), len(workers))
        return iter((active, held, alive))

    def _rare_events(self) -> Iterator[Metric]:
        """Yield dead letters and rare events, such as lost jobs and damaged records."""
        dead = GaugeMetricFamily(
            "agewell_dead_letters", "Dead letters: jobs and messages that were given up."
        )
        dead.add_metric((), DeadLetters(self._client).count())
        events = CounterMetricFamily(
            "agewell_rare_events_total", "Events that should be rare, by kind.", labels=("what",)
        )
        found = cast("dict[bytes, bytes]", self._client.hgetall(keys.COUNTS))
        for what, times in sorted(found.items()):
            if times.isdigit():
                events.add_metric((what.decode(errors="replace"),), int(times))
        return iter((dead, events))

    def _redis(self) -> Iterator[Metric]:
        """Yield the memory that Redis uses, and its limit."""
        found = cast("dict[str, int]", self._client.info("memory"))
        used = GaugeMetricFamily("agewell_redis_used_bytes", "Memory that Redis uses.")
        used.add_metric((), found["used_memory"])
        most = GaugeMetricFamily(
            "agewell_redis_max_bytes", "Memory limit of Redis, 0 if it has none."
        )
        most.add_metric((), found["maxmemory"])
        return iter((used, most))


def main() -> None:
    """Serve metrics until SIGTERM or SIGINT."""
    try:
        found = settings()
        collector = Collector(context().client, found)
    except AgewellError as error:
        exit_with_error(error)
    logging.basicConfig(level=found.log_level)
    registry = CollectorRegistry()
    registry.register(collector)
    server, _ = start_http_server(found.metrics_port or 0, found.metrics_host, registry)
    log.info("metrics at port %d of %s", server.server_port, found.metrics_host)
    notify_ready()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit())
    while True:
        if collector.look():
            note_healthy(found.health_dir, "metrics")
        time.sleep(LOOK_EVERY_S)


if __name__ == "__main__":
    main()
