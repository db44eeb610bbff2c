"""Run a program with torch in a child process. The command line itself never imports torch."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

import typer

from agewell.producer.cli.exit_codes import ExitCode, leave

TRAINING: Final = "agewell.workers.models.training"
EXPORT: Final = "agewell.workers.models.export"
BENCH: Final = "agewell.workers.inference.bench"


def named(**options: object) -> list[object]:
    """Turn the options that were given into arguments."""
    given: list[object] = []
    for name, value in options.items():
        if value is not None:
            given += [f"--{name.replace('_', '-')}", value]
    return given


def run_child(package: str, extra: str, arguments: Sequence[object]) -> None:
    """Run a package in a child process, and exit with its status.

    Args:
        package: such as `agewell.workers.models.export`.
        extra: of agewell, which has what the package needs.
        arguments: of the program.
    """
    command = _command(package, extra, arguments)
    try:
        code = subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:  # the child got the signal too, and has ended
        code = ExitCode.INTERRUPTED
    raise typer.Exit(code)


def read_child(
    package: str, extra: str, arguments: Sequence[object], each: Callable[[str], None]
) -> int:
    """Run a package in a child process, and return its status.

    Args:
        package: such as `agewell.workers.inference.bench`.
        extra: of agewell, which has what the package needs.
        arguments: of the program.
        each: called with each line that it prints to stdout.
    """
    command = _command(package, extra, arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            for line in child.stdout or ():
                each(line.rstrip("\n"))
        except KeyboardInterrupt:
            return ExitCode.INTERRUPTED
    return child.returncode


def _command(package: str, extra: str, arguments: Sequence[object]) -> list[str]:
    if importlib.util.find_spec("torch") is None:
        leave(ExitCode.USAGE, f"torch is not installed: pip install 'agewell[{extra}]'")
    return [sys.executable, "-P", "-m", package, *map(str, arguments)]
