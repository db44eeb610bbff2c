"""Parameters of every JSON type that a pydantic model may have: read from text, and checked."""

import datetime
import enum
import json
import math
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from agewell import Image, operation
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.operations import OperationSchema
from agewell.shared.protocol.parameter_text import allowed, value_from_text
from agewell.shared.protocol.parameters import (
    check_parameters,
    complete_parameters,
    properties_of,
)


class Metal(enum.Enum):
    GOLD = "gold"
    SILVER = "silver"


class Depth(enum.IntEnum):
    SHALLOW = 1
    DEEP = 2


class Point(BaseModel):
    x: int
    y: int = Field(ge=0, le=10)


class Path(BaseModel):
    points: list[Point]
    inner: "Path | None" = None


@operation
def strange(
    image: Image,
    *,
    needed: int,
    point: Point = Point(x=1, y=2),  # noqa: B008
    path: Path | None = None,
    numbers: list[float] = [1.0, 2.0],  # noqa: B006
    table: dict[str, int] = {},  # noqa: B006
    number: Literal[1, 2, 3] = 1,
    mixed: Literal["a", 1] = "a",
    only: Literal["this"] = "this",
    word: Annotated[str, Field(min_length=2, max_length=5)] = "abc",
    maybe: Literal["a", "b"] | None = None,
    metal: Metal = Metal.GOLD,
    depth: Depth | None = None,
    on: bool = True,
    when: datetime.datetime | None = None,
    either: int | str = "x",
    strength: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    free: float = 1.0,
    even: Annotated[int, Field(multiple_of=2)] = 2,
    box: tuple[int, int, int, int] | None = None,
    corners: list[tuple[int, int]] | None = None,
    three: Annotated[list[int], Field(min_length=2, max_length=3)] | None = None,
    anything: Any = None,
    different: set[int] = set(),  # noqa: B006
    letters: Annotated[str, Field(pattern=r"^\p{L}+$")] = "é",
) -> Image:
    """Do nothing with parameters of many types.

    Args:
        image: the image.
        needed: a number.
    """
    return image


OPERATION = strange.agewell_operation  # type: ignore[attr-defined]
SCHEMA = OperationSchema.model_validate_json(OPERATION.schema.model_dump_json())
"""As a producer reads it from Redis."""
PROPERTIES = properties_of(SCHEMA)


def read(name: str, text: Any) -> Any:
    """Read a parameter's text and check it, as the command line does."""
    value = value_from_text(name, text, PROPERTIES[name])
    return check_parameters(SCHEMA, {"needed": 1, name: value}).get(name)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("point", '{"x": 1, "y": 3}', {"x": 1, "y": 3}),
        ("path", '{"points": [{"x": 1, "y": 1}]}', {"points": [{"x": 1, "y": 1}]}),
        ("path", "null", None),
        ("numbers", "1,2.5,-3", [1, 2.5, -3]),
        ("numbers", "[1, 2.5]", [1, 2.5]),
        ("numbers", "7", [7]),
        ("numbers", "", []),
        ("table", '{"a": 1}', {"a": 1}),
        ("number", "2", 2),
        ("mixed", "a", "a"),
        ("mixed", "1", 1),
        ("only", "this", "this"),
        ("word", "true", "true"),
        ("maybe", "b", "b"),
        ("metal", "silver", "silver"),
        ("depth", "2", 2),
        ("on", "false", False),
        ("when", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("either", "5", 5),
        ("either", "five", "five"),
        ("strength", ".3", 0.3),
        ("strength", "3e-1", 0.3),
        ("needed", "+5", 5),
        ("needed", "-5", -5),
        ("box", "1,2,3,4", [1, 2, 3, 4]),
        ("box", "-1, -2, 3, 4", [-1, -2, 3, 4]),
        ("box", "[1,2,3,4]", [1, 2, 3, 4]),
        ("corners", "[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("three", "1,2", [1, 2]),
        ("anything", '{"a": [1]}', {"a": [1]}),
        ("anything", "hello", "hello"),
        ("different", "1,2", [1, 2]),
        ("letters", "été", "été"),
    ],
)
def test_text_is_read_by_the_type_of_its_parameter(name: str, text: str, value: Any):
    found = read(name, text)
    assert found == value
    assert type(found) is type(value)
    if value is not None:
        OPERATION.read_parameters({"needed": 1, name: found})


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("point", '{"x": 1', "point is '{\"x\": 1'; allowed: a JSON object with x, y"),
        ("point", "7", "strange: point is 7; allowed: a JSON object with x, y"),
        ("point", '{"x": 1}', "point is {'x': 1}; allowed: a JSON object with x, y"),
        (
            "point",
            '{"x": 1, "y": 11}',
            "strange: point at y is 11; allowed: a whole number, 0 to 10",
        ),
        (
            "path",
            '{"points": [{"x": 1, "y": 0}, {"x": 1, "y": -1}]}',
            "strange: path at points.1.y is -1; allowed: a whole number, 0 to 10",
        ),
        ("numbers", '["a"]', "numbers is ['a']; allowed: a list, each a number"),
        ("numbers", "1,a", "numbers is '1,a'; allowed: a list, each a number"),
        ("numbers", "NaN", "strange: numbers is [nan]; allowed: a list, each a number"),
        ("numbers", "[1e999]", "strange: numbers is [inf]; allowed: a list, each a number"),
        ("table", '{"a": "b"}', "strange: table at a is 'b'; allowed: a whole number"),
        ("table", '{"a": NaN}', "strange: table is {'a': nan}; allowed: a JSON object"),
        ("number", "4", "strange: number is '4'; allowed: 1, 2, 3"),
        ("mixed", "b", "strange: mixed is 'b'; allowed: a, 1"),
        ("only", "that", "strange: only is 'that'; allowed: this"),
        ("word", "abcdef", "strange: word is 'abcdef'; allowed: text of 2 to 5 characters"),
        ("maybe", "c", "strange: maybe is 'c'; allowed: a, b"),
        ("metal", "iron", "strange: metal is 'iron'; allowed: gold, silver"),
        ("depth", "3", "strange: depth is '3'; allowed: 1, 2"),
        ("on", "yes", "on is 'yes'; allowed: true or false"),
        ("strength", "0", "strange: strength is 0; allowed: a number above 0 and below 1"),
        ("strength", "nan", "strange: strength is nan; allowed: a number above 0 and below 1"),
        ("free", "NaN", "strange: free is nan; allowed: a number"),
        ("free", "-inf", "strange: free is -inf; allowed: a number"),
        ("free", "1e999", "strange: free is inf; allowed: a number"),
        ("free", "true", "strange: free is True; allowed: a number"),
        ("needed", "1.5", "strange: needed is 1.5; allowed: a whole number"),
        ("needed", "one", "needed is 'one'; allowed: a whole number"),
        ("even", "3", "strange: even is 3; allowed: a whole number, a multiple of 2"),
        ("box", "1,2,3", "strange: box is [1, 2, 3]; allowed: 4 values: a whole number"),
        ("box", "1,2,3,", "box is '1,2,3,'; allowed: 4 values: a whole number"),
        ("box", "", "box is []; allowed: 4 values: a whole number"),
        ("box", "a,b,c,d", "box is 'a,b,c,d'; allowed: 4 values: a whole number"),
        ("three", "1", "three is [1]; allowed: a list of 2 to 3 values, each a whole number"),
        ("different", "1,1", "different is [1, 1]; allowed: a list, all different, each a whole"),
    ],
)
def test_wrong_text_is_refused_with_what_is_allowed(name: str, text: str, said: str):
    with pytest.raises(ParameterError) as caught:
        read(name, text)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, '{"a":' * 100_000])
@pytest.mark.parametrize("name", ["path", "numbers", "free", "anything"])
def test_text_that_no_parser_takes_is_refused_or_is_text(name: str, text: str):
    try:
        found = read(name, text)
    except ParameterError as error:
        assert len(str(error)) < 300
    else:
        assert name == "anything"
        assert found == text


@pytest.mark.parametrize(
    "value",
    [math.nan, [math.nan], {"a": [math.inf]}, 10**400],
    ids=["nan", "in a list", "in an object", "too large"],
)
def test_number_that_json_cannot_hold_is_refused(value: Any):
    with pytest.raises(ParameterError, match="anything"):
        check_parameters(SCHEMA, {"needed": 1, "anything": value})


def test_value_that_is_nested_too_deeply_is_refused():
    value: Any = 1
    for _ in range(5000):
        value = [value]
    with pytest.raises(ParameterError, match="anything"):
        check_parameters(SCHEMA, {"needed": 1, "anything": value})


def test_missing_and_unknown_parameters_are_named():
    with pytest.raises(ParameterError, match=r"^strange: needed is not given; allowed: a whole"):
        check_parameters(SCHEMA, {"on": True})
    with pytest.raises(ParameterError, match=r"^strange: nonesuch is 5; allowed: needed, point"):
        check_parameters(SCHEMA, {"needed": 1, "nonesuch": 5})


def test_defaults_are_added_and_are_what_the_worker_has():
    found = complete_parameters(SCHEMA, {"needed": 1, "on": None})
    ours = OPERATION.read_parameters({"needed": 1})
    assert OPERATION.read_parameters(found) == ours
    assert json.loads(ours.model_dump_json(exclude_none=True)) == found


@pytest.mark.parametrize("name", PROPERTIES)
def test_each_parameter_has_words_for_its_values(name: str):
    assert (allowed(PROPERTIES[name]) == "see its description") == (name == "anything")


@given(name=st.sampled_from(sorted(PROPERTIES)), text=st.text(max_size=20))
def test_any_text_is_a_value_or_a_parameter_error(name: str, text: str):
    try:
        found = read(name, text)
    except ParameterError:
        return
    json.dumps(found, allow_nan=False)
