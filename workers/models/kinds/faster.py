"""Kind `torch` with an ONNX graph beside: the same network twice, and the faster one serves."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from agewell.workers.models.arrays import CHECK_FILE, Array, Arrays
from agewell.workers.models.kinds.network import Network
from agewell.workers.models.kinds.onnx_graph import OnnxGraph
from agewell.workers.models.kinds.torch_module import TorchModule

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_PASSES = 5


class Faster(TorchModule):
    """A torch module which, on a CPU, gives way to its ONNX graph where that is faster here.

    Both are timed while loading, on the inputs of `check.npz`; `Model.verify` then holds whichever
    it is to the outputs there. Taps are the torch module's.
    """

    _graph: Network | None = None

    def load(self, on: "torch.device") -> None:
        """Load both, keep the faster."""
        super().load(on)
        path = self.directory / CHECK_FILE
        if on.type != "cpu" or self.spec.onnx is None or not path.exists():
            return
        with np.load(path, allow_pickle=False) as kept:
            batch = {name[3:]: kept[name] for name in kept.files if name.startswith("in:")}
        spec = self.spec.model_copy(update={"weights": self.spec.onnx, "sha256": None})
        graph = OnnxGraph(spec, self.directory)
        graph.load(on)
        torch_s, onnx_s = _seconds(super().forward, batch), _seconds(graph.forward, batch)
        if onnx_s < torch_s:
            self._graph = graph
        log.info("%s: torch %.1f ms, ONNX %.1f ms", self.spec.id, 1e3 * torch_s, 1e3 * onnx_s)

    def forward(self, batch: Arrays, taps: Sequence[str] = ()) -> dict[str, Array]:
        """Run a batch; arguments, outputs and errors as of `Model.forward`."""
        if self._graph is None or taps:
            return super().forward(batch, taps)
        outputs = self._graph.forward(batch)
        return {"output": outputs.popitem()[1]} if len(outputs) == 1 else outputs


def _seconds(run: Callable[[Arrays], object], batch: Arrays) -> float:
    """The fastest of some passes, the first of which warms up."""
    run(batch)
    times = []
    for _ in range(_PASSES):
        begun = time.perf_counter()
        run(batch)
        times.append(time.perf_counter() - begun)
    return min(times)
