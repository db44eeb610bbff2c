"""The texts about one item's result: a model's classes or values, an error, figures."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agewell.shared.protocol.messages import ImageRef, ItemResult

Row = TypeVar("Row")


@dataclass(frozen=True)
class Class:
    """One class that a model predicts, and its probability or its share of pixels in [0, 1]."""

    label: str
    probability: float


@dataclass(frozen=True)
class Box:
    """One object that a model finds, its score in [0, 1], and its corners in px."""

    label: str
    score: float
    corners: str


@dataclass(frozen=True)
class ItemText:
    """The texts about one item."""

    classes: list[Class] = field(default_factory=list)
    """In the order of the result, the most probable first."""
    of_classes: str = "Probability"
    """The heading of the numbers of classes."""
    boxes: list[Box] = field(default_factory=list)
    """In the order of the result, the best score first."""
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
    classes, boxes = _classes(prediction.get("classes")), _boxes(prediction.get("boxes"))
    shares = _shares(prediction.get("segments"))
    for name, found in (("classes", classes), ("boxes", boxes), ("segments", shares)):
        if found:
            prediction.pop(name)
    return ItemText(
        classes=classes or shares,
        of_classes="Share" if shares else "Probability",
        boxes=boxes,
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
    return _read(found, lambda each: Class(str(each["label"]), float(each["probability"])))


def _shares(found: Any) -> list[Class]:
    return _read(found, lambda each: Class(str(each["label"]), float(each["share"])))


def _boxes(found: Any) -> list[Box]:
    def box(each: Any) -> Box:
        return Box(str(each["label"]), float(each["score"]), _corners(each["box"]))

    return _read(found, box)


def _read(found: Any, read: Callable[[Any], Row]) -> list[Row]:
    """Read each entry of a prediction. The list is empty for another kind of prediction."""
    if not isinstance(found, list):
        return []
    try:
        return [read(each) for each in found]
    except (TypeError, ValueError, KeyError, OverflowError):
        return []


def _corners(box: Any) -> str:
    x0, y0, x1, y1 = (round(float(each)) for each in box)
    return f"{x0}, {y0} to {x1}, {y1}"


def _text(value: Any) -> str:
    if value == []:
        return "none"
    return f"{value:.3g}" if type(value) is float else str(value)
