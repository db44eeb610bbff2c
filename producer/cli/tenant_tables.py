"""Tables of tenants, for `agewell queues`, `agewell top` and `agewell tenants`."""

from collections.abc import Iterable

from agewell.producer.cli.tables import Column
from agewell.shared.queue.forecast.predict import NO_WORKER
from agewell.shared.queue.status import QueueStatus
from agewell.shared.queue.tenant_load import LARGEST, TenantLoad
from agewell.shared.text.units import duration

PER_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
"""Seconds in each unit of a rate."""

LOAD_COLUMNS = (
    Column("queue"),
    Column("tenant", flexible=True),
    Column("weight", right=True, drop=1),
    Column("most running", right=True, drop=3),
    Column("rate", right=True, drop=2),
    Column("waiting", right=True),
    Column("running", right=True),
    Column("oldest wait", right=True),
    Column("predicted", right=True, drop=4),
)
"""Columns of the tenants in `agewell queues` and `agewell top`."""


def rate_text(rate_per_s: float | None) -> str:
    """Format a rate as `10/s`, `100/m`, `500/h` or `5/d`."""
    if not rate_per_s:
        return "-"
    unit = next((each for each in PER_S if rate_per_s * PER_S[each] >= 1), "d")
    return f"{rate_per_s * PER_S[unit]:g}/{unit}"


def load_rows(queues: Iterable[QueueStatus], most: int = LARGEST) -> list[list[str]]:
    """Make the rows of the tenants of each queue. Returns none if no tenant has jobs.

    Args:
        queues: the queues.
        most: how many tenants of a queue to name. The last row of a queue counts the others.
    """
    rows = []
    for queue in queues:
        shown, rest = queue.tenants[:most], queue.tenants[most:]
        rows += [_load_cells(queue, each) for each in shown]
        waiting = queue.other_tenants.waiting + sum(each.waiting for each in rest)
        running = queue.other_tenants.running + sum(each.running for each in rest)
        if waiting or running:
            limits = ["-"] * 3
            counts = [f"{waiting:,}", f"{running:,}"]
            rows.append([queue.queue, "(all others)", *limits, *counts, "-", "-"])
    return rows


def prediction(queue: QueueStatus, wait_s: float | None) -> str:
    """Format the predicted wait of a job that is sent now, or say why there is none."""
    if wait_s is None and queue.no_prediction == NO_WORKER:
        return NO_WORKER
    return duration(wait_s)


def _load_cells(queue: QueueStatus, load: TenantLoad) -> list[str]:
    return [
        queue.queue,
        load.tenant,
        f"{load.weight:g}",
        str(load.max_running or "-"),
        rate_text(load.rate_per_s),
        f"{load.waiting:,}",
        f"{load.running:,}",
        duration(load.oldest_wait_s),
        prediction(queue, load.predicted_wait_s),
    ]
