"""The texts about one item's result: a model's classes or values, an error, figures."""

from dataclasses import dataclass, field
from typing import Any

from agewell.shared.protocol.messages import ImageRef, ItemResult


@dataclass(frozen=True)
class Class:
    """One class that a model predicts, and its probability in [0, 1]."""

    label: str
    probability: float


@dataclass(frozen=True)
class ItemText:
    """The texts about one item."""

    classes: list[Class] = field(default_factory=list)
    """In the order of the result, the most probable first."""
    values: list[tuple[str, str]] = field(default_factory=list)
    """Names and texts of the other values of a prediction."""
    error: str = ""
    files: list[str] = field(default_factory=list)
    """Names of results that are not pictures."""
    info: str = ""
    model: str = ""


def item_text(result: ItemResult) -> ItemText:
    """Make the texts about one item's result."""
    prediction, info = dict(result.prediction or {}), dict(result.info)
    model = f"{info.pop('model')}, version {info.pop('version')}" if _has_model(info) else ""
    info.pop("image", None)
    classes = _classes(prediction.get("classes"))
    if classes:
        prediction.pop("classes")
    return ItemText(
        classes=classes,
        values=[(str(name), _text(value)) for name, value in prediction.items()],
        error=result.error.message if result.error else "",
        files=[each.name for each in result.extras or () if not is_picture(each)],
        info=", ".join(f"{name} {_text(value)}" for name, value in info.items()),
        model=model,
    )


def is_picture(ref: ImageRef) -> bool:
    """True for a result that a browser can show, False for an archive of numbers."""
    return ref.media_type.startswith("image/")


def _has_model(info: dict[str, Any]) -> bool:
    return "model" in info and "version" in info


def _classes(found: Any) -> list[Class]:
    """Return the classes of a classification, or an empty list for another kind of prediction."""
    if not isinstance(found, list):
        return []
    try:
        return [Class(str(each["label"]), float(each["probability"])) for each in found]
    except (TypeError, ValueError, KeyError):
        return []


def _text(value: Any) -> str:
    return f"{value:.3g}" if type(value) is float else str(value)
