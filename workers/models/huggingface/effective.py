"""The fields of model.yaml that the files of a Hugging Face directory complete."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import ValidationError

from agewell.shared.text.problems import first_problem
from agewell.workers.models.huggingface.json_files import read_config
from agewell.workers.models.huggingface.preprocessor import Fields, read_fields
from agewell.workers.models.input_spec import InputSpec
from agewell.workers.models.outputs_spec import ClassOutputs, DetrOutputs

if TYPE_CHECKING:
    from agewell.workers.models.spec import ModelSpec

log = logging.getLogger(__name__)

_ASIDE: Final = {"background", "warmup_side"}
"""Fields that say nothing about how the network was trained."""
_VALUES: Final = {"mean", "std"}
_SIZES: Final = {"height", "resize", "multiple", "max_side"}
"""If model.yaml gives both values and a size, it describes the input without the file."""
_ACTIVATIONS: Final[Mapping[str, Literal["softmax", "sigmoid"]]] = {
    "conditional_detr": "sigmoid",
    "d_fine": "sigmoid",
    "dab-detr": "sigmoid",
    "deformable_detr": "sigmoid",
    "detr": "softmax",
    "rt_detr": "sigmoid",
    "rt_detr_v2": "sigmoid",
    "table-transformer": "softmax",
    "yolos": "softmax",
}
"""By `model_type` of a detector: softmax, if its last logit means no object."""
_ADVICE: Final = (
    "give height, width, mean and std in model.yaml's `input`, which then decides alone"
)


def completed(spec: "ModelSpec", directory: Path) -> "ModelSpec":
    """Return a version's model.yaml with `input` and `outputs` as the directory's files say.

    Raises:
        ValueError: see `effective_input`. Or the network does not classify.
    """
    changed: dict[str, Any] = {}
    try:
        changed["input"] = effective_input(spec.input, directory)
        if spec.task == "classification":
            changed["outputs"] = _class_outputs(spec, directory)
        elif spec.task == "detection" and spec.outputs is None:
            changed["outputs"] = _box_outputs(directory)
    except ValueError:
        if spec.model_class is None:
            raise
        # A class of the user's own may prepare images and read outputs in its own way.
    return spec.model_copy(update=changed)


def _class_outputs(spec: "ModelSpec", directory: Path) -> ClassOutputs | None:
    """Return how classes are read: an image has one of them, or several, as config.json says."""
    given = spec.outputs if isinstance(spec.outputs, ClassOutputs) else None
    kind = read_config(directory).get("problem_type")
    if given is not None and given.activation is not None:
        return given
    if kind == "regression":
        raise ValueError(
            "config.json: problem_type: the network gives values, not classes; found 'regression'; "
            "write a model_class for them, or the `activation` in model.yaml's `outputs`"
        )
    if kind != "multi_label_classification":
        return given
    return (given or ClassOutputs(family="classes")).model_copy(update={"activation": "sigmoid"})


def _box_outputs(directory: Path) -> DetrOutputs:
    """Return how boxes are read. The activation of an unknown network follows from its logits."""
    model_type = str(read_config(directory).get("model_type"))
    return DetrOutputs(family="detr", activation=_ACTIVATIONS.get(model_type))


def effective_input(given: InputSpec, directory: Path) -> InputSpec:
    """Return the input of a version: the fields of model.yaml, and the others from its file.

    A field that model.yaml gives overrides only itself, except that `fit` replaces the file's way
    to the size: its `resize`. If the file cannot be honoured, or is not there, model.yaml decides
    alone, provided that it describes the input.

    Args:
        given: `input` in model.yaml. The fields that were set there count.
        directory: of the version.

    Raises:
        ValueError: there is no file, and model.yaml does not describe the input either. Or the
            file has a value that agewell cannot honour, or that does not fit those of model.yaml.
    """
    own = given.model_fields_set
    try:
        fields = read_fields(directory)
    except FileNotFoundError as error:
        if own - _ASIDE:
            return given
        reason = f"{error}, so it is unknown how the network expects its images"
        raise ValueError(
            f"{reason}; copy that file from the network's source, or {_ADVICE}"
        ) from None
    except ValueError as error:
        if own >= _VALUES and own & _SIZES:
            log.warning("%s: model.yaml decides alone: %s", directory, error)
            return given
        raise ValueError(f"{error}; {_ADVICE}") from None
    return _merged(given, fields)


def _merged(given: InputSpec, fields: Fields) -> InputSpec:
    own = {name: getattr(given, name) for name in given.model_fields_set}
    if "fit" in own:
        fields = {name: value for name, value in fields.items() if name != "resize"}
    elif "height" in own and "resize" not in own:
        _check_cut(own, fields)
    try:
        return InputSpec.model_validate(fields | own)
    except ValidationError as error:
        problem = first_problem(error).line()
        raise ValueError(f"input, completed by preprocessor_config.json: {problem}") from None


def _check_cut(own: dict[str, Any], fields: Fields) -> None:
    """Check that model.yaml's size is not larger than the size to which the file resizes."""
    resize = fields.get("resize")
    if not resize:
        return
    sides = resize if isinstance(resize, tuple) else (resize, resize)
    if sides[0] < own["height"] or sides[1] < own["width"]:
        size = f"{own['height']} x {own['width']}"
        reason = f"the file resizes to {resize} px, which is less than height x width = {size}"
        raise ValueError(f"input: {reason}; give resize or fit as well")
