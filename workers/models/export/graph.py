"""Write a torch module as an ONNX graph with open batch size, picture size and context length."""

import contextlib
import io
import logging
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from agewell.workers.models.arrays import Arrays
from agewell.workers.models.input_spec import InputSpec
from agewell.workers.models.kinds import tensors

OPSET = 23
"""The first opset with an Attention operator, to which scaled_dot_product_attention is exported."""
_ESCAPES = r"\x1b\[[0-9;]*m"
_PICTURE_DIMS, _TOKENS_DIMS = 3, 2

Shapes = dict[str, dict[int, Any]]


def export(module: torch.nn.Module, item: Arrays, spec: InputSpec, path: Path) -> None:
    """Write a module as an ONNX graph, all in one file.

    Args:
        module: in evaluation mode, on the CPU.
        item: one item of its input, by name, without a batch axis.
        spec: tells if the size of a picture is open.
        path: of the .onnx file.

    Raises:
        ValueError: torch cannot export the module, or only for one size of a batch or a picture.
    """
    # Two equal items: torch.export assumes that a size of 1 never varies.
    batch = {name: torch.from_numpy(np.stack([each, each])) for name, each in item.items()}
    with torch.inference_mode():
        outputs = list(tensors.call(module, batch))
    shapes = open_axes(item, spec)
    single = len(batch) == 1
    try:
        with quiet():
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
    except Exception as error:  # torch's exporter and the network's code raise any class
        raise ValueError(f"torch cannot export it: {_reason(error)}") from error
    if program is None:
        raise ValueError("torch cannot export it: torch.onnx.export made no program")
    _check_open(program.model.graph.inputs, list(shapes.values()))
    program.save(str(path))
    _drop_traces(path)


def _drop_traces(path: Path) -> None:
    """Remove what the exporter notes at each node: lines of code and paths of this machine."""
    model = onnx.load(path)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    onnx.save(model, path)


def _reason(error: BaseException) -> str:
    """Return the first line of the error at the root of torch's error, which is many pages."""
    while error.__cause__ is not None:
        error = error.__cause__
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {re.sub(_ESCAPES, '', first)}"


def _check_open(inputs: Sequence[Any], axes: Sequence[Mapping[int, Any]]) -> None:
    """Check that the axes of a graph that should be open are. If torch cannot, it fixes them.

    Raises:
        ValueError: an axis is fixed.
    """
    for each, wanted in zip(inputs, axes, strict=True):
        fixed = [axis for axis in wanted if isinstance(each.shape[axis], int)]
        if fixed:
            shape = ", ".join(map(str, each.shape))
            raise ValueError(
                f"torch can export it only for input {each.name} of shape ({shape}), because its "
                "code computes with these sizes as numbers"
            )


def open_axes(item: Arrays, spec: InputSpec) -> Shapes:
    """Return the axes of a batch that may have any length.

    These are the batch axis, the height and width of a picture (C, H, W) in multiples of
    model.yaml's `multiple` unless the size is fixed, and the number of tokens of a context (N, D).
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


def operators(path: Path) -> Mapping[str, int]:
    """Count the nodes of each operator in a graph."""
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@contextlib.contextmanager
def quiet() -> Any:
    """Suppress the exporters' progress output and internal warnings."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
