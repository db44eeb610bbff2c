"""Metrics for Prometheus. Each process adds up its counts, and one Redis hash holds the sums.

A worker sends its counts together with the end of a job, so they need no extra round trip. If a
worker is killed, the counts that it had not sent are lost. Its jobs are not lost (see
`agewell.shared.queue.ledger`).

Labels have few values: operations, levels, formats, models and classes of errors. Ids are never
labels.
"""

import threading
import time
from bisect import bisect_left
from collections import Counter as Sums
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate
from typing import Final

SECONDS: Final = (
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    120,
    300,
    600,
    1800,
    3600,
)
"""Bucket bounds in seconds, from one operation on a small image to the longest likely wait."""

ITEMS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
"""Bucket bounds for numbers of items."""

LARGEST: Final = 1e8
"""The largest value that a histogram adds. As seconds, it is three years."""

_SEPARATOR = "|"
_SUM = "sum"
_MICRO: Final = 1e6
"""Sums are stored as whole millionths, because HINCRBYFLOAT prints and parses on every call."""


@dataclass(frozen=True)
class Family:
    """One metric: its name, help text, label names, and bucket bounds if it is a histogram."""

    name: str
    text: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


class Metric(Enum):
    """All metrics that workers count."""

    WAIT = Family(
        "agewell_job_wait_seconds",
        "Time from enqueueing a job to its start.",
        ("op", "level"),
        SECONDS,
    )
    RUN = Family(
        "agewell_job_run_seconds", "Duration of one run of a job.", ("op", "level"), SECONDS
    )
    ENDED = Family("agewell_jobs_ended_total", "Jobs by how they ended.", ("state",))
    REFUSED = Family(
        "agewell_refused_total", "Items and jobs that failed, by the error's class.", ("cause",)
    )
    DECODE = Family("agewell_decode_seconds", "Time to decode one image.", ("format",), SECONDS)
    ENCODE = Family("agewell_encode_seconds", "Time to encode one image.", ("format",), SECONDS)
    BATCH = Family("agewell_batch_items", "Items in one forward pass.", ("model",), ITEMS)
    FORWARD = Family("agewell_forward_seconds", "Time of one forward pass.", ("model",), SECONDS)
    SWEEP = Family("agewell_sweep_seconds", "Time of one sweep of a queue.", ("queue",), SECONDS)


@dataclass(frozen=True)
class Series:
    """The counts of one combination of label values."""

    labels: tuple[str, ...]
    cumulative: tuple[int, ...]
    """A histogram's observations up to each bucket bound. Empty for a counter."""
    total: float
    """The sum of a histogram's observations, or the value of a counter."""


@dataclass
class Tally:
    """The counts of this process that have not been sent to Redis yet."""

    _sums: Sums[str] = field(default_factory=Sums)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def observe(self, metric: Metric, value: float, *labels: object) -> None:
        """Add a value to a histogram.

        Args:
            metric: the histogram.
            value: in the histogram's unit. It is clipped to the range from 0 to `LARGEST`:
                differences of clocks may be negative, and a sum has room for 2^63 millionths.
            labels: a value for each of the metric's labels.
        """
        value = min(max(0.0, value), LARGEST)
        bucket = bisect_left(metric.value.buckets, value)
        with self._lock:
            self._sums[_name(metric, labels, str(bucket))] += 1
            self._sums[_name(metric, labels, _SUM)] += round(value * _MICRO)

    def count(self, metric: Metric, *labels: object, by: int = 1) -> None:
        """Add `by` to a counter."""
        with self._lock:
            self._sums[_name(metric, labels, _SUM)] += by

    @contextmanager
    def timed(self, metric: Metric, *labels: object) -> Iterator[None]:
        """Add the duration of the block to a histogram, in seconds, unless the block raises."""
        started = time.perf_counter()
        yield
        self.observe(metric, time.perf_counter() - started, *labels)

    @contextmanager
    def sending(self) -> Iterator[list[tuple[str, int]]]:
        """Take all counts, to send them to `keys.METRICS`. They are kept if the block raises.

        Yields:
            (field of the hash, increment) pairs.
        """
        with self._lock:
            sums, self._sums = self._sums, Sums()
        try:
            yield list(sums.items())
        except BaseException:
            with self._lock:
                self._sums.update(sums)
            raise


tally: Final = Tally()
"""The counts of this process."""


def counter(metric: Metric, *labels: object) -> str:
    """Return the hash field of a counter, for a Lua script that adds to it."""
    return _name(metric, labels, _SUM)


def _name(metric: Metric, labels: tuple[object, ...], part: str) -> str:
    if len(labels) != len(metric.value.labels):
        raise ValueError(f"{metric.value.name} has the labels {metric.value.labels}, not {labels}")
    return _SEPARATOR.join([metric.name, *map(str, labels), part])


def read(raw: Mapping[bytes, bytes]) -> dict[Metric, list[Series]]:
    """Read the series of each metric from the hash.

    Entries that are damaged, or that another version of agewell wrote, are left out.
    """
    found: dict[Metric, dict[tuple[str, ...], dict[str, int]]] = {each: {} for each in Metric}
    for name, value in raw.items():
        kind, *labels = name.decode(errors="replace").split(_SEPARATOR)
        part = labels.pop() if labels else ""
        known = kind in Metric.__members__ and len(labels) == len(Metric[kind].value.labels)
        if known and value.isdigit():
            found[Metric[kind]].setdefault(tuple(labels), {})[part] = int(value)
    return {
        metric: [_series(metric.value, labels, parts) for labels, parts in sorted(series.items())]
        for metric, series in found.items()
    }


def _series(family: Family, labels: tuple[str, ...], parts: Mapping[str, int]) -> Series:
    if not family.buckets:
        return Series(labels, (), parts.get(_SUM, 0))
    counts = [parts.get(str(bucket), 0) for bucket in range(len(family.buckets) + 1)]
    return Series(labels, tuple(accumulate(counts)), parts.get(_SUM, 0) / _MICRO)
