"""A pass over a batch, and what becomes of each of its items when it fails.

A batch that raises is cut into halves, each tried again, until what fails is a single item: that
one fails, all others have their results. One for which there is no memory is halved likewise.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from agewell.shared.metrics import Metric, tally
from agewell.workers.inference.batching.queue import Request
from agewell.workers.models.arrays import DeviceLostError

Outputs = list[dict[str, npt.NDArray[Any]]]


def settle(requests: Sequence[Request], run: Callable[[Sequence[Request]], Outputs]) -> None:
    """Settle each item's future, by as few passes as the failing items allow.

    Args:
        requests: the batch; those cancelled in the meantime are left out.
        run: one pass over a part of the batch; a result for each item, or an exception for all.

    Raises:
        DeviceLostError: no further pass can be tried; items are left unsettled.
    """
    parts = [[each for each in requests if each.future.set_running_or_notify_cancel()]]
    while parts:
        part = parts.pop()
        if not part:
            continue
        try:
            outputs = run(part)
        except DeviceLostError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a network raises is its item's error
            if len(part) == 1:
                part[0].future.set_exception(error)
            else:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
            continue
        for request, output in zip(part, outputs, strict=True):
            request.future.set_result(output)


def run_pass(part: Sequence[Request]) -> Outputs:
    """One forward pass over items of one key, filled up to a size that the model takes.

    Raises:
        ValueError: the network's outputs are not one for each item.
        OutOfMemoryError: no memory for a batch of this size.
        DeviceLostError: no pass will ever run here again.
        Exception: whatever the network raises.
    """
    model, count = part[0].model, len(part)
    size = model.spec.bucket(count)
    batch = {
        name: np.stack([each.arrays[name] for each in part] + [array] * (size - count))
        for name, array in part[-1].arrays.items()
    }
    tally.observe(Metric.BATCH, count, model.spec.id)
    with tally.timed(Metric.FORWARD, model.spec.id):
        outputs = model.forward(batch, part[0].taps)
    for name, found in outputs.items():
        if found.shape[:1] != (size,):
            raise ValueError(f"{name} is of shape {found.shape} for a batch of {size}")
    return [{name: found[index] for name, found in outputs.items()} for index in range(count)]
