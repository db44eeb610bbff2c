"""Export a version: make its directory, compare it with the original, and move it into place."""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from agewell.shared.errors import ModelError
from agewell.workers.imaging.image import Image
from agewell.workers.models.arrays import CHECK_FILE
from agewell.workers.models.export import graph, parity
from agewell.workers.models.export.parity import Case, Speed
from agewell.workers.models.kinds.onnx_graph import OnnxGraph
from agewell.workers.models.kinds.torch_module import TorchModule
from agewell.workers.models.load import make_model
from agewell.workers.models.model import Model
from agewell.workers.models.spec import FILE_NAME, ModelSpec

GRAPH = "model.onnx"
_CHECK_SIDE = 64
_TORCH_ONLY = frozenset(
    ("entry", "entry_options", "onnx", "compile", "cuda_graphs", "dtype", "channels_last")
)
"""Fields of model.yaml that kind `onnx` does not have."""


@dataclass(frozen=True)
class Export:
    """The result of an export."""

    directory: Path  # of the new version
    int8: bool
    cases: list[Case]
    speeds: list[Speed]
    operators: dict[str, int]
    size_bytes: int

    @property
    def failed(self) -> list[Case]:
        """The cases in which the two networks disagree. The export is refused if there are any."""
        return [case for case in self.cases if not case.holds(self.int8)]


def export(
    source: Path, target: Path, *, int8: bool = False, photos: tuple[Image, ...] = ()
) -> Export:
    """Export a version of kind `torch` to a version of kind `onnx`.

    Args:
        source: the directory of the original, `.../NAME/VERSION`.
        target: the directory of the new version, which must not exist. If it is the original's
            directory, the graph is added to it, and each worker uses the faster of the two.
        int8: use 8-bit weights in linear layers.
        photos: (H, W, 3) uint8 BGR, to compare on in addition to noise.

    Returns:
        The comparison. If the two disagree (`failed`), target is neither made nor changed.

    Raises:
        ModelError: the original cannot be loaded, or is not of kind `torch`.
    """
    model, original = _open(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as part:
        made = Path(part)
        _write_graph(model, original, made / GRAPH, int8)
        spec = model.spec.model_copy(update={"weights": GRAPH, "sha256": None})
        exported = OnnxGraph(spec, made)
        exported.load(torch.device("cpu"))
        result = Export(
            directory=target,
            int8=int8,
            cases=parity.compare(model, original, exported, photos),
            speeds=parity.speeds(model, original, exported),
            operators=dict(graph.operators(made / GRAPH)),
            size_bytes=(made / GRAPH).stat().st_size,
        )
        if not result.failed:
            allowed = max(case.allowed(int8) for case in result.cases)
            _write_check(model, original, made / CHECK_FILE)
            _write_spec(source, made, target, allowed)
            target.mkdir(exist_ok=True)
            for file in made.iterdir():
                file.replace(target / file.name)
    return result


def _open(source: Path) -> tuple[Model, TorchModule]:
    model = make_model(source, plain=True)
    if model.spec.kind == "onnx":
        raise ModelError(model.spec.name, model.spec.version, "is an ONNX graph already")
    model.load(torch.device("cpu"))
    if not isinstance(model.network, TorchModule):
        raise ModelError(model.spec.name, model.spec.version, "is no torch module")
    return model, model.network


def _write_graph(model: Model, original: TorchModule, path: Path, int8: bool) -> None:
    module = original.make_module().eval().requires_grad_(False)
    if not int8:
        graph.export(module, model.example(), model.spec.input, path)
        return
    whole = path.with_name("float32.onnx")
    graph.export(module, model.example(), model.spec.input, whole)
    graph.quantize(whole, path)
    whole.unlink()


def _write_check(model: Model, original: TorchModule, path: Path) -> None:
    """Store two inputs and the original's outputs. Workers compare with them after loading."""
    rng = np.random.default_rng(1)
    height, width = model.spec.input.size or (_CHECK_SIDE, 2 * _CHECK_SIDE)
    images = [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(2)]
    batch = parity.stacked(model, images, tokens=8)
    outputs = original.forward(batch)
    arrays = {f"in:{name}": array for name, array in batch.items()}
    arrays |= {f"out:{name}": array for name, array in outputs.items()}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def _write_spec(source: Path, made: Path, target: Path, allowed: float) -> None:
    """Write model.yaml: a copy of the original's, changed to kind `onnx` or with `onnx` added."""
    document: dict[str, Any] = yaml.safe_load((source / FILE_NAME).read_text())
    document["check_max_abs"] = float(f"{allowed:.3g}")
    if target.resolve() == source.resolve():
        document["onnx"] = GRAPH
    else:
        for torch_only in _TORCH_ONLY:
            document.pop(torch_only, None)
        digest = hashlib.sha256((made / GRAPH).read_bytes()).hexdigest()
        document |= {"kind": "onnx", "weights": GRAPH, "sha256": digest}
        document |= {"name": target.parent.name, "version": target.name}
        document |= {"variant_of": source.name}
    names = {"name": target.parent.name, "version": target.name}  # a document may lack them
    ModelSpec.model_validate(document | names)
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=96)
    (made / FILE_NAME).write_text(text)
