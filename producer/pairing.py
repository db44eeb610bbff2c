"""Which files make an item: those of several patterns, one to one, or one with all."""

import itertools
from collections.abc import Iterator, Mapping

from producer.files import LocalFile, expand
from producer.submit import Sources
from shared.errors import BadFileError


def broadcast(patterns: Mapping[str, str | None]) -> Iterator[Sources]:
    """Match the files of several patterns one to one; a single file goes with all of the others.

    Raises:
        BadFileError: the patterns stand for different numbers of files, none of them one.
    """
    sides = {field: pattern for field, pattern in patterns.items() if pattern is not None}
    streams: dict[str, Iterator[LocalFile]] = {}
    for field, pattern in sides.items():
        files = expand([pattern])
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
    while True:
        found = {field: next(streams[field], None) for field in many}
        if all(file is None for file in found.values()):
            return
        for field, file in found.items():
            if file is None:
                raise BadFileError(sides[field], f"fewer files than {_others(sides, many, field)}")
        pair = {field: file for field, file in found.items() if file is not None}
        yield pair | {field: next(streams[field]) for field in single}


def _others(sides: dict[str, str], many: list[str], field: str) -> str:
    return " and ".join(sides[other] for other in many if other != field)
