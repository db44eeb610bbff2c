"""Export a version: make its directory, compare it with the original, and move it into place."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from agewell.shared.errors import ModelError
from agewell.workers.imaging.image import Image
from agewell.workers.models.export import files, graph, int8, parity
from agewell.workers.models.export.int8 import Quantised
from agewell.workers.models.export.parity import Case, Speed
from agewell.workers.models.image_folder import Folder
from agewell.workers.models.kinds.torch_module import TorchModule
from agewell.workers.models.load import make_model
from agewell.workers.models.model import Model

GRAPH = files.GRAPH


@dataclass(frozen=True)
class Calibration:
    """How to make an 8-bit graph."""

    folder: Folder
    least: float  # the bound of the agreement, see `gate.bound`


@dataclass(frozen=True)
class Export:
    """The result of an export."""

    directory: Path  # of the new version
    int8: bool
    cases: list[Case]  # of the graph in float32
    speeds: list[Speed]
    operators: dict[str, int]
    size_bytes: int
    float32_bytes: int  # of the graph in float32
    quantised: Quantised | None  # None without --int8

    @property
    def failed(self) -> list[Case]:
        """The cases in which the float32 graph disagrees with the original."""
        return [case for case in self.cases if not case.holds]

    @property
    def made(self) -> bool:
        """True if the new version was written. Otherwise nothing was changed."""
        return not self.failed and (self.quantised is None or self.quantised.gate.holds)


def export(
    source: Path,
    target: Path,
    *,
    calibration: Calibration | None = None,
    photos: tuple[Image, ...] = (),
) -> Export:
    """Export a version that torch runs to a version of kind `onnx`.

    Args:
        source: the directory of the original, `.../NAME/VERSION`.
        target: the directory of the new version, which must not exist. If it is the original's
            directory, the graph is added to it, and each worker uses the faster of the two.
        calibration: make an 8-bit graph, with ranges measured on these photos.
        photos: (H, W, 3) uint8 BGR, to compare the float32 graph on in addition to noise.

    Returns:
        The comparison. If the two disagree (not `made`), target is neither made nor changed.

    Raises:
        ModelError: the original cannot be loaded, or torch does not run it.
        ValueError: the photos do not suffice, or there is nothing to quantise.
        OSError: target cannot be written.
    """
    model, original = _open(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as part:
        made = Path(part) / target.name
        made.mkdir()
        result = _make(model, original, made, Path(part), target, calibration, photos)
        if result.made:
            files.complete(
                model, original, source, made, target, quantised=result.quantised is not None
            )
            _move(made, target)
    return result


def _make(
    model: Model,
    original: TorchModule,
    made: Path,
    part: Path,
    target: Path,
    calibration: Calibration | None,
    photos: tuple[Image, ...],
) -> Export:
    """Write the graph, and compare it with the original."""
    whole = part / "float32.onnx"
    module = original.make_module().eval().requires_grad_(False)
    graph.export(module, model.example(), model.spec.input, whole)
    float32 = files.open_graph(model, whole)
    cases = parity.compare(model, original, float32, photos)
    quantised = None
    if calibration is None or not all(case.holds for case in cases):
        shutil.copyfile(whole, made / GRAPH)
    else:
        quantised = int8.quantise(
            model, original, whole, made / GRAPH, calibration.folder, calibration.least
        )
    exported = float32 if quantised is None else files.open_graph(model, made / GRAPH)
    return Export(
        directory=target,
        int8=calibration is not None,
        cases=cases,
        speeds=parity.speeds(model, original, exported, float32 if quantised else None),
        operators=dict(graph.operators(made / GRAPH)),
        size_bytes=(made / GRAPH).stat().st_size,
        float32_bytes=whole.stat().st_size,
        quantised=quantised,
    )


def _open(source: Path) -> tuple[Model, TorchModule]:
    model = make_model(source, plain=True)
    if model.spec.kind == "onnx":
        raise ModelError(model.spec.name, model.spec.version, "is an ONNX graph already")
    model.load(torch.device("cpu"))
    try:
        network = model.network
    except RuntimeError:  # a class of the user's own may compute without one
        network = None
    if not isinstance(network, TorchModule):
        raise ModelError(model.spec.name, model.spec.version, "has no torch module to export")
    return model, network


def _move(made: Path, target: Path) -> None:
    """Move a new version into place at once, or its files beside those of the original."""
    if not target.exists():
        made.rename(target)
        return
    for file in made.iterdir():
        file.replace(target / file.name)
