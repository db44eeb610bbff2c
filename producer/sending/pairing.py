"""Pairs the files of several patterns: one to one, or one file with all the others."""

import itertools
from collections.abc import Iterator, Mapping

from agewell.producer.sending.files import LocalFile
from agewell.producer.sending.listing import LeftOut, expand_one, leave_out_none
from agewell.producer.sending.plan import Sources
from agewell.shared.errors import BadFileError


def broadcast(
    patterns: Mapping[str, str | None], left_out: LeftOut = leave_out_none
) -> Iterator[Sources]:
    """Match the files of several patterns one to one. A single file goes with all the others.

    A file that cannot be sent keeps its place, so only its own item fails. A folder that cannot be
    read would shift all later files against each other, so it is an error.

    Args:
        patterns: a path, folder or glob for each field of an item. None for a field without files.
        left_out: returns True for files found in folders and by globs that must not be taken.

    Yields:
        The files of one item, by field.

    Raises:
        BadFileError: a pattern stands for no file, a folder cannot be read, or the patterns stand
            for different numbers of files, none of them one.
    """
    sides = {field: pattern for field, pattern in patterns.items() if pattern is not None}
    streams: dict[str, Iterator[LocalFile]] = {}
    for field, pattern in sides.items():
        files = expand_one(pattern, left_out=left_out)
        head = list(itertools.islice(files, 2))
        streams[field] = itertools.chain(head, files) if len(head) > 1 else itertools.cycle(head)
    single = {field for field, stream in streams.items() if isinstance(stream, itertools.cycle)}
    if single == set(sides):
        yield {field: next(stream) for field, stream in streams.items()}
        return
    yield from _zip(sides, streams, single)


def _zip(
    sides: dict[str, str], streams: dict[str, Iterator[LocalFile]], single: set[str]
) -> Iterator[Sources]:
    many = [field for field in sides if field not in single]
    partners: dict[tuple[str, str, str], str] = {}
    for number in itertools.count():
        found = {field: next(streams[field], None) for field in many}
        pair = {field: file for field, file in found.items() if file is not None}
        if not pair:
            return
        if len(pair) < len(many):
            counts = [number + (f in pair) + sum(1 for _ in streams[f]) for f in many]
            raise _mismatch(list(zip([sides[f] for f in many], counts, strict=True)))
        _check_folders(pair, partners)
        yield {field: pair[field] if field in pair else next(streams[field]) for field in sides}


def _check_folders(pair: dict[str, LocalFile], partners: dict[tuple[str, str, str], str]) -> None:
    """Check that the files of one subfolder go with the files of only one other subfolder.

    If one folder has a file too few and the next one a file too many, the totals agree, but the
    pairs between the two are wrong.
    """
    folders = {f: file.name.rpartition("/")[0] for f, file in pair.items() if "/" in file.name}
    for one, other in itertools.permutations(folders, 2):
        partner = partners.setdefault((one, folders[one], other), folders[other])
        if partner != folders[other]:
            problem = f"would go with {pair[other].path}, but other files of its folder go with "
            problem += f"{partner}/: the subfolders have different numbers of files"
            raise BadFileError(str(pair[one].path), problem)


def _mismatch(counts: list[tuple[str, int]]) -> BadFileError:
    (pattern, count), *others = counts
    rest = ", ".join(f"{other} has {number:,}" for other, number in others)
    allowed = "the numbers must be equal, or one file for all"
    return BadFileError(pattern, f"has {count:,} files, but {rest}; {allowed}")
