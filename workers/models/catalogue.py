"""What there is below the models' directory: name/version/model.yaml."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from shared.errors import ModelError, UnknownModelError
from workers.models.spec import FILE_NAME, NAME_PATTERN, ModelSpec, read_spec


@dataclass(frozen=True)
class Found:
    """One version on disk; `spec` is None where its model.yaml is bad, and `problem` says why."""

    name: str
    version: str
    directory: Path
    spec: ModelSpec | None
    problem: str = ""


class Catalogue:
    """The versions of a directory, read anew at each question: they come and go as files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def versions(self) -> list[Found]:
        """All of them, by name and version."""
        paths = [path for path in self.root.glob(f"*/*/{FILE_NAME}") if _named_well(path)]
        found = [_read(path.parent) for path in paths]
        return sorted(found, key=lambda each: (each.name, _natural(each.version)))

    def directory(self, name: str, version: str) -> Path:
        """Where a version lies.

        Raises:
            UnknownModelError: there is none.
        """
        path = self.root / name / version
        if not (_is_name(name) and _is_name(version) and (path / FILE_NAME).is_file()):
            raise UnknownModelError(f"{name}/{version}", self._known(name))
        return path

    def latest(self, name: str) -> str:
        """The highest version of a name whose model.yaml is good: 10 is above 9.

        Raises:
            UnknownModelError: there is none of this name.
        """
        good = [each for each in self.versions() if each.name == name and each.spec is not None]
        if not good:
            raise UnknownModelError(name, self._known(name))
        return good[-1].version

    def _known(self, name: str) -> str:
        """The versions of a name, or else the names."""
        found = self.versions()
        versions = [f"{each.name}/{each.version}" for each in found if each.name == name]
        return ", ".join(versions or sorted({each.name for each in found}))


def _read(directory: Path) -> Found:
    """Read a version's model.yaml, or recall it: it is asked for again and again."""
    stat = (directory / FILE_NAME).stat()
    return _read_once(directory, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1024)
def _read_once(directory: Path, *_: int) -> Found:
    name, version = directory.parent.name, directory.name
    try:
        return Found(name, version, directory, read_spec(directory))
    except ModelError as error:
        return Found(name, version, directory, None, error.reason)


def _is_name(text: str) -> bool:
    return re.fullmatch(NAME_PATTERN, text) is not None


def _named_well(path: Path) -> bool:
    return _is_name(path.parent.name) and _is_name(path.parent.parent.name)


def _natural(version: str) -> list[tuple[int, int, str]]:
    """Numbers within a text compare as numbers."""
    parts = re.findall(r"\d+|\D+", version)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]
