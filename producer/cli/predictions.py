"""Tables of a model's predictions: classes, boxes, shares of an image, or other values."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agewell.producer.cli.tables import Column
from agewell.shared.protocol.messages import ItemResult

_IMAGE: Final = Column("image", flexible=True)
_MODEL: Final = Column("model", drop=1)


@dataclass(frozen=True)
class _Kind:
    """A kind of prediction: a list under a name, with one line for each of its entries."""

    columns: tuple[Column, ...]
    cells: Callable[[Mapping[str, Any]], list[str]]
    nothing: str = "-"  # the first cell, if the list is empty


_KINDS: Final[Mapping[str, _Kind]] = {
    "classes": _Kind(
        (Column("label"), Column("probability", right=True)),
        lambda each: [str(each["label"]), f"{each['probability']:.1%}"],
    ),
    "boxes": _Kind(
        (Column("label"), Column("score", right=True), Column("box: x0,y0 x1,y1")),
        lambda each: [str(each["label"]), f"{each['score']:.2f}", _box(each["box"])],
        "nothing found",
    ),
    "segments": _Kind(
        (Column("label"), Column("share", right=True)),
        lambda each: [str(each["label"]), f"{each['share']:.1%}"],
    ),
}
_OTHER: Final = _KINDS["classes"].columns


def prediction_table(
    items: Iterable[ItemResult],
) -> tuple[tuple[Column, ...], list[list[str]]]:
    """Return the columns and the lines of a table of predictions.

    Args:
        items: the results of one job. Those without a prediction are left out.
    """
    found = [item for item in items if item.prediction]
    inner = next((_columns_of(item.prediction or {}) for item in found), _OTHER)
    rows = []
    for item in found:
        name = str(item.info.get("image", ""))
        model = f"{item.info['model']}/{item.info['version']}"
        for cells in _lines(item.prediction or {}):
            rows.append([name, *cells, *[""] * (len(inner) - len(cells)), model])
            name = model = ""
    return (_IMAGE, *inner, _MODEL), rows


def _kind_of(values: Mapping[str, Any]) -> tuple[str, _Kind] | None:
    known = [(name, kind) for name, kind in _KINDS.items() if isinstance(values.get(name), list)]
    return known[0] if known else None


def _columns_of(values: Mapping[str, Any]) -> tuple[Column, ...]:
    known = _kind_of(values)
    return known[1].columns if known else _OTHER


def _lines(values: Mapping[str, Any]) -> list[list[str]]:
    known = _kind_of(values)
    if known is None:
        return [[f"{name}: {value}"] for name, value in values.items()]
    name, kind = known
    return [kind.cells(each) for each in values[name]] or [[kind.nothing]]


def _box(corners: Iterable[float]) -> str:
    x0, y0, x1, y1 = (round(each) for each in corners)
    return f"{x0},{y0} {x1},{y1}"
