"""How many jobs are done in time at a load of 0.9, with due dates and without?

Real workers run jobs that sleep, so the processor does not matter. Jobs arrive at random (Poisson),
and all have the default level. Their run times are exponential. Each job has a due date, 2 to 30
mean run times after it was sent. The same jobs are sent with `due_s`, and without.
"""

import io
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from agewell import Client
from agewell.testing import running_stack
from benchmarks.report import Spread, report

OPERATION = Path(__file__).with_name("sleeping.py")
SLOTS, MEAN_S, LOAD = 4, 0.1, 0.9
JOBS, ROUNDS = 1500, 3
DUE = (2.0, 30.0)
"""The earliest and the latest due date, in mean run times after the job was sent."""

WARM_UP = 200
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Planned:
    """One job to send."""

    at_s: float
    """When to send it, after the start."""
    seconds: float
    """How long it runs."""
    due_s: float
    """When it should be done, after it was sent."""
    tenant: str | None = None


@dataclass(frozen=True)
class Punctuality:
    """How many jobs of a run were done when they were due, and how late the others were."""

    in_time: float
    """The share of jobs that were done in time, 0 to 1."""
    late_s: float
    """The 99th percentile of the lateness, in seconds. Negative: even these were early."""


def poisson(jobs: int, rate_per_s: float, tenants: int, seed: int) -> list[Planned]:
    """Plan jobs that arrive at random. Without tenants, nobody has them."""
    rng = random.Random(seed)
    planned, at_s = [], 0.0
    for _ in range(jobs):
        at_s += rng.expovariate(rate_per_s)
        seconds, due_s = rng.expovariate(1 / MEAN_S), MEAN_S * rng.uniform(*DUE)
        tenant = f"tenant-{rng.randrange(tenants)}" if tenants else None
        planned.append(Planned(at_s, seconds, due_s, tenant))
    return planned


class Sleepers:
    """Sends jobs that sleep to a running stack whose workers have the operation `rest`."""

    def __init__(self, client: Client) -> None:
        """Store the image of the jobs."""
        self._client = client
        png = io.BytesIO()
        Image.new("L", (8, 8)).save(png, "PNG")
        [self._image] = client.put(("a.png", png.getvalue()))

    def run(self, planned: Sequence[Planned], *, with_due: bool) -> Punctuality:
        """Send each job at its time, and wait until all are done."""
        began, ids = time.monotonic(), []
        for each in planned:
            job = self._client.job("rest", [{"image": self._image}], seconds=each.seconds)
            time.sleep(max(0.0, began + each.at_s - time.monotonic()))
            due_s = each.due_s if with_due else None
            ids.append(self._client.send(job, tenant=each.tenant, due_s=due_s))
        late_s = sorted(
            self._ended_s(job_id) - each.due_s for job_id, each in zip(ids, planned, strict=True)
        )
        in_time = sum(each <= 0 for each in late_s) / len(late_s)
        return Punctuality(in_time, late_s[int(0.99 * len(late_s))])

    def jobs_per_s(self, jobs: int = WARM_UP) -> float:
        """Measure how many jobs of the mean run time the workers can do in a second."""
        for _ in ("start the pool", "measure"):
            began = time.monotonic()
            self.run([Planned(0.0, MEAN_S, 1.0)] * jobs, with_due=False)
        return jobs / (time.monotonic() - began)

    def _ended_s(self, job_id: str) -> float:
        """Return how many seconds after it was sent a job has ended."""
        self._client.wait(job_id, PATIENCE_S)
        found = self._client.status(job_id)
        if found is None or found.ended_at is None or found.enqueued_at is None:
            raise RuntimeError(f"job {job_id} has no times: {found}")
        return found.ended_at - found.enqueued_at


def main() -> None:
    """Measure in turns, with the same jobs."""
    kinds = [
        (tenants, with_due) for tenants in (0, SLOTS, 10 * SLOTS) for with_due in (False, True)
    ]
    found: dict[tuple[int, bool], list[Punctuality]] = {kind: [] for kind in kinds}
    with running_stack(concurrency=SLOTS, operations=str(OPERATION)) as stack:
        sleepers = Sleepers(stack.client)
        rate_per_s = LOAD * sleepers.jobs_per_s()
        for seed in range(ROUNDS):
            for tenants, with_due in kinds:
                planned = poisson(JOBS, rate_per_s, tenants, seed)
                found[tenants, with_due].append(sleepers.run(planned, with_due=with_due))
    report(
        "due_dates", f"Jobs done in time at load {LOAD}", [_row(*each) for each in found.items()]
    )


def _row(kind: tuple[int, bool], runs: Sequence[Punctuality]) -> dict[str, object]:
    tenants, with_due = kind
    return {
        "tenants": tenants,
        "due dates": "with" if with_due else "without",
        "in time, %": Spread(tuple(100 * each.in_time for each in runs)),
        "99th percentile of lateness, s": Spread(tuple(each.late_s for each in runs)),
    }


if __name__ == "__main__":
    main()
