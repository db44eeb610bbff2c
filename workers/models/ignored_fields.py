"""Find fields of model.yaml that a version's kind or task would silently ignore.

A field without an effect is refused like an unknown one. Otherwise you believe that a version runs
in bfloat16, for example, and it does not.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agewell.workers.models.spec import ModelSpec

_HUGGING_FACE_WEIGHTS: Final = "model.safetensors"

_CODE = {
    "exported": "the archive contains the network",
    "onnx": "the graph is the network",
    "huggingface": "config.json names the network",
}
_GRAPH = {
    "dtype": "the types of its values are those of the graph",
    "weights_dtype": "the types of its values are those of the graph",
    "fold_batch_norm": "the graph was folded when it was exported",
    "compile": "onnxruntime optimises the graph by itself",
    "channels_last": "onnxruntime chooses the memory order",
    "cuda_graphs": "onnxruntime starts the kernels",
}
_NEEDS_KIND_ONNX = "the field chooses what runs kind onnx"

Ignored = Iterator[tuple[str, object, str]]
"""The name, value and reason of each ignored field."""


def ignored(spec: "ModelSpec") -> Iterator[str]:
    """List the fields that have a value and would have no effect.

    Returns:
        For each: its name, the value found, why it has no effect, and what to do.
    """
    for rule in (_by_kind, _by_company, _by_size):
        for name, found, why in rule(spec):
            yield f"{name}: {found!r} has no effect {why}"


def _by_kind(spec: "ModelSpec") -> Ignored:
    """Find the fields that only another kind uses."""
    reasons: dict[str, str] = {}
    if spec.kind in _CODE:
        reasons |= dict.fromkeys(("entry", "entry_options"), _CODE[spec.kind])
        reasons["onnx"] = "only kind torch chooses between two networks"
    if spec.kind == "onnx":
        reasons |= _GRAPH
    if spec.kind != "onnx":
        reasons["provider"] = _NEEDS_KIND_ONNX
    for name, why in reasons.items():
        if _is_given(spec, name):
            yield name, getattr(spec, name), f"for kind {spec.kind}, as {why}; remove it"


def _by_company(spec: "ModelSpec") -> Ignored:
    """Find the fields that need another field, or another value of it."""
    rules: dict[str, tuple[Callable[[], bool], str]] = {
        "sha256": (lambda: spec.weights is None, "without weights: name their file, or remove it"),
        "entry_options": (
            lambda: spec.kind == "torch" and not (spec.entry or spec.model_class),
            "without an entry: name one, or remove them",
        ),
        "options": (
            lambda: spec.model_class is None,
            "without a model_class that reads them: name one, or remove them",
        ),
        "labels": (
            lambda: spec.task == "image" and spec.model_class is None,
            "for task image, which returns a picture; remove them",
        ),
        "weights": (
            lambda: spec.kind == "huggingface" and spec.weights != _HUGGING_FACE_WEIGHTS,
            f"for kind huggingface, which loads {_HUGGING_FACE_WEIGHTS}; name that file, "
            "or remove the field",
        ),
    }
    for name, (applies, why) in rules.items():
        if _is_given(spec, name) and applies():
            yield name, getattr(spec, name), why


def _by_size(spec: "ModelSpec") -> Ignored:
    """Find the fields of `input` that contradict its size, or need one."""
    size, given = spec.input.size, spec.input
    defaults = {name: field.default for name, field in type(given).model_fields.items()}
    if given.pad != defaults["pad"] and given.fit != "letterbox":
        yield "input.pad", given.pad, "without fit: letterbox; set that, or remove it"
    if size is None:
        if given.fit != "stretch" and spec.kind != "huggingface":  # its size may be in a file
            why = "without height and width: give both, or remove it"
            yield "input.fit", given.fit, why
        return
    shown = f"on the fixed size {size[0]} x {size[1]}; change the size, or remove it"
    if any(side % given.multiple for side in size):
        yield "input.multiple", given.multiple, shown
    if "max_side" in given.model_fields_set and given.max_side < max(size):
        yield "input.max_side", given.max_side, shown


def _is_given(spec: "ModelSpec", name: str) -> bool:
    """Return True if a field has another value than without it in model.yaml."""
    default = type(spec).model_fields[name].get_default(call_default_factory=True)
    return bool(getattr(spec, name) != default)
