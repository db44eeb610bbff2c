"""Declarations: what a signature and a docstring become, and every function that is refused."""

import datetime
import enum
import functools
import inspect
import json
import re
import signal
import warnings
from typing import Annotated, Any, ClassVar, Literal, Optional

import jsonschema
import numpy as np
import pytest
from pydantic import BaseModel, Field, ValidationError

from agewell.producer.cli.send_options import read_options
from agewell.shared.errors import BadJobError
from agewell.shared.protocol.parameters import check_parameters
from agewell.shared.settings import Settings
from agewell.workers.imaging.image import Image
from agewell.workers.jobs.job_classes import _job_class, step_class
from agewell.workers.operations.context import JobContext
from agewell.workers.operations.declaration import (
    ATTRIBUTE,
    DeclarationError,
    Operation,
    SharedImage,
    operation,
)
from agewell.workers.operations.signature import COMMAND_OPTIONS

PHOTO = np.zeros((2, 3, 3), np.uint8)
CONTEXT = JobContext(Settings())
NAMES_IN_TEXTS = {"ClassVar": ClassVar, "Literal": Literal, "datetime": datetime}
"""Names that only the declarations in texts below use."""


def declared(function: Any, **options: Any) -> Operation:
    found = operation(**options)(function) if options else operation(function)
    return getattr(found, ATTRIBUTE)


def with_parameter(text: str) -> Operation:
    """Declare an operation whose only parameter is written like this."""
    return from_source(f"def op(image: Image, *, {text}) -> Image: return image")


def from_source(source: str) -> Operation:
    known = globals() | NAMES_IN_TEXTS
    exec(source, known)
    return declared(known["op"])


def schema_of(text: str) -> dict[str, Any]:
    [found] = with_parameter(text).schema.parameters["properties"].values()
    return found


# What a declaration says


def test_a_declared_function_stays_the_function_that_it_was():
    def invert(image: Image) -> Image:
        return 255 - image

    assert operation(invert) is invert
    assert (invert(PHOTO) == 255).all()
    assert getattr(invert, ATTRIBUTE).function is invert


def test_names_come_from_the_function_or_from_the_decorator():
    def old_photo(image: Image) -> Image:
        """Make it old.

        More about it.
        """
        return image

    first = declared(old_photo).schema
    assert (first.name, first.command, first.summary) == ("old_photo", "old-photo", "Make it old")

    def other(image: Image) -> Image:
        return image

    second = declared(other, name="x9", command="nine", example="a/ --b 1").schema
    assert (second.name, second.command, second.summary) == ("x9", "nine", "")
    assert second.example == "a/ --b 1"


def test_images_have_roles_in_their_order():
    def op(
        image: Image,
        context: JobContext,
        logo: SharedImage,
        mask: Image | None = None,
        old: Optional[Image] = None,  # noqa: UP045
        stamp: SharedImage | None = None,
        noted: Annotated[Image, Field(title="x")] = None,  # type: ignore[assignment]
    ) -> Image:
        return image

    found = declared(op)
    assert [(each.name, each.required, each.shared) for each in found.schema.inputs] == [
        ("image", True, False),
        ("logo", True, True),
        ("mask", False, False),
        ("old", False, False),
        ("stamp", False, True),
        ("noted", False, False),
    ]
    assert found.context_name == "context"
    assert [each.name for each in found.schema.shared_inputs] == ["logo", "stamp"]


def test_annotations_may_be_texts():
    found = from_source(
        "from __future__ import annotations\n"
        "def op(image: Image, *, x: Annotated[int, Field(ge=1)] = 2) -> Image: return image"
    )
    assert found.schema.parameters["properties"]["x"]["minimum"] == 1


class Shade(enum.Enum):
    DARK = "dark"
    LIGHT = "light"


class Frame(BaseModel):
    """A frame."""

    width: Annotated[int, Field(ge=1)] = 3
    colour: str


class Tree(BaseModel):
    left: Optional["Tree"] = None
    value: int = 0


PARAMETERS = {
    "x: int": ({"type": "integer"}, [1, -5], [1.5, "a", None]),
    "x: float = 0.5": ({"type": "number", "default": 0.5}, [1, 0.1], ["a"]),
    "x: bool = False": ({"type": "boolean"}, [True], ["maybe"]),
    "x: str = 'a'": ({"type": "string"}, ["é"], [1]),
    "x: Annotated[float, Field(gt=0, le=1)] = 1": (
        {"exclusiveMinimum": 0, "maximum": 1},
        [1, 0.5],
        [0, 1.5],
    ),
    "x: Annotated[str, Field(pattern='^#[0-9]+$')] = '#1'": (
        {"pattern": "^#[0-9]+$"},
        ["#7"],
        ["7"],
    ),
    "x: Literal['a', 'b'] = 'a'": ({"enum": ["a", "b"]}, ["b"], ["c"]),
    "x: int | None = None": ({"default": None}, [3], ["a"]),
    "x: tuple[int, int] = (1, 2)": ({"default": [1, 2]}, [[3, 4]], [[1], [1, 2, 3], ["a", 1]]),
    "x: list[float] = []": ({"type": "array"}, [[], [1, 2.5]], [["a"], 3]),
    "x: dict[str, int] = {}": ({"type": "object"}, [{"a": 1}], [{"a": "b"}, []]),
    "x: set[int] = {1}": ({"uniqueItems": True}, [[1, 2]], [["a"]]),
    "x: Shade = Shade.DARK": (
        {"enum": ["dark", "light"], "default": "dark", "type": "string"},
        ["light"],
        ["red"],
    ),
    "x: Frame = Frame(colour='red')": (
        {"type": "object", "default": {"width": 3, "colour": "red"}},
        [{"colour": "blue"}, {"colour": "blue", "width": 9}],
        [{"width": 3}, {"colour": "blue", "width": 0}, "blue"],
    ),
    "x: list[Frame] = []": ({"type": "array"}, [[{"colour": "blue"}]], [[{}]]),
    "x: Tree = Tree()": ({}, [{"left": {"left": {"value": 3}}}], [{"left": {"value": "a"}}]),
    "x: datetime.timedelta = datetime.timedelta(1)": ({"default": "P1D"}, ["PT5S"], []),
    "x: Any = None": ({"default": None}, [3, "a", [1]], []),
}


@pytest.mark.parametrize("text", PARAMETERS)
def test_a_parameter_of_a_type_is_checked_alike_by_producer_and_worker(text: str):
    expected, good, bad = PARAMETERS[text]
    found = with_parameter(text)
    schema = found.schema.parameters["properties"]["x"]
    assert schema | expected == schema
    jsonschema.Draft202012Validator.check_schema(found.schema.parameters)
    for value in good:
        assert check_parameters(found.schema, {"x": value}) == {"x": value}
        found.parameters.model_validate({"x": value})
    for value in bad:
        with pytest.raises(ValidationError):
            found.parameters.model_validate({"x": value})
        errors = jsonschema.Draft202012Validator(found.schema.parameters).iter_errors({"x": value})
        assert list(errors)
    json.loads(found.schema.model_dump_json())


def test_types_that_a_parameter_refers_to_are_written_out():
    text = json.dumps(with_parameter("x: list[Frame]").schema.parameters)
    assert "$ref" not in text
    assert '"colour"' in text
    recursive = with_parameter("x: Tree").schema.parameters
    assert "Tree" in recursive["$defs"]


def test_a_parameter_without_a_default_is_required():
    found = with_parameter("x: int, y: int = 2").schema.parameters
    assert found["required"] == ["x"]
    assert found["additionalProperties"] is False


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_have_are_refused(value: float):
    with pytest.raises(ValidationError, match="finite"):
        with_parameter("x: float = 1.0").parameters(x=value)


def test_a_mutable_default_is_not_shared():
    found = with_parameter("x: list[int] = [1]")
    found.parameters().x.append(2)  # type: ignore[attr-defined]
    assert found.parameters().x == [1]  # type: ignore[attr-defined]


def test_two_hundred_parameters_are_fine():
    found = with_parameter(", ".join(f"p{number}: int = {number}" for number in range(200)))
    assert len(found.schema.parameters["properties"]) == 200
    assert _job_class(found) is _job_class(found)


DOC = """Do it.

Args:
    image: the photo,
        which has a mask:

        and a second paragraph.
    x (float): a number: 0
     to 1.
    y:
        on a line below.
    *z: no name

Returns:
    w: nothing.
"""


def test_a_docstring_describes_the_arguments():
    def op(image: Image, *, x: float = 1, y: int = 2, w: int = 3) -> Image:
        return image

    op.__doc__ = DOC
    schema = declared(op).schema
    assert schema.inputs[0].description == "the photo, which has a mask: and a second paragraph."
    properties = schema.parameters["properties"]
    assert properties["x"]["description"] == "a number: 0 to 1."
    assert properties["y"]["description"] == "on a line below."
    assert "description" not in properties["w"]


def test_a_description_in_the_type_wins():
    def op(
        image: Image,
        *,
        x: Annotated[int, Field(ge=1, description="typed")] = 1,
        y: Annotated[int, Field(ge=1)] = 1,
    ) -> Image:
        """Do it.

        Args:
            x: of the docstring.
            y: of the docstring.
        """
        return image

    properties = declared(op).schema.parameters["properties"]
    assert properties["x"]["description"] == "typed"
    assert properties["y"] == {
        "default": 1,
        "description": "of the docstring.",
        "minimum": 1,
        "title": "Y",
        "type": "integer",
    }


def test_control_characters_of_a_docstring_reach_no_terminal():
    def op(image: Image) -> Image:
        return image

    op.__doc__ = "\x1b[2JDo it."
    assert declared(op).schema.summary == "\\x1b[2JDo it"


def test_a_decorated_function_keeps_its_signature():
    def twice(function: Any) -> Any:
        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return inner

    @operation
    @twice
    def op(image: Image, *, x: int = 1) -> Image:
        return image + np.uint8(x)

    found = getattr(op, ATTRIBUTE)
    result = found.run({"image": PHOTO}, found.parameters(x=3), CONTEXT)
    assert (result.image == 3).all()


# How it is called


def test_a_call_gets_the_given_images_the_parameters_and_the_context():
    got: dict[str, Any] = {}

    def op(image: Image, c: JobContext, mask: Image | None = None, *, x: int = 7) -> Image:
        got.update(locals())
        return image

    found = declared(op)
    found.run({"image": PHOTO}, found.parameters(), CONTEXT)
    assert got.pop("image") is PHOTO
    got.pop("got")
    assert got == {"c": CONTEXT, "mask": None, "x": 7}


def test_numpys_numbers_among_the_facts_become_pythons():
    def op(image: Image) -> tuple[Image, dict[str, Any]]:
        return image, {"a": np.int64(3), "b": np.float32(0.5), "c": np.bool_(True), "d": "text"}

    found = declared(op)
    facts = found.run({"image": PHOTO}, found.parameters(), CONTEXT).info
    assert facts == {"a": 3, "b": 0.5, "c": True, "d": "text"}
    assert [type(each) for each in facts.values()] == [int, float, bool, str]


@pytest.mark.parametrize("facts", [{"a": [1]}, {"a": None}, {1: 2}, {"a": float("nan")}, {"a": 1j}])
def test_other_facts_are_an_error_of_the_operation(facts: Any):
    def op(image: Image) -> Any:
        return image, facts

    found = declared(op)
    with pytest.raises(TypeError, match="a fact must be text, a finite number or a boolean"):
        found.run({"image": PHOTO}, found.parameters(), CONTEXT)


def test_an_operation_that_exits_does_not_end_the_process():
    def op(image: Image) -> Image:
        raise SystemExit(4)

    found = declared(op)
    with pytest.raises(RuntimeError, match=r"it called sys.exit\(4\)"):
        found.run({"image": PHOTO}, found.parameters(), CONTEXT)


def test_a_process_that_is_to_end_does_so_in_an_operation_too():
    def op(image: Image) -> Image:
        raise SystemExit(-(256 - signal.SIGTERM))  # as billiard.common does for a signal

    found = declared(op)
    with pytest.raises(SystemExit):
        found.run({"image": PHOTO}, found.parameters(), CONTEXT)


def test_messages_can_be_made_of_every_declaration():
    def op(image: Image, logo: SharedImage, mask: Image | None = None, *, x: int = 1) -> Image:
        return image

    found = declared(op)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        job, step = _job_class(found), step_class(found)
    assert set(job.model_fields) == {"schema_version", "op", "items", "output", "x", "logo"}
    assert step(op="op", x=2).x == 2  # type: ignore[attr-defined]
    with pytest.raises(BadJobError, match="x: must be a whole number"):
        step(op="op", x="a")


# What is refused


class Filter:
    def __call__(self, image: Image) -> Image:
        return image

    def method(self, image: Image) -> Image:
        return image


def plain(image: Image, *, x: int = 1) -> Image:
    return image


async def coroutine(image: Image) -> Image:
    return image


def generator(image: Image) -> Any:
    yield image


async def async_generator(image: Image) -> Any:
    yield image


NO_FUNCTIONS = {
    "number": (5, "found 5 (int)"),
    "text": ("sepia", "found 'sepia' (str)"),
    "class": (Filter, "found Filter (type)"),
    "object": (Filter(), "(Filter); define one that calls it"),
    "method": (Filter().method, "found method (method)"),
    "static": (staticmethod(plain), "found plain (staticmethod)"),
    "partial": (functools.partial(plain, x=2), "(partial)"),
    "cached": (functools.lru_cache(plain), "found plain (_lru_cache_wrapper)"),
    "builtin": (len, "found len (builtin_function_or_method)"),
    "ufunc": (np.negative, "found negative (ufunc)"),
    "coroutine": (coroutine, "coroutine: an operation must return an image; `async def`"),
    "generator": (generator, "functions with `yield` are not possible"),
    "async generator": (async_generator, "functions with `yield` are not possible"),
    "lambda": (
        lambda image: image,
        "small letters, digits and '_', with a letter first, found '<la",
    ),
}


@pytest.mark.parametrize("name", NO_FUNCTIONS)
def test_only_a_plain_function_can_be_an_operation(name: str):
    found, text = NO_FUNCTIONS[name]
    with pytest.raises(DeclarationError, match=re.escape(text)):
        operation(found)


def test_a_lambda_has_no_types():
    with pytest.raises(DeclarationError, match="op: the argument image must have a type"):
        operation(name="op")(lambda image: image)


SIGNATURES = {
    "": "its first image must be an argument of the type Image, without a default",
    "image: Image | None = None": "its first image must be",
    "logo: SharedImage, image: Image": "its first image must be",
    "*, x: int = 1": "its first image must be",
    "image": "the argument image must have a type",
    "image: Image, *, x=1": "the argument x must have a type",
    "self, image: Image": "the argument self must have a type",
    "image: Image, *images: Image": "no *args, **kwargs or `/`; found *images",
    "image: Image, **rest: int": "no *args, **kwargs or `/`; found **rest",
    "image: Image, /": "no *args, **kwargs or `/`; found image",
    "image: Image, x: int = 1": "x is no image (its type is int, not agewell.Image), so it is a "
    "parameter, and must come after a `*`",
    "image: np.ndarray": "image is no image (its type is numpy.ndarray, not agewell.Image)",
    "image: Image, others: list[Image]": "others is no image",
    "image: Image, mask: Image | None": "the image mask may be None, so give it the default None",
    "image: Image, a: JobContext, b: JobContext": "one argument may be a JobContext, found",
    "Photo: Image": "the name 'Photo' must be 1 to 48 small letters a-z, digits and '_'",
    "_photo: Image": "the name '_photo' must be",
    "image: Image, *, _x: int = 1": "the name '_x' must be 1 to 48 letters a-z",
    "image: Image, *, é: int = 1": "the name 'é' must be",
    f"image: Image, *, {'x' * 49}: int = 1": "must be 1 to 48 letters",
    "image: 'Nope'": "the type of an argument is not known: name 'Nope' is not defined",
    "image: Image, *, x: 'int +' = 1": "the type of an argument is not known",
}


@pytest.mark.parametrize("arguments", SIGNATURES)
def test_a_signature_that_is_not_possible_is_refused_in_words(arguments: str):
    with pytest.raises(DeclarationError) as caught:
        from_source(f"def op({arguments}) -> Image: ...")
    assert str(caught.value).startswith("op: ")
    assert SIGNATURES[arguments] in str(caught.value)


PYDANTIC = ("copy", "json", "dict", "schema", "construct", "validate", "parse_obj", "from_orm")
PYDANTIC += ("model_config", "model_fields", "model_dump", "model_extra", "model_fields_set")
FIELDS = ("schema_version", "op", "items", "output", "output_name", "steps", "context", "self")


@pytest.mark.parametrize("name", [*PYDANTIC, *FIELDS, *sorted(COMMAND_OPTIONS)])
def test_names_that_messages_or_the_command_line_use_are_refused(name: str):
    for arguments in (f"image: Image, *, {name}: int = 1", f"image: Image, {name}: Image"):
        with pytest.raises(DeclarationError, match=f"no argument may be called {name}: "):
            from_source(f"def op({arguments}) -> Image: ...")


def test_the_refused_names_are_those_of_the_command_line():
    options = inspect.signature(read_options).parameters
    flags = {"format", "json", "help"}  # --format is image_format there, and --json as_json
    assert {*options, *flags, "options", "paths", "self"} == COMMAND_OPTIONS


@pytest.mark.parametrize("name", ["cls", "class_", "name", "values", "model_", "document", "run"])
def test_other_names_are_free(name: str):
    found = with_parameter(f"{name}: int = 1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _job_class(found)
    result = found.run({"image": PHOTO}, found.parameters(**{name: 2}), CONTEXT)
    assert result.image is PHOTO


def option(name: Any) -> dict[str, Any]:
    return {"option": name}


BAD_PARAMETERS = {
    "x: np.ndarray": "the type of x, numpy.ndarray, is not one that pydantic can check and JSON",
    "y: int = 1, x: list[Image] = []": "the type of x, list[",
    "x: type = int": "the type of x, type, is not one",
    "x: 5 = 1": "the type of x, 5, is not one",
    "x: Annotated[str, Field(pattern='(')] = 'a'": "the type of x, ",
    "x: Annotated[str, Field(ge=3)] = 'a'": "Unable to apply constraint 'ge' to supplied value a",
    "x: ClassVar[int] = 1": "x is a ClassVar, and so no parameter",
    "x: int = Field(3, ge=1)": "the default of x is a Field; write `x: Annotated[TYPE, Field(...)]",
    "x: Annotated[int, Field(alias='y')] = 1": "x has an alias or is excluded",
    "x: Annotated[int, Field(exclude=True)] = 1": "x has an alias or is excluded",
    "x: Annotated[int, Field(ge=0)] = -1": "the default of x, -1, must be at least 0",
    "z: int, x: Annotated[int, Field(ge=0)] = -1": "the default of x, -1, ",
    "x: int = 'hello'": "the default of x, 'hello', must be a whole number",
    "x: int = None": "the default of x, None, must be a whole number",
    "x: float = float('nan')": "the default of x, nan, must be a finite number",
    "x: Any = object()": "a default is no JSON: ",
    "x: Any = float('inf')": "a default is no JSON: ",
    "x: float = np.float32(1)": "a default is no JSON: ",
    r"x: str = '\udc80'": "a default is no JSON: ",
    "x: Annotated[int, Field(json_schema_extra=option('out'))] = 1": "another option --out than",
    "x: Annotated[int, Field(json_schema_extra=option('dry-run'))] = 1": "another option --dry-run",
    "x: Annotated[int, Field(json_schema_extra=option('image'))] = 1": "another option --image",
    "y: int = 1, x: Annotated[int, Field(json_schema_extra=option('y'))] = 1": "another option --y",
    "x: Annotated[int, Field(json_schema_extra=option('a b'))] = 1": "cannot have the option 'a b'",
    "x: Annotated[int, Field(json_schema_extra=option(3))] = 1": "cannot have the option 3",
}


@pytest.mark.parametrize("text", BAD_PARAMETERS)
def test_a_parameter_that_is_not_possible_is_refused_by_name(text: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeclarationError) as caught:
            with_parameter(text)
    message = str(caught.value)
    assert message.startswith("op: ")
    assert BAD_PARAMETERS[text] in message
    assert "arbitrary_types_allowed" not in message
    assert "\n" not in message


NAMES = {
    "capital": ({"name": "Sepia"}, "found 'Sepia'"),
    "digit": ({"name": "9sepia"}, "found '9sepia'"),
    "dash": ({"name": "old-photo"}, "found 'old-photo'"),
    "long": ({"name": "x" * 49}, "1 to 48 small letters"),
    "newline": ({"name": "sepia\n"}, r"found 'sepia\n'"),
    "number": ({"name": 3}, "found 3"),
    "empty": ({"name": ""}, "found ''"),
    "infer": ({"name": "infer"}, "an operation cannot be called 'infer'"),
    "pipeline": ({"name": "pipeline"}, "an operation cannot be called 'pipeline'"),
    "command infer": ({"command": "infer"}, "an operation cannot be called 'infer'"),
    "bad command": ({"command": "Bad Command"}, "plain: command: must match the pattern"),
    "bad example": ({"example": 3}, "plain: example: must be text, found 3"),
    "needs": ({"needs": 3}, "plain: needs must be a function, found 3"),
}


@pytest.mark.parametrize("name", NAMES)
def test_options_of_the_decorator_are_checked(name: str):
    options, text = NAMES[name]
    with pytest.raises(DeclarationError, match=re.escape(text)):
        operation(**options)(plain)


def test_a_function_is_one_operation_only():
    def first(image: Image) -> Image:
        return image

    operation(first)
    with pytest.raises(DeclarationError, match="second: its function is the operation first alr"):
        operation(name="second")(first)
