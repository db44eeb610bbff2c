"""Solve the discrete Poisson equation on any mask: multigrid, with plain sweeps inside.

A sweep replaces every pixel by what its four neighbours say it should be, so that a correction
travels one pixel a sweep: it removes detail from the error at once and a wide slope hardly at
all. On a grid of half the size the wide slope is half as wide. A cycle therefore sweeps the
finest grid a little, hands what is left to the next coarser one, adds what comes back, and
sweeps again. Conjugate gradients around the cycles make up for boundaries which a coarse grid
cannot show exactly, whatever the mask.

Grids are (h, w, 3) float32 arrays in gray levels, zero outside the mask: what is solved for is
the correction to add to an image, which vanishes on the boundary. The equation of a pixel p is
4 e(p) - sum of e over its four neighbours = r(p).

Sources: Briggs, Henson, McCormick, "A Multigrid Tutorial", 2nd ed., SIAM 2000; McAdams, Sifakis,
Teran, "A parallel multigrid Poisson solver for fluids simulation on large grids", SCA 2010
(multigrid inside conjugate gradients); Notay, "Flexible conjugate gradients", SIAM J. Sci.
Comput. 22(4), 2000 (the sweeps of some backends differ a little from call to call).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.float32]
Inside = NDArray[np.bool_]
Relax = Callable[[Grid, Grid, int], Grid]
"""(error, right-hand side, sweeps) -> the error after so many sweeps; zero outside the mask."""
Checkpoint = Callable[[], None]

SWEEPS = 2  # before and after each visit to the coarser grids
COARSEST_SWEEPS = 8  # there is nobody to hand the rest to


@dataclass(frozen=True)
class Level:
    """One grid of the pyramid.

    ``inside`` is its (h, w) mask and ``weight`` the same as a grid of 1 and 0; ``relax`` sweeps
    it, ``sweeps`` at a time.
    """

    inside: Inside
    weight: Grid
    relax: Relax
    sweeps: int


@dataclass(frozen=True)
class Solution:
    """What ``solve`` reached.

    ``error`` is the grid to add; ``change`` the most that the last of ``cycles`` moved any value,
    in gray levels.
    """

    error: Grid
    cycles: int
    change: float
    converged: bool


def build_levels(inside: Inside, make_relax: Callable[[Inside, int], Relax]) -> list[Level]:
    """Halve the mask until nothing is left of it; the finest level comes first.

    Args:
        inside: (h, w) bool, the pixels to solve for; at least one.
        make_relax: (mask, depth) -> its sweeps; depth 0 is the finest grid.
    """
    masks = [inside]
    while (coarser := coarsen(masks[-1])).any():
        masks.append(coarser)
    last = len(masks) - 1
    return [
        Level(
            inside=mask,
            weight=np.repeat(mask[:, :, None], 3, axis=2).astype(np.float32),
            relax=make_relax(mask, depth),
            sweeps=COARSEST_SWEEPS if depth == last else SWEEPS,
        )
        for depth, mask in enumerate(masks)
    ]


def coarsen(inside: Inside) -> Inside:
    """Keep every second pixel of every second row, less those that would hide a hole.

    A hole between the kept pixels would be unknown to the coarse grid, which would then correct
    straight across a place where the correction must be zero: on masks with many small holes the
    cycles then slow down tenfold. So the kept pixels around such a hole are given up.
    """
    if min(inside.shape) < 3:
        return np.zeros((0, 0), np.bool_)
    kept: Inside = inside[::2, ::2]
    covered = prolong(kept[:, :, None].astype(np.float32), inside.shape)[:, :, 0]
    hidden_hole = (covered == 1) & ~inside
    near_hole = restrict(hidden_hole[:, :, None].astype(np.float32))[:, :, 0] > 0
    return kept & ~near_hole


def prolong(coarse: Grid, shape: Sequence[int]) -> Grid:
    """Stretch a coarse grid to (h, w) = ``shape`` with straight lines between its pixels."""
    rows = _stretch(coarse, shape[0])
    return _stretch(rows.swapaxes(0, 1), shape[1]).swapaxes(0, 1)


def restrict(fine: Grid) -> Grid:
    """Sum a fine grid onto every second pixel: the transpose of ``prolong``.

    The weights add up to 4, which is the factor that the equation gains when its pixels grow to
    twice the size.
    """
    return _gather(_gather(fine).swapaxes(0, 1)).swapaxes(0, 1)


def _stretch(coarse: Grid, length: int) -> Grid:
    fine = np.zeros((length, *coarse.shape[1:]), coarse.dtype)
    fine[::2] = coarse
    half = coarse * np.float32(0.5)
    between = fine[1::2]
    between += half[: len(between)]
    between[: len(coarse) - 1] += half[1:]
    return fine


def _gather(fine: Grid) -> Grid:
    coarse = fine[::2].copy()
    half = fine[1::2] * np.float32(0.5)
    coarse[: len(half)] += half
    coarse[1:] += half[: len(coarse) - 1]
    return coarse


def laplacian(level: Level, error: Grid) -> Grid:
    """Apply the left side of the equation: 4 e - the sum of e over the four neighbours."""
    out: Grid = error * np.float32(4)
    out[1:] -= error[:-1]
    out[:-1] -= error[1:]
    out[:, 1:] -= error[:, :-1]
    out[:, :-1] -= error[:, 1:]
    out *= level.weight
    return out


def cycle(levels: Sequence[Level], right: Grid, checkpoint: Checkpoint) -> Grid:
    """Run one V-cycle: an error that solves the equation nearly, for the right side ``right``."""
    level, coarser = levels[0], levels[1:]
    error = _smooth(level, np.zeros_like(right), right, right, checkpoint)
    if coarser:
        left_over = restrict(right - laplacian(level, error)) * coarser[0].weight
        correction = prolong(cycle(coarser, left_over, checkpoint), level.inside.shape)
        correction *= level.weight
        error += correction
    return _smooth(level, error, right, right - laplacian(level, error), checkpoint)


def _smooth(
    level: Level, error: Grid, right: Grid, left_over: Grid, checkpoint: Checkpoint
) -> Grid:
    """Half a sweep, then whole ones.

    A plain Jacobi sweep turns the finest checkerboard of the error into its negative and leaves
    it as large as it was. Half a sweep, ``left_over`` / 8, is the mean of that error with its own
    negative, so that nothing of it remains.
    """
    start = error + left_over * np.float32(0.125)
    checkpoint()
    end = level.relax(start, right, level.sweeps)
    checkpoint()
    return end


def solve(
    levels: Sequence[Level],
    right: Grid,
    tolerance: float,
    max_cycles: int,
    checkpoint: Checkpoint,
) -> Solution:
    """Run cycles until one of them moves no value by more than ``tolerance`` gray levels.

    A cycle leaves at most about half of the error it met, so that what is then still wrong is
    less than what it just moved. Each of the three channels takes its own step lengths.
    """
    error, direction = np.zeros_like(right), np.zeros_like(right)
    before, slope = right, np.ones(3, np.float32)
    change, cycles = np.inf, 0
    while change > tolerance and cycles < max_cycles:
        proposal = cycle(levels, right, checkpoint)
        conjugacy = _ratio(_dots(proposal, right - before), slope)
        direction = proposal + conjugacy * direction
        before, slope = right, _dots(proposal, right)
        checkpoint()
        bent = laplacian(levels[0], direction)
        length = _ratio(_dots(direction, right), _dots(direction, bent))
        step = length * direction
        error += step
        right = right - length * bent
        change, cycles = float(np.abs(step).max()), cycles + 1
    return Solution(error, cycles, change, bool(change <= tolerance))


def _dots(left: Grid, right: Grid) -> Grid:
    """The scalar product of each channel: (3,) float32."""
    products: Grid = np.einsum("hwc,hwc->c", left, right)
    return products


def _ratio(above: Grid, below: Grid) -> Grid:
    """Divide, with 0 where there is nothing to divide by: a channel already solved."""
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)
