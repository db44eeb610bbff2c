"""From a version's directory to its model."""

from pathlib import Path

from shared.errors import ModelError
from workers.models.base import Model
from workers.models.classifier import Classifier
from workers.models.code import load_code
from workers.models.picture import PictureModel
from workers.models.spec import read_spec

_OF_TASK: dict[str, type[Model]] = {"classification": Classifier, "image": PictureModel}


def open_model(directory: Path) -> Model:
    """The model of a directory, not loaded yet.

    Raises:
        ModelError: model.yaml is not valid, or the class that it names is no Model.
    """
    spec = read_spec(directory)
    if spec.model_class is None:
        return _OF_TASK[spec.task](spec, directory)
    found = load_code(spec.model_class, spec, directory)
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise ModelError(spec.name, spec.version, f"{spec.model_class} is no subclass of Model")
    return found(spec, directory)
