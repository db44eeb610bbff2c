"""The versions on disk: NAME/VERSION/model.yaml below the models directories."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from agewell.shared.errors import ModelError, UnknownModelError
from agewell.workers.models.file_faults import fault_of
from agewell.workers.models.spec import FILE_NAME, NAME_PATTERN, ModelSpec, read_spec

_PLAIN_NUMBER = r"\d+(\.\d+)*"


@dataclass(frozen=True)
class Found:
    """One version on disk."""

    name: str
    version: str
    directory: Path
    spec: ModelSpec | None  # None if model.yaml is not valid
    problem: str = ""  # why it cannot be loaded, if this is visible without loading it


class Catalogue:
    """The versions in some directories. Every call looks at the files again, as they may change."""

    def __init__(self, *roots: Path) -> None:
        """Make a catalogue.

        Args:
            roots: the models directories. If two have the same version, the first one's is used.
        """
        self.roots = roots

    def versions(self) -> list[Found]:
        """Return all versions, sorted by name and version. Version 10 comes after 9."""
        found: dict[tuple[str, str], Found] = {}
        for root in self.roots:
            for path in root.glob(f"*/*/{FILE_NAME}"):
                if _named_well(path):
                    each = _read(path.parent)
                    found.setdefault((each.name, each.version), each)
        return sorted(found.values(), key=lambda each: (each.name, _natural(each.version)))

    def of_name(self, name: str) -> list[Found]:
        """Return the versions of a name, sorted.

        Raises:
            UnknownModelError: there is no model of this name.
        """
        found = [each for each in self.versions() if each.name == name]
        if not found:
            raise UnknownModelError(name, self._known(name))
        return found

    def directory(self, name: str, version: str) -> Path:
        """Return the directory of a version.

        Raises:
            UnknownModelError: there is no such model or version.
            ModelError: its directory has no model.yaml.
        """
        if _is_name(name) and _is_name(version):
            paths = [root / name / version for root in self.roots]
            for path in paths:
                if (path / FILE_NAME).is_file():
                    return path
            for path in paths:
                if path.is_dir():
                    raise ModelError(name, version, f"there is no {FILE_NAME} in {path}")
        raise UnknownModelError(f"{name}/{version}", self._known(name))

    def latest(self, name: str) -> str:
        """Return the version of a name that serves if none was activated.

        This is the highest version that is a plain number, such as 2 or 1.10, without a visible
        fault. Exports and versions with other names serve only if they are activated.

        Raises:
            UnknownModelError: there is no model of this name.
            ModelError: no version is a plain number, or all of these have faults. The error is
                that of the highest.
        """
        found = self.of_name(name)
        plain = [each for each in found if _serves_unasked(each)]
        good = [each for each in plain if not each.problem]
        if good:
            return good[-1].version
        if plain:
            raise ModelError(name, plain[-1].version, plain[-1].problem)
        version = found[-1].version
        do = f"run `agewell models activate {name} {version}`, or name it in the job"
        raise ModelError(name, version, f"serves only if it is activated, as it is no number: {do}")

    def latest_of_torch(self, name: str) -> str:
        """Return the version to export: the highest plain number that torch runs.

        Raises:
            UnknownModelError: there is no model of this name.
            ModelError: none of its versions is a plain number that torch runs and can be read.
        """
        plain = [each for each in self.of_name(name) if _serves_unasked(each)]
        found = [each for each in plain if each.spec is not None and each.spec.kind != "onnx"]
        if found:
            return found[-1].version
        version = self.latest(name)
        [other] = [each for each in plain if each.version == version]
        kind = other.spec.kind if other.spec is not None else "unknown"
        raise ModelError(name, version, f"is of kind {kind}, which torch does not run")

    def _known(self, name: str) -> str:
        """Return the versions of a name as text. If there are none, return all names."""
        found = self.versions()
        versions = [_told(each) for each in found if each.name == name]
        return ", ".join(versions or sorted({each.name for each in found}))


def _serves_unasked(found: Found) -> bool:
    """Return True for a plain number that is not an export of another version."""
    variant = found.spec is not None and found.spec.variant_of is not None
    return not variant and re.fullmatch(_PLAIN_NUMBER, found.version) is not None


def _told(found: Found) -> str:
    return f"{found.name}/{found.version}{f' (broken: {found.problem})' if found.problem else ''}"


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
