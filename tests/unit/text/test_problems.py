"""pydantic's errors in plain English, for all kinds that a model of ours can raise."""

from typing import Annotated, Literal, get_args

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from pydantic_core.core_schema import ErrorType

from agewell.shared.text import problems
from agewell.shared.text.problems import first_problem


class Photo(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=5, pattern="^[a-z]+$")] = "a"
    width: Annotated[int, Field(gt=0, le=9)] = 1
    alpha: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.5
    format: Literal["png", "jpeg"] = "png"
    sizes: Annotated[tuple[int, ...], Field(min_length=1, max_length=2)] = (1,)
    parts: dict[str, int] = {}

    @field_validator("parts")
    @classmethod
    def _known(cls, parts):
        if "x" in parts:
            raise ValueError("must have no x")
        return parts


class Needs(BaseModel):
    name: str


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ({"name": ""}, "name: must have a length of at least 1, found ''"),
        ({"name": "a" * 200}, f"name: must have a length of at most 5, found '{'a' * 76}..."),
        ({"name": "A"}, "name: must match the pattern ^[a-z]+$, found 'A'"),
        ({"name": 1}, "name: must be text, found 1"),
        ({"width": "many"}, "width: must be a whole number, found 'many'"),
        ({"width": 1.5}, "width: must be a whole number, found 1.5"),
        ({"width": 0}, "width: must be greater than 0, found 0"),
        ({"width": 10}, "width: must be at most 9, found 10"),
        ({"alpha": 1}, "alpha: must be less than 1, found 1"),
        ({"alpha": -1}, "alpha: must be at least 0, found -1"),
        ({"alpha": "nan"}, "alpha: must be a finite number, found 'nan'"),
        ({"format": "gif"}, "format: must be 'png' or 'jpeg', found 'gif'"),
        ({"sizes": []}, "sizes: must have a length of at least 1, not 0, found []"),
        ({"sizes": [1, "x"]}, "sizes.1: must be a whole number, found 'x'"),
        ({"parts": 1}, "parts: must be an object: names with values, found 1"),
        ({"parts": {"x": 1}}, "parts: must have no x, found {'x': 1}"),
        ({"colour": 1}, "colour: is not a known name, found 1"),
        ({"\x1b[31m": 1}, r"'\x1b[31m': is not a known name, found 1"),
        ({"width": 0, "alpha": 2}, "width: must be greater than 0, found 0 (and 1 more)"),
        ([], "the photo: must be an object: names with values, found []"),
    ],
)
def test_the_first_problem_is_one_plain_line(document, line):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Photo).validate_python(document)
    assert first_problem(caught.value).line("the photo") == line


def test_missing_field_is_named():
    with pytest.raises(ValidationError) as caught:
        Needs.model_validate({})
    assert first_problem(caught.value).line() == "name: is missing"


def test_text_that_is_not_json_is_reported():
    with pytest.raises(ValidationError) as caught:
        Needs.model_validate_json("{")
    assert first_problem(caught.value).line("it").startswith("it: must be JSON: EOF")


@pytest.mark.parametrize("kind", problems._REASONS)
def test_the_table_has_kinds_of_pydantics_alone(kind):
    assert kind in get_args(ErrorType)
