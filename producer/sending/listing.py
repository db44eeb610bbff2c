"""Finds the files that paths, folders and globs stand for, in a fixed order."""

import fnmatch
import functools
import glob
import hashlib
import itertools
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from agewell.producer.sending.files import LocalFile, reason_of
from agewell.shared.errors import BadFileError, ParameterError
from agewell.shared.protocol.formats import IMAGE_SUFFIXES

GLOB_MAX_PARTS = 100
"""The most parts of a glob. Each part takes some of Python's stack."""

OnBad = Callable[[BadFileError], None]
"""Called with the error of each pattern or folder that gives no files. It may raise the error."""

LeftOut = Callable[[Path], bool]
"""Returns True for a file, found in a folder or by a glob, that must not be taken."""


def raise_error(error: BadFileError) -> None:
    """Raise the first problem."""
    raise error


def leave_out_none(path: Path) -> bool:
    """Leave out no file."""
    del path
    return False


def expand(
    patterns: Iterable[str], on_bad: OnBad = raise_error, left_out: LeftOut = leave_out_none
) -> Iterator[LocalFile]:
    """Find the files that paths, folders (searched whole) and globs stand for, each once.

    Two names of one file (a symbolic or hard link to it) are two files. A file that is found twice
    under one name, by several patterns or through a linked folder, is taken once.

    Args:
        patterns: paths, folders, globs.
        on_bad: called for each folder or glob without a file, and for each folder that cannot be
            read. A missing file is reported later, when it is read.
        left_out: returns True for files to leave out. A file that you name is always taken.
    """
    seen: set[bytes] = set()
    for pattern in patterns:
        for file in expand_one(pattern, on_bad, left_out):
            key = _identity(file.path)
            if key not in seen:
                seen.add(key)
                yield file


def expand_one(
    pattern: str, on_bad: OnBad = raise_error, left_out: LeftOut = leave_out_none
) -> Iterator[LocalFile]:
    """Find the files that one path, folder or glob stands for.

    The name of a file found in a folder is its path within that folder. The name of any other file
    is the last part of its path.
    """
    if not pattern:  # Path would read it as the working directory
        on_bad(BadFileError("''", "an empty path"))
    elif os.path.isdir(pattern):  # noqa: PTH112  Path's raises if it may not look
        found = (file for file in _walk(pattern, on_bad) if not left_out(file.path))
        yield from _nonempty(found, pattern, "no image in this folder", on_bad)
    elif glob.has_magic(pattern) and not os.path.lexists(pattern):
        paths = (path for path in map(Path, _glob(pattern, on_bad)) if not left_out(path))
        found = (LocalFile(path, path.name) for path in paths)
        yield from _nonempty(found, pattern, "no file matches", on_bad)
    else:
        yield LocalFile(Path(pattern), Path(pattern).name)


def only_file(pattern: str, option: str, allowed: str = "one file") -> LocalFile:
    """Find the file that goes with every item.

    Args:
        pattern: its path, or a folder or glob that stands for this file alone.
        option: the name of the option, for the error.
        allowed: what the option takes, for the error.

    Raises:
        ParameterError: the pattern stands for several files.
        BadFileError: it stands for none, or the file cannot be read.
    """
    found = list(itertools.islice(expand_one(pattern), 2))
    if len(found) != 1:
        raise ParameterError(option, f"several files, {pattern}", allowed)
    found[0].size_bytes()
    return found[0]


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names as people count: 2 before 10, and upper case like lower case.

    An ending that all names share, before the suffix, is ignored. So `1-mask.png` and
    `10-mask.png` come in the same order as `1.jpg` and `10.jpg`.
    """
    found = list(names)
    stems = [_folded(name.rpartition(".")[0] or name) for name in found]
    backwards = [stem[::-1] for stem in stems]
    shared = os.path.commonprefix(backwards)[::-1].lstrip("0123456789")  # noqa: RUF071
    keys = {
        name: (_natural(stem[: len(stem) - len(shared)]), _natural(_folded(name)), name)
        for name, stem in zip(found, stems, strict=True)
    }
    return sorted(found, key=keys.__getitem__)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _natural(text: str) -> list[str | int]:
    """Split into texts and numbers, in turn, so that two of these lists can be compared."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]


def _identity(path: Path) -> bytes:
    place = f"{_real(str(path.parent))}/{path.name}"
    return hashlib.blake2b(os.fsencode(place), digest_size=12).digest()


@functools.lru_cache(maxsize=1024)
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def _nonempty(
    files: Iterator[LocalFile], pattern: str, problem: str, on_bad: OnBad
) -> Iterator[LocalFile]:
    first = next(files, None)
    if first is None:
        on_bad(BadFileError(pattern, problem))
        return
    yield first
    yield from files


def _walk(folder: str, on_bad: OnBad) -> Iterator[LocalFile]:
    """Find the images in a folder and below. Folders that are links are not entered."""
    for place, others in _folders_below(folder, on_bad, hidden=True):
        for name in in_order(filter(_has_image_suffix, others)):
            path = Path(place, name)
            yield LocalFile(path, path.relative_to(folder).as_posix())


def _has_image_suffix(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122


def _folders_below(folder: str, on_bad: OnBad, *, hidden: bool) -> Iterator[tuple[str, list[str]]]:
    """Walk a folder and all folders below it, each with the names of the files in it."""
    stack = [folder]
    while stack:
        place = stack.pop()
        folders, others = _list(place, on_bad)
        yield place, others
        below = [
            name
            for name in folders
            if (hidden or not name.startswith(".")) and not os.path.islink(_join(place, name))  # noqa: PTH114
        ]
        stack += [_join(place, name) for name in reversed(in_order(below))]


def _list(folder: str, on_bad: OnBad) -> tuple[list[str], list[str]]:
    """Return the names of the folders in a folder, and those of everything else."""
    folders: list[str] = []
    others: list[str] = []
    try:
        with os.scandir(folder or ".") as entries:
            for entry in entries:
                (folders if _is_folder(entry) else others).append(entry.name)
    except OSError as error:
        on_bad(BadFileError(folder, f"folder not read: {reason_of(error)}"))
    return folders, others


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _join(folder: str, name: str) -> str:
    return os.path.join(folder, name)  # noqa: PTH118  keeps the pattern's own spelling


def _glob(pattern: str, on_bad: OnBad) -> Iterator[str]:
    """Find the files that match a glob, as bash with globstar does. `**` enters no linked folder.

    The standard library's glob follows links in circles, does not sort, and ignores folders that
    it may not read.
    """
    root = re.match("/*", pattern)
    start = root[0] if root else ""
    parts = [part for part in pattern[len(start) :].split("/") if part]
    if len(parts) > GLOB_MAX_PARTS:
        on_bad(BadFileError(pattern, f"a glob of {len(parts):,} parts; at most {GLOB_MAX_PARTS}"))
        return
    parts = [part for n, part in enumerate(parts) if part != "**" or parts[n - 1 : n] != ["**"]]
    if parts[-1:] == ["**"]:
        parts.append("*")
    found = (each for each in _match(start, parts, on_bad) if not os.path.isdir(each))  # noqa: PTH112
    # Two `**` can lead to one file in two ways.
    yield from dict.fromkeys(found) if parts.count("**") > 1 else found


def _match(place: str, parts: list[str], on_bad: OnBad) -> Iterator[str]:
    if not parts:
        yield place
    elif os.path.isdir(place or "."):  # noqa: PTH112
        yield from _match_in(place, parts[0], parts[1:], on_bad)


def _match_in(folder: str, part: str, rest: list[str], on_bad: OnBad) -> Iterator[str]:
    if part == "**":
        for place, _ in _folders_below(folder, on_bad, hidden=False):
            yield from _match(place, rest, on_bad)
    elif not glob.has_magic(part):
        path = _join(folder, part)
        if rest or os.path.lexists(path):
            yield from _match(path, rest, on_bad)
    else:
        folders, others = _list(folder, on_bad)
        matches = re.compile(fnmatch.translate(part)).match
        names = [name for name in (folders if rest else others) if matches(name)]
        for name in in_order(names):
            if part.startswith(".") or not name.startswith("."):
                yield from _match(_join(folder, name), rest, on_bad)
