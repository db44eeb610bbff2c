"""The options of `agewell enqueue infer` that become parameters of the model."""

import json
from typing import Annotated, Any

import typer

from agewell.producer.cli.options import shown_as, with_options
from agewell.shared.errors import ParameterError

Score = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Detection: the lowest score of a box. Default: the model's."),
]
Iou = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Detection: drop boxes that overlap a better one by more than this."
    ),
]
Most = Annotated[
    int | None, typer.Option("--max", min=1, help="Detection: the most boxes of one image.")
]
Classes = Annotated[
    str | None, shown_as("LABELS", "Detection: only these classes, as 'cat,dog'. Default: all.")
]
Draw = Annotated[
    bool | None,
    typer.Option(
        "--draw/--no-draw",
        help="Detection: return the image with its boxes drawn. Default: yes. "
        "Segmentation: also return the image with its classes in colour. Default: no.",
        show_default=False,
    ),
]
Crops = Annotated[
    bool | None,
    typer.Option(
        "--crops/--no-crops",
        help="Detection: return the part within each box as a file. Default: no.",
        show_default=False,
    ),
]
Label = Annotated[
    str | None,
    shown_as("LABELS", "Segmentation: a mask of these classes, white on black. Default: numbers."),
]
Pairs = Annotated[
    list[str] | None,
    shown_as(
        "NAME=VALUE", "A parameter of the model, such as top=3. Repeat it for several.", "--set"
    ),
]


def read_parameters(
    *,
    score: Score = None,
    iou: Iou = None,
    most: Most = None,
    classes: Classes = None,
    draw: Draw = None,
    crops: Crops = None,
    label: Label = None,
    pairs: Pairs = None,
) -> dict[str, Any]:
    """Return the parameters of the model that were given, by name.

    Raises:
        ParameterError: a parameter is not NAME=VALUE, or is given twice.
    """
    named = {
        "score": score,
        "iou": iou,
        "max": most,
        "classes": classes,
        "draw": draw,
        "crops": crops,
        "label": label,
    }
    given = {name: value for name, value in named.items() if value is not None}
    for name, value in _values(pairs or []):
        if name in given:
            raise ParameterError("--set", f"{name} a second time", "each parameter once")
        given[name] = value
    return given


def _values(pairs: list[str]) -> list[tuple[str, str | int | float | bool]]:
    """Read `top=3` as a number and `name=text` as a text: a value is JSON if it can be parsed."""
    found = []
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not (name and separator):
            raise ParameterError("--set", repr(pair), "NAME=VALUE")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        found.append((name, value if isinstance(value, str | int | float | bool) else text))
    return found


with_model_options = with_options(read_parameters, "parameters")
"""Adds these options to a command, and passes them to it as its argument `parameters`."""
