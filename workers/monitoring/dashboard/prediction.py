"""One item of a job's result in words: a model's classes or values, an error, figures."""

from dataclasses import dataclass, field
from typing import Any

from agewell.shared.protocol.messages import ImageRef, ItemResult


@dataclass(frozen=True)
class Class:
    """One class that a model sees, and how likely it is."""

    label: str
    probability: float


@dataclass(frozen=True)
class Said:
    """Words about one item."""

    classes: list[Class] = field(default_factory=list)
    """As the result has them, the likeliest first."""
    values: list[tuple[str, str]] = field(default_factory=list)
    """Other values of a prediction."""
    error: str = ""
    files: list[str] = field(default_factory=list)
    """Names of results that are no pictures."""
    info: str = ""
    model: str = ""


def said_of(result: ItemResult) -> Said:
    """Read one item's result."""
    prediction, info = dict(result.prediction or {}), dict(result.info)
    model = f"{info.pop('model')}, version {info.pop('version')}" if _has_model(info) else ""
    info.pop("image", None)
    classes = _classes(prediction.get("classes"))
    if classes:
        prediction.pop("classes")
    return Said(
        classes=classes,
        values=[(str(name), _text(value)) for name, value in prediction.items()],
        error=result.error.message if result.error else "",
        files=[each.name for each in result.extras or () if not is_picture(each)],
        info=", ".join(f"{name} {_text(value)}" for name, value in info.items()),
        model=model,
    )


def is_picture(ref: ImageRef) -> bool:
    """True for a result that can be shown, False for an archive of numbers."""
    return ref.media_type.startswith("image/")


def _has_model(info: dict[str, Any]) -> bool:
    return "model" in info and "version" in info


def _classes(found: Any) -> list[Class]:
    """The classes of a classification; empty if it is another kind of prediction."""
    if not isinstance(found, list):
        return []
    try:
        return [Class(str(each["label"]), float(each["probability"])) for each in found]
    except (TypeError, ValueError, KeyError):
        return []


def _text(value: Any) -> str:
    return f"{value:.3g}" if type(value) is float else str(value)
