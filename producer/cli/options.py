"""Options that several commands share, and a decorator that adds options to a command."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from agewell.producer.cli.exit_codes import exit_codes
from agewell.shared.text.durations import LONGEST_S, parse_duration

METAVAR = "TIME"
"""Name of a time, such as `5m`, in help texts."""


def shown_as(metavar: str, help_text: str, *names: str) -> Any:
    """Make an option whose value has a name in help texts, such as `X,Y`."""
    return typer.Option(*names, metavar=metavar, help=help_text)


def time_between(low_s: float = 0.0, high_s: float = LONGEST_S) -> Callable[[Any], float]:
    """Make a parser for an option that takes a time.

    Args:
        low_s: the shortest time allowed, in seconds.
        high_s: the longest time allowed, in seconds.

    Returns:
        A function for `typer.Option(parser=...)`, which returns seconds. It raises
        typer.BadParameter for other values.
    """

    def read(value: Any) -> float:
        try:
            seconds = parse_duration(str(value))
        except ValueError as error:
            raise typer.BadParameter(f"{str(value)!r} is {error}") from None
        if not low_s <= seconds <= high_s:
            raise typer.BadParameter(f"{value!r}: {_range(low_s, high_s)}")
        return seconds

    read.__name__ = "time"
    return read


def _range(low_s: float, high_s: float) -> str:
    if high_s == LONGEST_S:
        return f"allowed: {low_s:g}s or more"
    return f"allowed: {low_s:g}s to {high_s:g}s"


Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, one document per line.")]
JobIds = Annotated[
    list[str], typer.Argument(metavar="ID", help="Ids of jobs, as `agewell enqueue` prints them.")
]

Command = Callable[..., None]


def with_options(read: Callable[..., Any], argument: str) -> Callable[[Command], Command]:
    """Make a decorator that adds options to a command and passes it one value made of them.

    Args:
        read: its parameters are the options. It checks them and returns the value.
        argument: the parameter of the command that gets this value.

    Returns:
        A decorator. Typer sees a function with the command's other parameters, then the options.
        Errors of both become exit codes.
    """
    options = inspect.signature(read, eval_str=True).parameters

    def decorate(command: Command) -> Command:
        own = dict(inspect.signature(command, eval_str=True).parameters)
        del own[argument]

        def run(**given: Any) -> None:
            with exit_codes():
                value = read(**{name: given.pop(name) for name in options})
                command(**given, **{argument: value})

        parameters = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for each in (*own.values(), *options.values())
        ]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate
