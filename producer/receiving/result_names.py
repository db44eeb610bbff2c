"""Names of result files: no name twice, and no path outside of the output folder."""

import hashlib
import itertools
import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import get_args

from agewell.shared.protocol.formats import Format
from agewell.shared.protocol.output_names import extra_name, fit


class UniqueNames:
    """Gives out each name once, also on file systems that ignore case and the form of accents.

    It keeps a 64-bit hash of each name, about 80 bytes in memory. If two hashes are equal by
    chance, a name gets a number that it did not need.
    """

    def __init__(self) -> None:
        self._last_numbers: dict[int, int] = {}

    def claim(self, name: str, endings: Sequence[str] = ()) -> tuple[str, ...]:
        """Return names for an item's image and further files, different from all given out before.

        The second `cat.hsv.png` becomes `cat.hsv-2.png`.
        """
        first = _hash(name)
        if not endings and first not in self._last_numbers:
            self._last_numbers[first] = 1
            return (name,)
        for number in itertools.count(self._last_numbers.get(first, 0) + 1):
            image = _numbered(name, number)
            names = (image, *(extra_name(image, ending) for ending in endings))
            hashes = [_hash(each) for each in names]
            if self._last_numbers.keys().isdisjoint(hashes):
                self._last_numbers |= dict.fromkeys(hashes, 1) | {first: number}
                return names
        raise AssertionError("there is no last number")


def _numbered(name: str, number: int) -> str:
    if number == 1:
        return name
    path = PurePosixPath(name)
    return fit(str(path.with_name(f"{path.stem}-{number}{path.suffix}")))


def _hash(name: str) -> int:
    folded = unicodedata.normalize("NFC", name).casefold()
    digest = hashlib.blake2b(folded.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest)


def confined(folder: Path, name: str) -> Path:
    """Return the path of a result. It is below the folder, even if the name has `..` in it."""
    # POSIX has two roots, "/" and "//". Neither may stay.
    parts = [
        part for part in PurePosixPath(fit(name)).parts if part.strip("/") not in ("", "..", ".")
    ]
    return folder.joinpath(*parts or ["image"])


def own_results(out: Path | None, made_by: str) -> Callable[[Path], bool]:
    """Make a test for results of an earlier run, which must not be sent as inputs.

    Results are the files below `out` whose names are those of results of the same operation or
    model.

    Args:
        out: the folder for results. None: no file is a result.
        made_by: the operation or the model.
    """
    if out is None:
        return lambda _: False
    place = os.path.realpath(out)
    formats = "|".join(get_args(Format))
    name = re.compile(rf".*\.{re.escape(made_by)}(-\d+)?(\..+)?\.({formats})", re.DOTALL)

    def is_result(path: Path) -> bool:
        if name.fullmatch(path.name) is None:
            return False
        return Path(os.path.realpath(path.parent)).is_relative_to(place)

    return is_result
