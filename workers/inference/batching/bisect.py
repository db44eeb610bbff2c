"""Run a pass over a batch, and find the failing items by bisection.

If a batch raises, it is cut into halves and each is tried again, until a single item fails. That
item gets the error, and all others get their results. The same happens if there is not enough
memory for a batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from agewell.shared.metrics import Metric, tally
from agewell.workers.inference.batching.queue import Request
from agewell.workers.models.arrays import DeviceLostError

Outputs = list[dict[str, npt.NDArray[Any]]]


def run_bisecting(requests: Sequence[Request], run: Callable[[Sequence[Request]], Outputs]) -> None:
    """Set each item's future to its outputs or its error.

    Args:
        requests: the batch. Items that were cancelled in the meantime are left out.
        run: runs one pass over a part of the batch. It returns the outputs of each item, or raises
            for all of them.

    Raises:
        DeviceLostError: the device has failed. The remaining futures stay unset.
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
        except Exception as error:  # noqa: BLE001  a network may raise anything
            if len(part) == 1:
                part[0].future.set_exception(error)
            else:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
            continue
        for request, output in zip(part, outputs, strict=True):
            request.future.set_result(output)


def run_pass(part: Sequence[Request]) -> Outputs:
    """Run one forward pass over items of one key.

    The batch is filled up with copies of the last item to a size that the model allows.

    Returns:
        The outputs of each item by name, without the batch axis.

    Raises:
        ValueError: the network does not return one output for each item.
        OutOfMemoryError: the device has not enough memory for a batch of this size.
        DeviceLostError: the device has failed, and every later pass will fail as well.
        Exception: any other error that the network raises.
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
            raise ValueError(f"output {name} has shape {found.shape} for a batch of {size}")
    return [{name: found[index] for name, found in outputs.items()} for index in range(count)]
