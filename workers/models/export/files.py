"""The files beside an exported graph: model.yaml, check.npz, and the code that model.yaml names."""

import hashlib
import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import yaml
from pydantic import ValidationError

from agewell.shared.text.problems import first_problem
from agewell.workers.models.arrays import CHECK_FILE, Arrays
from agewell.workers.models.export import parity
from agewell.workers.models.kinds.network import Network
from agewell.workers.models.kinds.onnx_graph import OnnxGraph
from agewell.workers.models.model import Model
from agewell.workers.models.spec import FILE_NAME, ModelSpec

GRAPH: Final = "model.onnx"
TORCH_ONLY: Final = frozenset(
    (
        "entry",
        "entry_options",
        "onnx",
        "compile",
        "cuda_graphs",
        "dtype",
        "weights_dtype",
        "fold_batch_norm",
        "channels_last",
    )
)
"""Fields of model.yaml that kind `onnx` does not have."""

_CHECK_SIDE = 64
_INT8_SHARE = 0.1
"""The allowed difference of an 8-bit graph on another processor, as a share of its largest output.
Kernels round differently, and later layers turn that into whole steps."""


def open_graph(model: Model, path: Path) -> OnnxGraph:
    """Open an ONNX graph of a model on the CPU."""
    spec = model.spec.model_copy(update={"weights": path.name, "sha256": None})
    network = OnnxGraph(spec, path.parent)
    network.load(torch.device("cpu"))
    return network


def complete(
    model: Model,
    original: Network,
    source: Path,
    made: Path,
    target: Path,
    *,
    quantised: bool = False,
) -> None:
    """Write the files beside a graph, so that workers can load and verify the version.

    Args:
        model: the original.
        original: its network.
        source: directory of the original.
        made: directory that has the graph. It gets the files.
        target: directory to which `made` is moved later. If it is `source`, model.yaml stays of
            kind torch, and names the graph.
        quantised: check.npz gets the outputs of the 8-bit graph instead of the original's, which
            the gate has compared already. So it finds processors that run it differently.
    """
    checked = open_graph(model, made / GRAPH) if quantised else original
    outputs = _write_check(model, checked, made / CHECK_FILE)
    largest = max(float(np.abs(array).max(initial=0)) for array in outputs.values())
    allowed = _INT8_SHARE * largest if quantised else parity.MAX_ABS
    beside = target.resolve() == source.resolve()
    document: dict[str, Any] = yaml.safe_load((source / FILE_NAME).read_text())
    document["check_max_abs"] = float(f"{allowed:.3g}")
    if beside:
        document["onnx"] = GRAPH
    else:
        document = _as_variant(model, document, source, made, target)
        document |= _outputs(model, outputs)
    try:
        ModelSpec.model_validate(document | {"name": source.parent.name, "version": target.name})
    except ValidationError as error:
        problem = first_problem(error).line()
        raise ValueError(f"the model.yaml of {target.name} would not be valid: {problem}") from None
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=96)
    (made / FILE_NAME).write_text(text)


def _as_variant(
    model: Model, document: dict[str, Any], source: Path, made: Path, target: Path
) -> dict[str, Any]:
    """Return the document of the new version, and copy the file with its model class."""
    kept = {name: value for name, value in document.items() if name not in TORCH_ONLY}
    if model.network.labels() and not model.spec.labels and model.spec.task != "image":
        kept["labels"] = list(model.network.labels())
    # For kind huggingface, parts of these come from files that stay behind.
    kept["input"] = model.spec.input.model_dump(mode="json", exclude_defaults=True)
    if model.spec.outputs is not None:
        kept["outputs"] = model.spec.outputs.model_dump(mode="json", exclude_none=True)
    file = (model.spec.model_class or "").partition(":")[0]
    if file.startswith("./"):
        shutil.copyfile(source / file, made / file)
    kept |= {"name": target.parent.name, "version": target.name, "variant_of": source.name}
    digest = hashlib.sha256((made / GRAPH).read_bytes()).hexdigest()
    return kept | {"kind": "onnx", "weights": GRAPH, "sha256": digest}


def _outputs(model: Model, outputs: Arrays) -> dict[str, Any]:
    """Return the field `outputs`, with what kind huggingface finds in its files."""
    given = model.spec.outputs
    fields = {} if given is None else given.model_dump(mode="json", exclude_unset=True)
    if model.spec.kind == "huggingface" and model.spec.task == "detection":
        fields.setdefault("family", "detr")
        if fields["family"] == "detr" and fields.get("activation") is None:
            classes = len(model.spec.labels or model.network.labels())
            logits = next(iter(outputs.values())).shape[-1]
            # One more is the class of no object.
            fields["activation"] = "sigmoid" if logits == classes else "softmax"
    return {"outputs": fields} if fields else {}


def _write_check(model: Model, network: Network, path: Path) -> Arrays:
    """Store two inputs and their outputs, with which workers compare. Returns the outputs."""
    rng = np.random.default_rng(1)
    height, width = model.spec.input.size or (_CHECK_SIDE, 2 * _CHECK_SIDE)
    images = [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(2)]
    batch = parity.stacked(model, images, tokens=8)
    outputs = network.forward(batch)
    arrays = {f"in:{name}": array for name, array in batch.items()}
    arrays |= {f"out:{name}": array for name, array in outputs.items()}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return outputs
