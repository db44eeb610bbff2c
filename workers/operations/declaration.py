"""`@operation` declares a Python function as an operation.

The signature says everything: which images the function takes, which parameters, and their types,
bounds and defaults. The docstring gives the descriptions.

    @operation
    def sepia(
        image: Image, *, strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    ) -> Image:
        \"\"\"Tint an image brown.

Args:
            image: the photo.
            strength: 0 leaves the image as it is.
        \"\"\"
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

import pydantic
from pydantic import BaseModel, ConfigDict, PydanticUserError, ValidationError, create_model
from pydantic.fields import FieldInfo

from agewell.shared.errors import BadJobError
from agewell.shared.protocol.operations import (
    RESERVED_FIELDS,
    RESERVED_OPS,
    ImageInput,
    OperationSchema,
    class_name,
)
from agewell.shared.text.problems import first_problem
from agewell.workers.imaging.image import Image
from agewell.workers.operations.context import JobContext
from agewell.workers.operations.result import Info, Result

ATTRIBUTE: Final = "agewell_operation"
"""The attribute of a declared function that holds its `Operation`."""

SharedImage = Annotated[Image, "shared"]
"""An image that all items of a job share, such as a watermark."""

Returned = Image | tuple[Image, Info] | Result
Size = tuple[int, int]
Needs = Callable[..., Size | None]
Function = Callable[..., Any]
F = TypeVar("F", bound=Function)


class DeclarationError(TypeError):
    """A function cannot be an operation. The text says why."""


class Parameters(BaseModel):
    """Base of the parameters of all operations: frozen, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, eq=False)
class Operation:
    """A declared operation.

    Attributes:
        function: takes the images and the parameters as keyword arguments.
        schema: the operation as data.
        parameters: the pydantic model of its parameters.
        context_name: the argument that gets the `JobContext`, or None.
        needs: tells how large the main image must be decoded, or None.
    """

    function: Function
    schema: OperationSchema
    parameters: type[Parameters]
    context_name: str | None = None
    needs: Needs | None = field(default=None)

    @property
    def name(self) -> str:
        """The name of the operation, as in messages."""
        return self.schema.name

    def read_parameters(self, values: Mapping[str, Any]) -> Parameters:
        """Check parameters.

        Raises:
            BadJobError: a parameter is missing, unknown or not allowed.
        """
        try:
            return self.parameters.model_validate(dict(values))
        except ValidationError as error:
            raise BadJobError(first_problem(error).line(self.name)) from None

    def needs_of(self, parameters: BaseModel) -> Callable[[Size], Size | None] | None:
        """Return a function from the main image's size to the size that suffices, or None."""
        if self.needs is None:
            return None
        values = {name: getattr(parameters, name) for name in self.parameters.model_fields}
        return partial(self.needs, **values)

    def run(
        self, images: Mapping[str, Image], parameters: BaseModel, context: JobContext
    ) -> Result:
        """Call the function.

        Args:
            images: the images by role. Optional ones may be left out.
            parameters: has an attribute for each parameter: a job, or a step of a pipeline.
            context: the surroundings of the job.

        Returns:
            The function's image, which is not checked, with its facts and metadata.
        """
        arguments: dict[str, Any] = dict(images)
        arguments |= {name: getattr(parameters, name) for name in self.parameters.model_fields}
        if self.context_name is not None:
            arguments[self.context_name] = context
        returned = self.function(**arguments)
        match returned:
            case Result():
                return returned
            case (image, Mapping() as info):
                return Result(image, info)
        return Result(returned)


@overload
def operation(function: F, /) -> F: ...
@overload
def operation(
    *,
    name: str | None = None,
    command: str | None = None,
    example: str = "",
    needs: Needs | None = None,
) -> Callable[[F], F]: ...
def operation(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    command: str | None = None,
    example: str = "",
    needs: Needs | None = None,
) -> F | Callable[[F], F]:
    """Declare a function as an operation. It stays an ordinary function that you can call.

    Its arguments are told apart by their types:

    - `Image`: an image that each item of a job names. The first one is the main image.
      `Image | None = None` is optional. A `SharedImage` is one for all items.
    - `JobContext`: the settings, the checkpoint and the progress of the job.
    - everything else is a parameter, and must be a keyword argument. Its type is any that pydantic
      can check and JSON can hold. `Annotated[float, Field(ge=0, le=1)]` gives bounds.

    It returns an `Image`, or an `Image` and a mapping of facts about it, or a `Result`, which can
    also have metadata for the file.

    Args:
        function: the function.
        name: the name in messages. Default: the function's name.
        command: the name after `agewell enqueue`. Default: the name, with `-` for `_`.
        example: arguments of the command, for its help, such as "photos/ --strength 0.5".
        needs: called with the size of the main image, (width, height) in px, and the parameters as
            keyword arguments. It returns the size that suffices, or None for all. A large JPEG is
            then decoded at a half, a quarter or an eighth of its size, and at least this large.

    Raises:
        DeclarationError: the function cannot be an operation.
    """

    def declare(function: F) -> F:
        setattr(function, ATTRIBUTE, _declared(function, name, command, example, needs))
        return function

    return declare if function is None else declare(function)


def _declared(
    function: Function,
    name: str | None,
    command: str | None,
    example: str,
    needs: Needs | None,
) -> Operation:
    name = name or function.__name__
    if name in RESERVED_OPS:
        raise DeclarationError(f"an operation cannot be called {name!r}; choose another name")
    doc = inspect.getdoc(function) or ""
    described = _described(doc)
    arguments = list(_arguments(function, name))
    inputs = tuple(
        ImageInput(
            name=each.name,
            required=each.default is inspect.Parameter.empty,
            shared=each.kind == "shared",
            description=described.get(each.name, ""),
        )
        for each in arguments
        if each.kind in ("image", "shared")
    )
    if not inputs or inputs[0].shared or not inputs[0].required:
        raise DeclarationError(f"{name}: its first image must be an argument of the type Image")
    model = _parameters_model(name, arguments, described)
    try:
        schema = OperationSchema(
            name=name,
            command=command or name.replace("_", "-"),
            summary=doc.partition("\n")[0].rstrip("."),
            example=example,
            inputs=inputs,
            parameters=_json_schema(model),
        )
    except BadJobError as error:
        raise DeclarationError(f"{name}: {error.reason}") from None
    context_name = next((each.name for each in arguments if each.kind == "context"), None)
    return Operation(function, schema, model, context_name, needs)


@dataclass(frozen=True)
class _Argument:
    name: str
    kind: Literal["image", "shared", "context", "parameter"]
    hint: Any
    default: Any


def _arguments(function: Function, name: str) -> Iterator[_Argument]:
    """Yield the arguments of a function, each with its kind."""
    hints = get_type_hints(function, include_extras=True)
    for each in inspect.signature(function).parameters.values():
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD, each.POSITIONAL_ONLY):
            raise DeclarationError(f"{name}: every argument must have a name, found {each}")
        if each.name not in hints:
            raise DeclarationError(f"{name}: the argument {each.name} must have a type")
        kind = _kind_of(hints[each.name])
        if each.name in RESERVED_FIELDS and kind != "context":
            reserved = ", ".join(sorted(RESERVED_FIELDS))
            raise DeclarationError(f"{name}: no argument may be called {each.name} ({reserved})")
        if kind == "parameter" and each.kind is not each.KEYWORD_ONLY:
            raise DeclarationError(
                f"{name}: {each.name} is no image, so it is a parameter, and must come after a `*`"
            )
        yield _Argument(each.name, kind, hints[each.name], each.default)


def _kind_of(hint: Any) -> Literal["image", "shared", "context", "parameter"]:
    without_none = [each for each in get_args(hint) if each is not type(None)]
    if type(None) in get_args(hint) and len(without_none) == 1:
        return _kind_of(without_none[0])
    if hint == SharedImage:
        return "shared"
    if hint == Image:
        return "image"
    return "context" if hint is JobContext else "parameter"


def _parameters_model(
    name: str, arguments: list[_Argument], described: Mapping[str, str]
) -> type[Parameters]:
    fields = {
        each.name: (each.hint, _field(each, described.get(each.name)))
        for each in arguments
        if each.kind == "parameter"
    }
    try:
        return create_model(f"{class_name(name)}Parameters", __base__=Parameters, **fields)  # type: ignore[call-overload, no-any-return]
    except (PydanticUserError, NameError) as error:
        raise DeclarationError(f"{name}: {error}".partition("\n")[0]) from None


def _field(argument: _Argument, description: str | None) -> FieldInfo:
    """Return the field of a parameter. A description in its type wins over the docstring."""
    has_own = get_origin(argument.hint) is Annotated and any(
        isinstance(each, FieldInfo) and each.description for each in get_args(argument.hint)
    )
    default = ... if argument.default is inspect.Parameter.empty else argument.default
    options = {} if has_own or not description else {"description": description}
    found: FieldInfo = pydantic.Field(default, **options)  # type: ignore[call-overload]
    return found


def _json_schema(model: type[Parameters]) -> dict[str, Any]:
    try:
        found = model.model_json_schema()
    except (PydanticUserError, ValueError) as error:
        raise DeclarationError(f"{model.__name__}: {error}".partition("\n")[0]) from None
    found.pop("description", None)
    return found


_SECTION = re.compile(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", re.MULTILINE)
_ENTRY = re.compile(r"^    (\w+): (.*(?:\n {5}.*)*)", re.MULTILINE)


def _described(doc: str) -> dict[str, str]:
    """Return the descriptions of arguments in a docstring's section "Args:"."""
    section = _SECTION.search(doc + "\n")
    if section is None:
        return {}
    return {name: " ".join(text.split()) for name, text in _ENTRY.findall(section[1])}
