"""Make and load the model of a version's directory."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agewell.shared.errors import ModelError
from agewell.workers.models import malloc
from agewell.workers.models.model import Model
from agewell.workers.models.spec import read_spec
from agewell.workers.models.tasks.classification import Classifier
from agewell.workers.models.tasks.detection import Detector
from agewell.workers.models.tasks.image import PictureModel
from agewell.workers.models.tasks.segmentation import Segmenter
from agewell.workers.models.user_code import load_code

if TYPE_CHECKING:
    import torch

_OF_TASK: dict[str, type[Model]] = {
    "classification": Classifier,
    "detection": Detector,
    "image": PictureModel,
    "segmentation": Segmenter,
}

PLAIN: Final[Mapping[str, Any]] = {
    "onnx": None,
    "compile": False,
    "cuda_graphs": False,
    "dtype": "float32",
    "weights_dtype": "float32",
    "fold_batch_norm": False,
}


def make_model(
    directory: Path, *, plain: bool = False, changes: Mapping[str, Any] | None = None
) -> Model:
    """Make the model of a directory, without loading its weights.

    Args:
        directory: of one version.
        plain: run only the torch module, uncompiled and in float32. Use it to look inside a
            network: ONNX graphs and compiled modules do not call hooks.
        changes: fields of model.yaml with other values, to compare what they do.

    Raises:
        ModelError: model.yaml is not valid, or its `model_class` is not a subclass of Model.
    """
    spec = read_spec(directory)
    if plain:
        spec = spec.model_copy(update=PLAIN)
    if changes:
        spec = spec.model_copy(update=dict(changes))
    if spec.model_class is None:
        return _OF_TASK[spec.task](spec, directory)
    found = load_code(spec.model_class, spec, directory)
    if not (isinstance(found, type) and issubclass(found, Model)):
        reason = f"model_class: {spec.model_class} is not a subclass of Model"
        raise ModelError(spec.name, spec.version, reason)
    return found(spec, directory)


def load_model(
    directory: Path,
    on: "torch.device",
    *,
    plain: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> Model:
    """Make the model of a directory, load it, warm it up and verify it.

    Args:
        directory: of one version.
        on: the device that runs it.
        plain: run only the torch module, see `make_model`.
        changes: fields of model.yaml with other values, see `make_model`.

    Raises:
        ModelError: its files are not valid or damaged, or its outputs differ from `check.npz`.
        Exception: any error that its network raises in the first pass.
    """
    model = make_model(directory, plain=plain, changes=changes)
    with malloc.large_blocks_mapped():
        model.load(on)
    model.warmup()
    model.verify()
    return model
