"""What is counted for Prometheus: added up in each process, kept in one Redis hash by all of them.

A worker's counts travel with the record of a job's end: no round trip of their own. What a killed
worker had not sent is lost; the jobs are not (see `agewell.shared.queue.ledger`), only their times.

Labels are few by construction: operations, levels, formats, models, classes of errors; never ids.
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
"""Bounds of buckets: from a small image's operation to the longest wait that anyone should see."""

ITEMS: Final = (1, 2, 4, 8, 16, 32, 64, 128)

LARGEST: Final = 1e8
"""Three years, if it is seconds."""

_SEPARATOR = "|"
_SUM = "sum"
_MICRO: Final = 1e6
"""Sums are kept in millionths, as whole numbers: HINCRBYFLOAT prints and parses at every step."""


@dataclass(frozen=True)
class Family:
    """One metric: its name, what it says, its labels; buckets where it is a histogram."""

    name: str
    text: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


class Metric(Enum):
    """Everything that workers count."""

    WAIT = Family(
        "agewell_job_wait_seconds",
        "Time from a job's enqueueing to its start.",
        ("op", "level"),
        SECONDS,
    )
    RUN = Family(
        "agewell_job_run_seconds", "Time that a run of a job took.", ("op", "level"), SECONDS
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
    """The counts of one combination of labels; for a histogram by bucket, each with those below."""

    labels: tuple[str, ...]
    cumulative: tuple[int, ...]
    total: float
    """The sum of what a histogram observed; a counter's value."""


@dataclass
class Tally:
    """Counts on their way to Redis."""

    _sums: Sums[str] = field(default_factory=Sums)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def observe(self, metric: Metric, value: float, *labels: object) -> None:
        """Add a value to a histogram; one below zero, as clocks may make it, counts as zero.

        Sums have room for 2^63 millionths, so a value counts as `LARGEST` at most.
        """
        value = min(max(0.0, value), LARGEST)
        bucket = bisect_left(metric.value.buckets, value)
        with self._lock:
            self._sums[_name(metric, labels, str(bucket))] += 1
            self._sums[_name(metric, labels, _SUM)] += round(value * _MICRO)

    def count(self, metric: Metric, *labels: object, by: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._sums[_name(metric, labels, _SUM)] += by

    @contextmanager
    def timed(self, metric: Metric, *labels: object) -> Iterator[None]:
        """Observe how long something takes, in seconds; nothing where it raises."""
        started = time.perf_counter()
        yield
        self.observe(metric, time.perf_counter() - started, *labels)

    @contextmanager
    def sending(self) -> Iterator[list[tuple[str, int]]]:
        """Take all counts, to be added to `keys.METRICS`; where that raises, they are put back.

        Yields:
            Fields of the hash, and by how much each has grown.
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
"""This process's."""


def counter(metric: Metric, *labels: object) -> str:
    """The field of a counter in the hash, for a script that counts by itself."""
    return _name(metric, labels, _SUM)


def _name(metric: Metric, labels: tuple[object, ...], part: str) -> str:
    if len(labels) != len(metric.value.labels):
        raise ValueError(f"{metric.value.name} has the labels {metric.value.labels}, not {labels}")
    return _SEPARATOR.join([metric.name, *map(str, labels), part])


def read(raw: Mapping[bytes, bytes]) -> dict[Metric, list[Series]]:
    """Read the hash, without entries that are damaged or of another version."""
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
