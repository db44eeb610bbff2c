"""Reads the signature and the docstring of a function that is to be an operation."""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from agewell.shared.protocol.operations import NAME_PATTERN, RESERVED_FIELDS
from agewell.workers.imaging.image import Image
from agewell.workers.operations.context import JobContext

SharedImage = Annotated[Image, "shared"]
"""An image that all items of a job share, such as a watermark."""

COMMAND_OPTIONS: Final = frozenset(
    {"as_json", "block", "deadline", "dry_run", "due", "effort", "format", "help", "image_format"}
    | {"json", "options", "out", "overwrite", "paths", "priority", "quality", "skip_existing"}
    | {"images_per_job", "self", "tenant", "wait"}
)
"""Options of every `agewell enqueue` command, and names of Python's. No argument may have them."""

Kind = Literal["image", "shared", "context", "parameter"]
_PARAMETER_NAME: Final = r"[A-Za-z][A-Za-z0-9_]{0,47}"


class DeclarationError(TypeError):
    """A function cannot be an operation. The text says why."""


@dataclass(frozen=True)
class Argument:
    """One argument of the function.

    Attributes:
        name: its name.
        kind: an image of each item, an image of all items, the context, or a parameter.
        hint: its type, with the bounds that `Annotated` gives.
        default: `inspect.Parameter.empty` if there is none.
    """

    name: str
    kind: Kind
    hint: Any
    default: Any

    @property
    def is_required(self) -> bool:
        """True if the function cannot be called without it."""
        return self.default is inspect.Parameter.empty


def check_function(function: Callable[..., Any]) -> None:
    """Check that a function is one that an operation can call.

    Raises:
        DeclarationError: it is another kind of object, or it returns no result directly.
    """
    if not inspect.isfunction(function):
        found = getattr(function, "__name__", None) or repr(function)
        raise DeclarationError(
            f"an operation must be a function that `def` defines, found {found} "
            f"({type(function).__name__}); define one that calls it"
        )
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    if any(is_kind(function) for is_kind in kinds):
        raise DeclarationError(
            f"{function.__name__}: an operation must return an image; `async def` and functions "
            "with `yield` are not possible"
        )


def arguments_of(function: Callable[..., Any], op: str) -> list[Argument]:
    """Return the arguments of a function, each with its kind.

    Raises:
        DeclarationError: an argument has no type, or a name or a place that is not possible.
    """
    found = list(_arguments(function, op))
    contexts = [each.name for each in found if each.kind == "context"]
    if len(contexts) > 1:
        raise DeclarationError(f"{op}: one argument may be a JobContext, found {contexts}")
    images = [each for each in found if each.kind in ("image", "shared")]
    if not images or images[0].kind == "shared" or not images[0].is_required:
        raise DeclarationError(
            f"{op}: its first image must be an argument of the type Image, without a default"
        )
    return found


def _arguments(function: Callable[..., Any], op: str) -> Iterator[Argument]:
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, SyntaxError, TypeError, AttributeError) as error:
        raise DeclarationError(f"{op}: the type of an argument is not known: {error}") from None
    for each in inspect.signature(function).parameters.values():
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD, each.POSITIONAL_ONLY):
            found = str(each.replace(annotation=each.empty, default=each.empty))
            raise DeclarationError(
                f"{op}: every argument must be one that its name can give, so no *args, "
                f"**kwargs or `/`; found {found}"
            )
        if each.name not in hints:
            raise DeclarationError(f"{op}: the argument {each.name} must have a type")
        argument = Argument(each.name, _kind_of(hints[each.name]), hints[each.name], each.default)
        _check(argument, op, is_keyword=each.kind is each.KEYWORD_ONLY)
        yield argument


def _check(argument: Argument, op: str, *, is_keyword: bool) -> None:
    name, kind = argument.name, argument.kind
    if kind == "context":
        return
    if name in RESERVED_FIELDS | COMMAND_OPTIONS or name in dir(BaseModel):
        raise DeclarationError(
            f"{op}: no argument may be called {name}: messages or `agewell enqueue` use the name; "
            "choose another one"
        )
    if kind == "parameter" and not is_keyword:
        shown = inspect.formatannotation(argument.hint)
        raise DeclarationError(
            f"{op}: {name} is no image (its type is {shown}, not agewell.Image), so it is a "
            "parameter, and must come after a `*`"
        )
    pattern = _PARAMETER_NAME if kind == "parameter" else NAME_PATTERN
    if re.fullmatch(pattern, name) is None:
        letters = "letters" if kind == "parameter" else "small letters"
        raise DeclarationError(
            f"{op}: the name {name!r} must be 1 to 48 {letters} a-z, digits and '_', with a letter "
            "first"
        )
    if kind in ("image", "shared") and argument.is_required and _may_be_none(argument.hint):
        raise DeclarationError(f"{op}: the image {name} may be None, so give it the default None")


def _may_be_none(hint: Any) -> bool:
    return get_origin(hint) is not Annotated and type(None) in get_args(hint)


def _kind_of(hint: Any) -> Kind:
    if _may_be_none(hint):
        others = [each for each in get_args(hint) if each is not type(None)]
        return _kind_of(others[0]) if len(others) == 1 else "parameter"
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        is_shared = any(isinstance(each, str) and each == "shared" for each in marks)
        kind = _kind_of(inner)
        return "shared" if kind == "image" and is_shared else kind
    if hint is JobContext:
        return "context"
    return "image" if type(hint) is type(Image) and hint == Image else "parameter"


_SECTION = re.compile(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", re.MULTILINE)


def descriptions_of(doc: str) -> dict[str, str]:
    """Return the descriptions of arguments in the section "Args:" of a docstring.

    Args:
        doc: the docstring without its indentation, as `inspect.getdoc` returns it.
    """
    section = _SECTION.search(doc + "\n")
    if section is None:
        return {}
    indent = len(section[1]) - len(section[1].lstrip(" "))
    more = rf"(?:\n(?: {{{indent + 1}}}.*|[ \t]*(?=\n)))*"
    entry = re.compile(rf"^ {{{indent}}}(\w+)(?: \([^)\n]*\))?:[ \t]*(.*{more})", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entry.findall(section[1])}
