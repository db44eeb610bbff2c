"""A table of formats by variants: each file with its true pixels, or the reason to refuse it.

A module of tests makes the rows, hands them to ``judge_all`` and asserts on the tally:

    rows = [Row("bmp/os2_24.bmp", data, truth=rgba), Row("bmp/jpeg.bmp", data, refused=("JPEG",))]
    tally = judge_all(rows)
    assert not tally.wrong, tally.report()
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from agewell.shared.errors import BadImageError
from agewell.workers.imaging.codec import Limits, decode
from tests.oracles.picture_readers import as_rgba

LIMITS = Limits()


@dataclass(frozen=True)
class Row:
    """One file, and the answer it must get: its true pixels, or an error that names the reason."""

    name: str
    data: bytes = field(repr=False)
    truth: np.ndarray | None = field(default=None, repr=False)  # (H, W, 4) RGBA, upright
    tolerance: int = 0  # the largest difference a lossy format may have
    refused: tuple[str, ...] = ()  # words of the error; empty if the file must decode
    error: type[BadImageError] = BadImageError  # of which the refusal must be


@dataclass
class Tally:
    """Names of files by their outcome."""

    exact: list[str] = field(default_factory=list)
    close: list[str] = field(default_factory=list)  # lossy: within its row's tolerance
    refused: list[str] = field(default_factory=list)  # by the reason that the row names
    wrong: list[str] = field(default_factory=list)  # each with the difference

    @property
    def files(self) -> int:
        return len(self.exact) + len(self.close) + len(self.refused) + len(self.wrong)

    def report(self) -> str:
        """The counts on one line, then a line for each wrong file."""
        counts = (
            f"{self.files} files: {len(self.exact)} exact, {len(self.close)} close (lossy), "
            f"{len(self.refused)} refused by name, {len(self.wrong)} wrong"
        )
        return "\n".join([counts, *self.wrong])


def judge_all(rows: Iterable[Row]) -> Tally:
    """Decode every file and compare it with its row."""
    tally = Tally()
    for row in rows:
        _judge(row, tally)
    return tally


def _judge(row: Row, tally: Tally) -> None:
    try:
        found = as_rgba(decode(row.data, row.name, LIMITS))
    except BadImageError as error:
        fits = row.truth is None and isinstance(error, row.error)
        if fits and all(word in str(error) for word in row.refused):
            tally.refused.append(row.name)
        else:
            tally.wrong.append(f"{type(error).__name__}: {error}")
        return
    if row.truth is None:
        tally.wrong.append(f"{row.name}: decoded, expected an error with {row.refused}")
    elif found.shape != row.truth.shape:
        tally.wrong.append(f"{row.name}: shape {found.shape}, expected {row.truth.shape}")
    else:
        _compare(row, found, row.truth, tally)


def _compare(row: Row, found: np.ndarray, truth: np.ndarray, tally: Tally) -> None:
    difference = np.abs(found.astype(int) - truth.astype(int))
    if not difference.any():
        tally.exact.append(row.name)
    elif difference.max() <= row.tolerance:
        tally.close.append(row.name)
    else:
        rows, columns, _ = difference.nonzero()
        at = (int(columns[0]), int(rows[0]))
        tally.wrong.append(
            f"{row.name}: {np.count_nonzero(difference.any(axis=2))} pixels differ by up to "
            f"{difference.max()}; first at {at}: {found[at[1], at[0]]}, "
            f"expected {truth[at[1], at[0]]}"
        )
