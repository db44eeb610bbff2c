"""From a version's directory to its model."""

from pathlib import Path
from typing import TYPE_CHECKING

from agewell.shared.errors import ModelError
from agewell.workers.models import malloc
from agewell.workers.models.model import Model
from agewell.workers.models.spec import read_spec
from agewell.workers.models.tasks.classification import Classifier
from agewell.workers.models.tasks.image import PictureModel
from agewell.workers.models.user_code import load_code

if TYPE_CHECKING:
    import torch

_OF_TASK: dict[str, type[Model]] = {"classification": Classifier, "image": PictureModel}

_PLAIN = {"onnx": None, "compile": False, "cuda_graphs": False, "dtype": "float32"}


def open_model(directory: Path, *, plain: bool = False) -> Model:
    """The model of a directory, not loaded yet.

    Args:
        directory: of one version.
        plain: for looking inside: torch's module alone runs, as its code says, in float32. Without
            it an ONNX graph beside may run in its place, or a compiled form, which call no hooks.

    Raises:
        ModelError: model.yaml is not valid, or the class that it names is no Model.
    """
    spec = read_spec(directory)
    if plain:
        spec = spec.model_copy(update=_PLAIN)
    if spec.model_class is None:
        return _OF_TASK[spec.task](spec, directory)
    found = load_code(spec.model_class, spec, directory)
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise ModelError(spec.name, spec.version, f"{spec.model_class} is no subclass of Model")
    return found(spec, directory)


def ready_model(directory: Path, on: "torch.device", *, plain: bool = False) -> Model:
    """The model of a directory, fit to serve: loaded, warmed up, verified.

    Args:
        directory: of one version.
        on: where it runs.
        plain: torch's module alone, as of `open_model`.

    Raises:
        ModelError: it is not valid, damaged, or not what it should be.
        Exception: whatever its network raises when it runs for the first time.
    """
    model = open_model(directory, plain=plain)
    with malloc.large_blocks_apart():
        model.load(on)
    model.warmup()
    model.verify()
    return model
