"""Names of result files: each once, and below their folder."""

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
    """Gives out each name once, even if case and the form of accents do not count.

    Some 80 bytes a name: a 64-bit hash of it. Should two hashes be equal, a name gets a number that
    it did not need.
    """

    def __init__(self) -> None:
        self._last_numbers: dict[int, int] = {}

    def claim(self, name: str, endings: Sequence[str] = ()) -> tuple[str, ...]:
        """The names of an item's image and of its further files, unlike all given out before.

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
    """Path of a result with this name. It is below the folder, whatever the name says."""
    # POSIX keeps two leading slashes apart from one: a root "//" is a root as well.
    parts = [
        part for part in PurePosixPath(fit(name)).parts if part.strip("/") not in ("", "..", ".")
    ]
    return folder.joinpath(*parts or ["image"])


def own_results(out: Path | None, made_by: str) -> Callable[[Path], bool]:
    """Tell the results of an earlier run from the files to send, if --out is searched too.

    These are the files below the folder that are named like results of the same operation or model.
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
