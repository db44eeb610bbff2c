"""Runs the command `agewell` in processes that have its imports behind them.

A command imports for half a second of processor time, and the tests run hundreds. Here one process
imports the command line and forks for each command. A command's arguments, environment, directory,
streams and exit status are those of a process that was started for it.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from agewell.shared.setting_names import PREFIX

_STREAMS = ("stdout", "stderr")
_COMMAND_LINE = "agewell.producer.cli.main"


def can_fork(args: Sequence[str], env: Mapping[str, str]) -> bool:
    """True if an imported command line behaves as a new one: no variable of Python's differs.

    `agewell up` runs child processes, so it is always started as a user starts it.
    """
    passing = (PREFIX, "PYTEST_")
    names = {name for name in os.environ.keys() | env.keys() if not name.startswith(passing)}
    return "up" not in args[:1] and all(os.environ.get(name) == env.get(name) for name in names)


def run_forked(
    args: Sequence[str], env: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end.

    Raises:
        subprocess.TimeoutExpired: it has not ended in time, and was killed.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        paths = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (out, err)]
        process = _context().Process(target=_become, args=(args, dict(env), str(Path.cwd()), paths))
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(args), timeout_s)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(list(args), process.exitcode, *texts)


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_COMMAND_LINE, __name__])
    return context


def _become(args: Sequence[str], env: Mapping[str, str], folder: str, paths: Sequence[str]) -> None:
    """Be the command, in a process that was forked for it."""
    for number, path in enumerate(paths, start=1):
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    errors: dict[str, Any] = {"stdout": "strict", "stderr": "backslashreplace"}
    for number, name in enumerate(_STREAMS, start=1):
        setattr(sys, name, open(number, "w", errors=errors[name], closefd=False))  # noqa: SIM115
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.argv = ["agewell", *args]
    from agewell.producer.__main__ import main

    main()
