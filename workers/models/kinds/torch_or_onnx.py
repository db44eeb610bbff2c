"""Kind `torch` with an additional ONNX graph of the same network: the faster one is used."""

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


class TorchOrOnnx(TorchModule):
    """A torch module that uses its ONNX graph on a CPU if the graph is faster on this machine.

    Both are timed while loading, with the inputs of `check.npz`. `Model.verify` then compares the
    chosen one with the outputs in that file. Passes with taps always use the torch module, and so
    do all passes while somebody looks into it.
    """

    _graph: Network | None = None

    def load(self, on: "torch.device") -> None:
        """Load both, keep the faster."""
        super().load(on)
        path = self.directory / CHECK_FILE
        if on.type != "cpu" or self.spec.onnx is None or self._inspection.opened:
            return
        if not path.exists():
            log.warning("%s: %s is not used without %s", self.spec.id, self.spec.onnx, CHECK_FILE)
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
        """Run a batch. Arguments, outputs and errors are those of `Model.forward`."""
        if self._graph is None or taps or self._inspection.going_on():
            return super().forward(batch, taps)
        outputs = self._graph.forward(batch)
        return {"output": outputs.popitem()[1]} if len(outputs) == 1 else outputs

    def runs_on(self) -> str:
        """Return the library that runs the next pass, with its device."""
        if self._graph is None or self._inspection.going_on():
            return super().runs_on()
        return self._graph.runs_on()


def _seconds(run: Callable[[Arrays], object], batch: Arrays) -> float:
    """Return the time of the fastest of several passes, after a warm-up pass."""
    run(batch)
    times = []
    for _ in range(_PASSES):
        begun = time.perf_counter()
        run(batch)
        times.append(time.perf_counter() - begun)
    return min(times)
