"""The operations of this process: agewell's own, and those of users' packages.

agewell's own are the modules beside this one. Users' are the modules named in AGEWELL_OPERATIONS
and the entry points of the group `agewell.operations`.
"""

import importlib
import logging
import pkgutil
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Final

from agewell.shared.text.printable import printable
from agewell.workers.operations.declaration import ATTRIBUTE, Operation
from agewell.workers.process.python_files import import_file

GROUP: Final = "agewell.operations"
"""The group of entry points that name modules with operations."""

_NONE: Final = (
    "it declares no operation: use the decorator @operation (those that it imports from other "
    "packages do not count)"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """A module or an operation that cannot be used."""

    source: str  # the module, or the name of the entry point
    reason: str


@dataclass(frozen=True)
class Registry:
    """The operations by name, the modules that users' come from, and those that cannot be used."""

    operations: Mapping[str, Operation]
    sources: Mapping[str, str]  # by the name of the operation, for users' operations
    failures: tuple[Failure, ...] = ()


@cache
def load_operations(modules: tuple[str, ...] = ()) -> Registry:
    """Import the modules of all operations.

    A module of a user that cannot be imported does not keep the others from being used.

    Args:
        modules: names of users' modules, or paths of files that end in `.py`.
    """
    found = dict(_built_in())
    sources: dict[str, str] = {}
    failures: list[Failure] = []
    for source, load in _plugins(modules):
        try:
            operations = list(_operations_in(load()))
            if not operations:
                raise ImportError(_NONE)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a module raises anything
            log.error("operations of %s cannot be used:\n%s", printable(source), _traceback())
            failures.append(Failure(source, printable(f"{type(error).__name__}: {error}")))
            continue
        for each in operations:
            if found.get(each.name) is each:  # the same plug-in under another name
                continue
            reason = _taken(each, found, sources)
            if reason:
                where = printable(source)
                log.error("operation %s of %s cannot be used: %s", each.name, where, reason)
                failures.append(Failure(source, reason))
            else:
                found[each.name], sources[each.name] = each, source
    return Registry(MappingProxyType(found), MappingProxyType(sources), tuple(failures))


def _taken(operation: Operation, found: Mapping[str, Operation], sources: Mapping[str, str]) -> str:
    """Say which other operation has the name or the command of an operation. Empty if none has."""
    for each in found.values():
        owner = sources.get(each.name, "agewell")
        if each.name == operation.name:
            return f"{owner} has an operation {each.name} already"
        if operation.schema.command in (each.schema.command, each.name):
            return (
                f"{operation.name}: {owner} has a command `agewell enqueue "
                f"{operation.schema.command}` already"
            )
    return ""


def _built_in() -> Iterator[tuple[str, Operation]]:
    folder = Path(__file__).parent
    package = __name__.rpartition(".")[0]
    for module in sorted(each.name for each in pkgutil.iter_modules([str(folder)])):
        for each in _operations_in(importlib.import_module(f"{package}.{module}")):
            yield each.name, each


def _plugins(modules: tuple[str, ...]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the name of each plug-in, and a function that imports it."""
    for name in modules:
        yield name, partial(_import, name)
    for entry in sorted(entry_points(group=GROUP), key=lambda each: (each.name, each.value)):
        if entry.value not in modules:
            yield entry.value, entry.load


def _import(name: str) -> ModuleType:
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name).resolve()
    return import_file(path, str(path))  # its stem may be the name of a package, as in json.py


def _operations_in(found: Any) -> Iterator[Operation]:
    """Yield the operations that a module declares, or the one of a single function."""
    if not isinstance(found, ModuleType):
        each = getattr(found, ATTRIBUTE, None)
        if isinstance(each, Operation):
            yield each
        return
    seen: list[Operation] = []
    for value in list(vars(found).values()):
        each = getattr(value, ATTRIBUTE, None) if callable(value) else None
        if (
            isinstance(each, Operation)
            and _package(each.function.__module__) == _package(found.__name__)
            and each not in seen
        ):
            seen.append(each)
            yield each


def _traceback() -> str:
    """Return the traceback as text that every log can hold: a path may not be UTF-8."""
    return traceback.format_exc().encode(errors="backslashreplace").decode()


def _package(module: str) -> str:
    return module.partition(".")[0]
