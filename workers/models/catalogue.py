"""The versions on disk: NAME/VERSION/model.yaml below the models directory."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from agewell.shared.errors import ModelError, UnknownModelError
from agewell.workers.models.file_faults import fault_of
from agewell.workers.models.spec import FILE_NAME, NAME_PATTERN, ModelSpec, read_spec


@dataclass(frozen=True)
class Found:
    """One version on disk."""

    name: str
    version: str
    directory: Path
    spec: ModelSpec | None  # None if model.yaml is not valid
    problem: str = ""  # why it cannot be loaded, if this is visible without loading it


class Catalogue:
    """The versions in a directory. Every call looks at the files again, because they may change."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def versions(self) -> list[Found]:
        """Return all versions, sorted by name and version. Version 10 comes after 9."""
        paths = [path for path in self.root.glob(f"*/*/{FILE_NAME}") if _named_well(path)]
        found = [_read(path.parent) for path in paths]
        return sorted(found, key=lambda each: (each.name, _natural(each.version)))

    def directory(self, name: str, version: str) -> Path:
        """Return the directory of a version.

        Raises:
            UnknownModelError: there is no such model or version.
            ModelError: its directory has no model.yaml.
        """
        path = self.root / name / version
        if _is_name(name) and _is_name(version):
            if (path / FILE_NAME).is_file():
                return path
            if path.is_dir():
                raise ModelError(name, version, f"there is no {FILE_NAME} in {path}")
        raise UnknownModelError(f"{name}/{version}", self._known(name))

    def latest(self, name: str) -> str:
        """Return the highest version of a name with a valid model.yaml. 10 is above 9.

        Raises:
            UnknownModelError: there is no model of this name.
            ModelError: every version has a broken model.yaml. The error is that of the highest.
        """
        found = [each for each in self.versions() if each.name == name]
        good = [each for each in found if each.spec is not None]
        if good:
            return good[-1].version
        if found:
            raise ModelError(name, found[-1].version, found[-1].problem)
        raise UnknownModelError(name, self._known(name))

    def latest_of_torch(self, name: str) -> str:
        """Return the highest version of a name of kind `torch`, which can be exported.

        Raises:
            UnknownModelError: there is no model of this name.
            ModelError: none of its versions is of kind `torch`.
        """
        kinds = {
            each.version: each.spec.kind
            for each in self.versions()
            if each.name == name and each.spec is not None
        }
        found = [version for version, kind in kinds.items() if kind == "torch"]
        if not found:
            latest = self.latest(name)
            raise ModelError(name, latest, f"is of kind {kinds[latest]}, not torch")
        return found[-1]

    def _known(self, name: str) -> str:
        """Return the versions of a name as text. If there are none, return all names."""
        found = self.versions()
        versions = [_told(each) for each in found if each.name == name]
        return ", ".join(versions or sorted({each.name for each in found}))


def _told(found: Found) -> str:
    return f"{found.name}/{found.version}{' (broken)' if found.problem else ''}"


def _read(directory: Path) -> Found:
    """Read a version's files, or use the cached result if no file has changed."""
    return _read_once(directory, tuple(map(_stamp, sorted(directory.iterdir()))))


def _stamp(path: Path) -> tuple[str, int, int]:
    """Return a value that differs if the file has changed."""
    try:
        stat = path.stat()
    except OSError:
        return path.name, 0, 0
    return path.name, stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=1024)
def _read_once(directory: Path, _: tuple[tuple[str, int, int], ...]) -> Found:
    name, version = directory.parent.name, directory.name
    try:
        spec = read_spec(directory)
        return Found(name, version, directory, spec, fault_of(spec, directory))
    except ModelError as error:
        return Found(name, version, directory, None, error.reason)


def _is_name(text: str) -> bool:
    return re.fullmatch(NAME_PATTERN, text) is not None


def _named_well(path: Path) -> bool:
    return _is_name(path.parent.name) and _is_name(path.parent.parent.name)


def _natural(version: str) -> list[tuple[int, int, str]]:
    """Return a sort key that compares numbers within a text as numbers."""
    parts = re.findall(r"\d+|\D+", version)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]
