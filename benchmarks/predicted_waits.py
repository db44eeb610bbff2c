"""Do jobs wait as long as predicted?

Jobs that only sleep come at random to real workers, on several levels, with and without tenants.
Each job's wait is predicted when it is sent, by `Client.estimate`, and measured from its record.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agewell.producer.client import Client
from agewell.producer.testing import running_stack
from agewell.shared.protocol.levels import level_label
from benchmarks.photos import make_images
from benchmarks.report import report

SLOTS = 4
MEAN_S = 0.2
LOADS = (0.8, 1.2)
AGING_K = 0.5
"""A level is worth two seconds, so that jobs at the end of the sending time do not matter."""

OPERATIONS = Path(__file__).with_name("sleeping.py")

Shares = Mapping[tuple[int, str | None], float]
"""Shares of all jobs, by level and tenant."""

LEVELS: Shares = {(2, None): 0.25, (5, None): 0.5, (9, None): 0.25}
TENANTS: Shares = {
    (5, "ana"): 0.5, (5, "ben"): 0.2, (2, "ben"): 0.1, (5, "cleo"): 0.1, (5, "lab/di"): 0.1,
}  # fmt: skip


@dataclass(frozen=True)
class Waited:
    """One job's waits, in seconds."""

    level: int
    tenant: str | None
    predicted_s: float
    measured_s: float

    @property
    def name(self) -> str:
        """The tenant, or the level if it has none."""
        return self.tenant or level_label(self.level)


@dataclass(frozen=True)
class Span:
    """How long jobs are sent, in seconds, and which of them are compared."""

    sending_s: float = 120.0
    learning_s: float = 20.0
    """Jobs sent before this are not compared, as nothing is measured yet."""
    last_s: float = 40.0
    """Jobs sent at the end are not compared either: predictions take the load to go on."""


def offer(client: Client, load: float, shares: Shares, span: Span, seed: int) -> list[Waited]:
    """Send jobs at random times, and return the predicted and measured waits of some of them.

    Args:
        client: of the stack.
        load: the work that comes per second, divided by what the workers can do.
        shares: of levels and tenants.
        span: how long to send.
        seed: of the random numbers.
    """
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        (image,) = client.put(*make_images(Path(folder), (8, 8), 1))
    sent: list[tuple[str, int, str | None, float | None]] = []
    started, at = time.monotonic(), 0.0
    while (at := at + rng.expovariate(load * SLOTS / MEAN_S)) < span.sending_s:
        ((level, tenant),) = rng.choices(list(shares), list(shares.values()))
        job = client.job("rest", [{"image": image}], seconds=rng.expovariate(1 / MEAN_S))
        time.sleep(max(0.0, started + at - time.monotonic()))
        predicted_s = client.estimate(level, tenant).wait_s
        job_id = client.send(job, level, tenant=tenant)
        if span.learning_s < at < span.sending_s - span.last_s:
            sent.append((job_id, level, tenant, predicted_s))
    return list(_waited(client, sent))


def _waited(
    client: Client, sent: Sequence[tuple[str, int, str | None, float | None]]
) -> Iterator[Waited]:
    for _ in client.outcomes([job_id for job_id, *_ in sent], timeout_s=600):
        pass
    for job_id, level, tenant, predicted_s in sent:
        record = client.status(job_id)
        if record is None or record.started_at is None or predicted_s is None:
            raise RuntimeError(f"job {job_id} has no record, no start or no prediction")
        yield Waited(level, tenant, predicted_s, record.started_at - record.enqueued_at)


def quantile(values: Sequence[float], part: float) -> float:
    """Return a quantile, such as the median for 0.5."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def row(waits: Sequence[Waited]) -> dict[str, object]:
    """Compare the predicted waits of some jobs with the measured ones."""
    predicted = [each.predicted_s for each in waits]
    measured = [each.measured_s for each in waits]
    found: dict[str, object] = {"jobs": len(waits)}
    for name, part in (("p50", 0.5), ("p90", 0.9)):
        told, was = quantile(predicted, part), quantile(measured, part)
        found |= {f"{name} predicted": told, f"{name} measured": was, f"{name} error": told - was}
        found[f"{name} ratio"] = told / was if was > 0 else float("nan")
    errors = [
        abs(each.predicted_s - each.measured_s) / each.measured_s
        for each in waits
        if each.measured_s > MEAN_S / SLOTS
    ]
    found["median error of a job"] = statistics.median(errors) if errors else float("nan")
    return found


def main() -> None:
    """Measure each load with levels, and with tenants."""
    rows: list[dict[str, object]] = []
    for load in LOADS:
        for kind, shares in (("levels", LEVELS), ("tenants", TENANTS)):
            settings = {"concurrency": SLOTS, "aging_k": AGING_K, "operations": str(OPERATIONS)}
            with running_stack(**settings) as stack:
                waits = offer(stack.client, load, shares, Span(), seed=1)
            names = sorted({each.name for each in waits})
            groups = {"all": waits} | {
                name: [each for each in waits if each.name == name] for name in names
            }
            for name, group in groups.items():
                rows.append({"load": load, "jobs of": kind, "whose": name} | row(group))
    report("predicted_waits", "Predicted and measured waits, in seconds", rows)


if __name__ == "__main__":
    main()
