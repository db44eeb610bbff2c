"""Quantise a graph to 8 bits, with ranges measured on photos.

Weights and activations of convolutions and linear layers become integers: QDQ format, weights per
output channel, activations per tensor with the ranges that the photos reach. Softmax, attention
and normalisation stay in float32. If the result does not reach its bound, the layers that lose
most stay in float32 as well.
"""

import platform
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.calibrate import create_calibrator, save_tensors_data
from onnxruntime.quantization.shape_inference import quant_pre_process

from agewell.workers.models.agreement import Outputs
from agewell.workers.models.arrays import Arrays
from agewell.workers.models.export import gate
from agewell.workers.models.export.files import open_graph
from agewell.workers.models.export.gate import Gate
from agewell.workers.models.export.graph import quiet
from agewell.workers.models.image_folder import Folder
from agewell.workers.models.kinds.network import Network
from agewell.workers.models.model import Model
from agewell.workers.models.progress import Progress

_OPERATORS = ["Conv", "Gemm", "MatMul"]
_RANGES_HELD = 64
"""Photos whose ranges are held before they are merged."""
_PROBES = 4
"""Photos on which the error of each single layer is measured."""
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Shares of the layers that stay in float32, tried in this order."""
_VNNI = frozenset(("avx512_vnni", "avx_vnni"))


@dataclass(frozen=True)
class Quantised:
    """An 8-bit graph, and how well it agrees with the original."""

    gate: Gate
    layers: int  # convolutions and linear layers
    in_float: int  # those of them that stay in float32


def quantise(
    model: Model, original: Network, graph: Path, out: Path, folder: Folder, least: float
) -> Quantised:
    """Write an 8-bit copy of a graph, and measure it on held-out photos.

    Args:
        model: the graph's preprocessing and postprocessing.
        original: the network that the graph was exported from.
        graph: in float32.
        out: path of the 8-bit graph.
        folder: the photos.
        least: the bound of the agreement, see `gate.bound`.

    Raises:
        ValueError: the folder has too few photos that can be read, or the graph has no layers to
            quantise.
    """
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".int8-") as part:
        work = _Work(model, original, folder, least, Path(part), graph)
        layers = work.calibrate(out)
        best = Quantised(work.measure(out), len(layers), 0)
        if best.gate.holds:
            return best
        folder.say(f"{_told(best)}: looking for the layers that lose most")
        ranked = work.ranked(layers)
        for count in sorted({max(1, round(share * len(layers))) for share in _SHARES}):
            work.write(ranked[count:], work.candidate)
            found = Quantised(work.measure(work.candidate), len(layers), count)
            folder.say(_told(found))
            if found.gate.value > best.gate.value:
                best = found
                work.candidate.replace(out)
            if found.gate.holds:
                break
        return best


def _told(found: Quantised) -> str:
    value = f"{found.gate.value:g} (at least {found.gate.least:g})"
    return f"{found.in_float} of {found.layers} layers in float32: {found.gate.measure} {value}"


class _Work:
    """The files and the ranges of one quantisation."""

    def __init__(
        self, model: Model, original: Network, folder: Folder, least: float, part: Path, graph: Path
    ) -> None:
        self._model = model
        self._original = original
        self._folder = folder
        self._least = least
        self._calibrated = 0
        self._graph = part / "prepared.onnx"
        self._ranges = part / "ranges.json"
        self.candidate = part / "candidate.onnx"
        with quiet():
            # Its symbolic shapes fail for some graphs, and nothing here needs them.
            quant_pre_process(graph, self._graph, skip_symbolic_shape=True)
        _drop_unused_domains(self._graph)

    def calibrate(self, out: Path) -> list[str]:
        """Measure the ranges of all activations, and write the graph with all layers in 8 bits.

        Returns:
            The names of the layers.

        Raises:
            ValueError: too few photos can be read, or there is no layer to quantise.
        """
        layers = _layers(self._graph)
        if not layers:
            raise ValueError("the network has no convolutions and no linear layers to quantise")
        self._measure_ranges()
        self._folder.check()
        self.write(layers, out)
        return layers

    def _measure_ranges(self) -> None:
        """Run the photos through the graph, and store the range of each activation."""
        with quiet():
            calibrator = create_calibrator(
                self._graph, _OPERATORS, augmented_model_path=str(self.candidate)
            )
        batches = gate.inputs(self._model, self._folder)
        for first in batches:
            # After each call it merges the ranges. Its own option for this forgets them.
            reader = _Reader(chain([first], islice(batches, _RANGES_HELD - 1)))
            calibrator.collect_data(reader)
            self._calibrated += reader.count
        if self._calibrated:
            save_tensors_data(calibrator.compute_data(), self._ranges)

    def measure(self, path: Path) -> Gate:
        """Measure a graph on the held-out photos."""
        return gate.measure(
            self._model,
            self._original,
            open_graph(self._model, path),
            self._folder,
            self._least,
            self._calibrated,
        )

    def ranked(self, layers: Sequence[str]) -> list[str]:
        """Sort the layers by the error that each causes alone, the largest first.

        The error is that of the outputs, on photos that are not held out.
        """
        progress = Progress("measuring single layers", len(layers), self._folder.say)
        batches = list(islice(gate.inputs(self._model, self._folder), _PROBES))
        expected = [self._original.forward(batch) for batch in batches]
        figures = {}
        for layer in layers:
            self.write([layer], self.candidate)
            network, agreement = open_graph(self._model, self.candidate), Outputs()
            for batch, outputs in zip(batches, expected, strict=True):
                agreement.compare(outputs, network.forward(batch))
            figures[layer] = agreement.value()
            progress.step()
        return sorted(layers, key=figures.__getitem__)

    def write(self, layers: Sequence[str], out: Path) -> None:
        """Write the graph with these layers in 8 bits."""
        with quiet():
            quantize_static(
                self._graph,
                out,
                op_types_to_quantize=_OPERATORS,
                nodes_to_quantize=list(layers),
                per_channel=True,
                reduce_range=saturates(),
                # Unsigned activations: with signed ones, x86 has no fast integer kernels.
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibration_cache_path=self._ranges,
            )


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Gives onnxruntime one photo at a time."""

    def __init__(self, batches: Iterator[Arrays]) -> None:
        self._batches = batches
        self.count = 0

    def get_next(self) -> Any:
        batch = next(self._batches, None)
        self.count += batch is not None
        return batch


def saturates(machine: str = "", cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return True if a processor may saturate when it adds two 8-bit products.

    AVX2 and AVX-512 without VNNI add pairs of products in 16 bits. Weights of 7 bits avoid this.
    ARM and processors with VNNI add in 32 bits.

    Args:
        machine: such as `x86_64`. Default: that of this machine.
        cpuinfo: the kernel's file with the processor's flags.
    """
    if (machine or platform.machine()) not in ("x86_64", "AMD64", "i686"):
        return False
    try:
        flags = set(cpuinfo.read_text().split())
    except OSError:
        return True
    return _VNNI.isdisjoint(flags)


def _layers(path: Path) -> list[str]:
    """Return the names of the nodes whose weights are constants.

    A product of two activations, as in attention, loses too much.
    """
    graph = onnx.load(path).graph
    constants = {each.name for each in graph.initializer}
    return [
        node.name
        for node in graph.node
        if node.op_type in _OPERATORS and node.name and node.input[1] in constants
    ]


def _drop_unused_domains(path: Path) -> None:
    """Remove the operator sets that onnxruntime adds. Other versions of it may not know them."""
    model = onnx.load(path)
    used = {node.domain for node in model.graph.node} | {""}
    kept = [each for each in model.opset_import if each.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.save(model, path)
