"""`@operation` declares a Python function as an operation.

The signature says everything: which images the function takes, which parameters, and their types,
bounds and defaults. The first line of the docstring, and its section of arguments, describe them.

    @operation
    def sepia(image: Image, *, strength: Annotated[float, Field(ge=0, le=1)] = 1.0) -> Image:
        \"\"\"Tint an image brown.\"\"\"
"""

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeVar, overload

import numpy as np
from pydantic import BaseModel, ValidationError

from agewell.shared.errors import BadJobError
from agewell.shared.protocol.operations import (
    NAME_PATTERN,
    RESERVED_OPS,
    ImageInput,
    OperationSchema,
)
from agewell.shared.text.printable import printable
from agewell.shared.text.problems import first_problem, shortened
from agewell.workers.imaging.geometry import Size
from agewell.workers.imaging.image import Image
from agewell.workers.operations.context import JobContext
from agewell.workers.operations.parameters import Parameters as Parameters
from agewell.workers.operations.parameters import json_schema, parameters_model
from agewell.workers.operations.result import Info, Result
from agewell.workers.operations.signature import (
    Argument,
    arguments_of,
    check_function,
    descriptions_of,
)
from agewell.workers.operations.signature import DeclarationError as DeclarationError
from agewell.workers.operations.signature import SharedImage as SharedImage

ATTRIBUTE: Final = "agewell_operation"
"""The attribute of a declared function that holds its `Operation`."""

Returned = Image | tuple[Image, Info] | Result
Needs = Callable[..., Size | None]
Function = Callable[..., Any]
F = TypeVar("F", bound=Function)


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

        Raises:
            Exception: any error of the function, or a fact that JSON cannot hold.
        """
        arguments: dict[str, Any] = dict(images)
        arguments |= {name: getattr(parameters, name) for name in self.parameters.model_fields}
        if self.context_name is not None:
            arguments[self.context_name] = context
        try:
            returned = self.function(**arguments)
        except SystemExit as error:  # it would end the worker's process
            if isinstance(error.code, int) and error.code < 0:
                raise  # billiard's answer to a signal: the process is to end, with this job
            raise RuntimeError(f"it called sys.exit({error.code!r})") from error
        match returned:
            case Result():
                return replace(returned, info=_facts(returned.info))
            case (image, Mapping() as info):
                return Result(image, _facts(info))
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
        declared = _declared(function, name, command, example, needs)
        setattr(function, ATTRIBUTE, declared)
        return function

    return declare if function is None else declare(function)


def _declared(
    function: Function,
    name: str | None,
    command: str | None,
    example: str,
    needs: Needs | None,
) -> Operation:
    check_function(function)
    op = function.__name__ if name is None else name
    _check_names(op, command)
    if needs is not None and not callable(needs):
        raise DeclarationError(f"{op}: needs must be a function, found {needs!r}")
    if ATTRIBUTE in vars(function):
        raise DeclarationError(f"{op}: its function is the operation {_name_of(function)} already")
    doc = inspect.getdoc(function) or ""
    described = descriptions_of(doc)
    arguments = arguments_of(function, op)
    model = parameters_model(op, arguments, described)
    try:
        schema = OperationSchema(
            name=op,
            command=command or op.replace("_", "-"),
            summary=printable(doc.partition("\n")[0].rstrip(".")),
            example=example,
            inputs=tuple(_inputs(arguments, described)),
            parameters=json_schema(op, model),
        )
    except BadJobError as error:
        raise DeclarationError(f"{op}: {error.reason}") from None
    context_name = next((each.name for each in arguments if each.kind == "context"), None)
    return Operation(function, schema, model, context_name, needs)


def _check_names(op: str, command: str | None) -> None:
    if not isinstance(op, str) or re.fullmatch(NAME_PATTERN, op) is None:
        raise DeclarationError(
            f"an operation's name must be 1 to 48 small letters, digits and '_', with a letter "
            f"first, found {op!r}; give one by @operation(name=...)"
        )
    for each in (op, command):
        if each in RESERVED_OPS:
            raise DeclarationError(f"an operation cannot be called {each!r}; choose another name")


def _name_of(function: Function) -> str:
    declared = getattr(function, ATTRIBUTE)
    return declared.name if isinstance(declared, Operation) else "another"


def _inputs(arguments: list[Argument], described: Mapping[str, str]) -> Iterator[ImageInput]:
    for each in arguments:
        if each.kind in ("image", "shared"):
            yield ImageInput(
                name=each.name,
                required=each.is_required,
                shared=each.kind == "shared",
                description=described.get(each.name, ""),
            )


def _facts(info: Mapping[Any, Any]) -> dict[str, str | int | float | bool]:
    """Return the facts as JSON values. Numbers of numpy become Python's.

    Raises:
        TypeError: a fact has a name or a value that JSON cannot hold.
    """
    found: dict[str, str | int | float | bool] = {}
    for name, value in info.items():
        plain = value.item() if isinstance(value, np.generic) else value
        is_finite = not isinstance(plain, float) or math.isfinite(plain)
        if not isinstance(name, str) or not isinstance(plain, str | int | float) or not is_finite:
            raise TypeError(
                f"a fact must be text, a finite number or a boolean by its name, "
                f"found {shortened(name)}: {shortened(value)}"
            )
        found[name] = plain
    return found
