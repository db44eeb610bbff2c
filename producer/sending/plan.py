"""The plan of one command: its items, in input order, and the paths of their results."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agewell.producer.receiving.result_names import UniqueNames, confined
from agewell.producer.sending.files import LocalFile
from agewell.producer.sending.listing import OnBad
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.formats import Format
from agewell.shared.protocol.output_names import output_name
from agewell.shared.text.printable import printable

Sources = dict[str, LocalFile]
"""The files of one item, by field. The result is named after the first file."""


@dataclass(frozen=True)
class Planned:
    """One item: its files, and the names of its results, relative to the output folder."""

    files: Sources
    outputs: tuple[str, ...] = ()
    output_name: str | None = None
    """The name of the result. None: the worker makes it from the name of the first file."""


@dataclass(frozen=True)
class Plan:
    """The items that a command sends, and the paths of their results.

    Attributes:
        sources: finds the files of all items, in the same order each time.
        made_by: the operation or the model, which becomes part of the names of results.
        suffix: the suffix of the results.
        extras: the endings of further result files of each item, such as `.tap.npz`.
        out: the folder for results. None: this command writes no results.
        skip_existing: leave out the items whose results exist.
    """

    sources: Callable[[OnBad], Iterator[Sources]]
    made_by: str
    suffix: Format
    extras: tuple[str, ...] = ()
    out: Path | None = None
    skip_existing: bool = False

    def items(self, on_bad: OnBad) -> Iterator[Planned]:
        """Find every item to send. Each call finds the same ones."""
        for item in self._all(on_bad):
            if not (self.skip_existing and self._is_done(item)):
                yield item

    def existing(self, item: Planned) -> list[Path]:
        """Return the result files of an item that exist already."""
        return [path for path in self.paths(item) if os.path.lexists(path)]

    def paths(self, item: Planned) -> list[Path]:
        """Return the paths of the result files of an item, the image first."""
        return [] if self.out is None else [confined(self.out, name) for name in item.outputs]

    def _all(self, on_bad: OnBad) -> Iterator[Planned]:
        names = UniqueNames()
        for files in self.sources(on_bad):
            first = next(iter(files.values()))
            plain = output_name(printable(first.name), self.made_by, self.suffix)
            outputs = names.claim(plain, self.extras)
            yield Planned(files, outputs, None if outputs[0] == plain else outputs[0])

    def _is_done(self, item: Planned) -> bool:
        paths = self.paths(item)
        # A model that classifies writes no image, so only its further files can exist.
        return bool(paths) and all(path.is_file() for path in paths[1:] or paths)


def check_plan(plan: Plan, *, overwrite: bool) -> int:
    """Count the items to send, and check that no result file exists already.

    Raises:
        BadFileError: the files of several patterns do not pair up.
        ParameterError: result files exist, and must not be overwritten.
    """
    items = existing = 0
    first = ""
    look = not overwrite and plan.out is not None and _holds_something(plan.out)
    for item in plan.items(lambda _: None):
        items += 1
        for path in plan.existing(item) if look else []:
            existing += 1
            first = first or str(path)
    if existing:
        more = f" and {existing - 1:,} more exist" if existing > 1 else " exists"
        allowed = "other names, or --overwrite, or --skip-existing to send the others"
        if plan.skip_existing:
            allowed = "regular files under the names of results"
        raise ParameterError("--out", f"{plan.out}, but {first}{more} already", allowed)
    return items


def _holds_something(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # the look at each result reports the error
