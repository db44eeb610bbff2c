"""torch -> ONNX: a graph whose batch, picture size and context length stay open."""

import contextlib
import io
import logging
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from agewell.workers.models.arrays import Arrays
from agewell.workers.models.kinds import tensors
from agewell.workers.models.spec import InputSpec

OPSET = 23
"""The first with Attention as one operator, which scaled_dot_product_attention becomes."""
_PICTURE_DIMS, _TOKENS_DIMS = 3, 2
_QUANTIZED = ["MatMul", "Gemm"]
"""Linear layers. Not Conv: onnxruntime's integer convolution is slower than its float one."""

Shapes = dict[str, dict[int, Any]]


def export(module: torch.nn.Module, item: Arrays, spec: InputSpec, path: Path) -> None:
    """Write a module as an ONNX graph, all in one file.

    Args:
        module: in evaluation mode, on the CPU.
        item: one item of its input, by name, without a batch axis.
        spec: says whether the size of a picture is open.
        path: of the .onnx file.
    """
    # Two items alike: torch.export takes a size of 1 for one that never varies.
    batch = {name: torch.from_numpy(np.stack([each, each])) for name, each in item.items()}
    with torch.inference_mode():
        outputs = list(tensors.call(module, batch))
    shapes = open_axes(item, spec)
    single = len(batch) == 1
    with _quiet():
        program = torch.onnx.export(
            module,
            args=tuple(batch.values()) if single else (),
            kwargs=None if single else batch,
            dynamic_shapes=tuple(shapes.values()) if single else shapes,
            input_names=list(batch),
            output_names=outputs,
            opset_version=OPSET,
            dynamo=True,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export made no program")
    program.save(str(path))


def open_axes(item: Arrays, spec: InputSpec) -> Shapes:
    """The axes of a batch that may have any length.

    The batch; height and width of a picture (C, H, W), in the multiples that model.yaml names,
    unless its size is fixed; the number of tokens of a context (N, D).
    """
    size = torch.export.Dim
    batch = size("batch", min=1)
    found: Shapes = {}
    for name, array in item.items():
        axes: dict[int, Any] = {0: batch}
        if array.ndim == _PICTURE_DIMS and spec.size is None:
            for axis, side in ((2, "height"), (3, "width")):
                parts = size(f"{side}_parts" if spec.multiple > 1 else side, min=1)
                axes[axis] = spec.multiple * parts if spec.multiple > 1 else parts
        elif array.ndim == _TOKENS_DIMS:
            axes[1] = size(f"{name}_length", min=0)
        found[name] = axes
    return found


def quantize(path: Path, out: Path) -> None:
    """Write a graph again with the weights of its linear layers as 8-bit integers.

    Their inputs are scaled as they come (dynamic quantization): no photos to calibrate on.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(path)
    # The quantizer turns weights round and keeps their names, not the shapes that stand here.
    del model.graph.value_info[:]
    with _quiet():
        quantize_dynamic(
            model,
            out,
            op_types_to_quantize=_QUANTIZED,
            per_channel=True,
            weight_type=QuantType.QInt8,
        )


def operators(path: Path) -> Mapping[str, int]:
    """How many nodes of each operator a graph has."""
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@contextlib.contextmanager
def _quiet() -> Any:
    """Without the exporters' progress and their warnings about themselves."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
