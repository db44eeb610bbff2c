"""Checks for misspelt settings, in the environment and in the secrets directory."""

import difflib
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from agewell.shared.errors import SettingsError

PREFIX = "AGEWELL_"
SECRETS_DIR = f"{PREFIX}SECRETS_DIR"

_FILE_MAX_BYTES = 64 * 1024
_ALIKE = 0.75
"""The least similarity of two names, from 0 to 1, to take one for a misspelling of the other."""

_OF_KUBERNETES = re.compile(
    r"AGEWELL_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?=.*|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?=.*|=\w+://.*))"
)
"""Variables that Kubernetes sets for a Service that is named agewell or agewell-..."""


def check_variables(environment: Mapping[str, str], fields: Iterable[str]) -> None:
    """Check that every variable with the prefix AGEWELL_ is a setting.

    Args:
        environment: the variables of this process.
        fields: the names of the settings, in lower case and without the prefix.

    Raises:
        SettingsError: one is not. The error names the variable and the most similar setting. It
            does not show the value, which may be a password.
    """
    known = {f"{PREFIX}{field.upper()}" for field in fields} | {SECRETS_DIR}
    ours = [name for name in environment if name.upper().startswith(PREFIX)]
    unknown = [
        name
        for name in sorted(ours)
        if name.upper() not in known and not _OF_KUBERNETES.match(f"{name}={environment[name]}")
    ]
    if unknown:
        more = f" ({len(unknown) - 1} more are unknown)" if len(unknown) > 1 else ""
        raise SettingsError(_shown(unknown[0]), _no_setting(unknown[0].upper(), known) + more)


def check_files(directory: Path, fields: Iterable[str]) -> None:
    """Check that the files of a secrets directory can be read, and that no name is misspelt.

    Files that resemble no setting are ignored, because they may belong to other programs.

    Raises:
        SettingsError: a file cannot be read as text, or its name looks like a misspelt setting
            that has no file.
    """
    if not directory.is_dir():
        raise SettingsError(SECRETS_DIR, f"no such directory: {directory}")
    prefix = PREFIX.lower()
    known = {f"{prefix}{field}" for field in fields}
    try:
        names = sorted(path.name for path in directory.iterdir())
    except OSError as error:
        raise SettingsError(SECRETS_DIR, f"{directory}: {error.strerror}") from None
    present = {name.lower() for name in names}
    for name in names:
        if name.lower() in known:
            _check_readable(directory / name)
            continue
        near = _nearest(name.lower(), known) if name.lower().startswith(prefix) else None
        if near is not None and near not in present:
            reason = f"the file {_shown(name)} in {directory} names no setting"
            raise SettingsError(SECRETS_DIR, f"{reason}; did you mean {near}?")


def _check_readable(path: Path) -> None:
    setting = path.name.upper()
    try:
        found = path.stat()
        endless = not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))
        if endless or found.st_size > _FILE_MAX_BYTES:
            reason = f"no regular file of at most {_FILE_MAX_BYTES // 1024} KiB"
            raise SettingsError(setting, f"its file {path} is {reason}")
        path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(setting, f"its file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(setting, f"its file {path} is not text in UTF-8") from None


def _no_setting(name: str, known: set[str]) -> str:
    near = _nearest(name, known)
    if near is not None:
        return f"no such setting; did you mean {near}?"
    return "no such setting; the documentation lists them all"


def _nearest(name: str, known: set[str]) -> str | None:
    """Return the most similar known name. The prefix is not compared, because all have it."""
    bare = {each[len(PREFIX) :]: each for each in sorted(known)}
    found = difflib.get_close_matches(name[len(PREFIX) :], bare, n=1, cutoff=_ALIKE)
    return bare[found[0]] if found else None


def _shown(name: str) -> str:
    return name if name.isprintable() else repr(name)
