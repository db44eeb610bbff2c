"""Solve the discrete Poisson equation on any mask by multigrid, with Jacobi sweeps.

A sweep computes every pixel from its four neighbours, so a correction moves one pixel per sweep.
Sweeps remove fine detail from the error at once, but hardly reduce a wide slope. On a grid of half
the size the slope is half as wide. So a cycle sweeps the finest grid a little, passes the
remaining error to the next coarser grid, adds the correction from there, and sweeps again.
Coarse grids cannot represent every boundary exactly. Conjugate gradients around the cycles
compensate for this.

Grids are (h, w, 3) float32 arrays in gray levels, zero outside the mask. The unknown is the
correction e to add to an image, which is zero on the boundary. The equation of a pixel p is
4 e(p) - sum of e over its four neighbours = r(p).

Sources: Briggs, Henson, McCormick, "A Multigrid Tutorial", 2nd ed., SIAM 2000; McAdams, Sifakis,
Teran, "A parallel multigrid Poisson solver for fluids simulation on large grids", SCA 2010
(multigrid inside conjugate gradients); Notay, "Flexible conjugate gradients", SIAM J. Sci.
Comput. 22(4), 2000 (because the sweeps of some backends differ a little from call to call).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.float32]
Inside = NDArray[np.bool_]
Relax = Callable[[Grid, Grid, int], Grid]
"""(error, right side, number of sweeps) -> the error after these sweeps, zero outside the mask."""
Checkpoint = Callable[[], None]

SWEEPS = 2  # before and after each visit to the coarser grids
COARSEST_SWEEPS = 8  # more, because there is no coarser grid


@dataclass(frozen=True)
class Level:
    """One grid of the pyramid."""

    inside: Inside  # (h, w) bool, the mask
    weight: Grid  # (h, w, 3) float32, the mask as 1 and 0
    relax: Relax  # sweeps this grid
    sweeps: int  # how many at a time


@dataclass(frozen=True)
class Solution:
    """The result of ``solve``."""

    error: Grid  # (h, w, 3) float32, gray levels to add to the image
    cycles: int
    change: float  # gray levels: the largest change of any value in the last cycle
    converged: bool  # change <= tolerance


def build_levels(inside: Inside, make_relax: Callable[[Inside, int], Relax]) -> list[Level]:
    """Halve the mask until nothing is left of it. The finest level comes first.

    Args:
        inside: (h, w) bool, the pixels to solve for, at least one.
        make_relax: (mask, depth) -> the function that sweeps this mask. Depth 0 is the finest
            grid.
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
    """Keep every second pixel of every second row, except those around a hidden hole.

    A hole between the kept pixels does not exist on the coarse grid, so that grid would correct
    pixels that must stay zero. On masks with many small holes this makes the cycles ten times
    slower. So the pixels around such a hole are dropped.

    Args:
        inside: (h, w) bool.

    Returns:
        (ceil(h / 2), ceil(w / 2)) bool, or (0, 0) if a side is below 3.
    """
    if min(inside.shape) < 3:
        return np.zeros((0, 0), np.bool_)
    kept: Inside = inside[::2, ::2]
    covered = prolong(kept[:, :, None].astype(np.float32), inside.shape)[:, :, 0]
    hidden_hole = (covered == 1) & ~inside
    near_hole = restrict(hidden_hole[:, :, None].astype(np.float32))[:, :, 0] > 0
    return kept & ~near_hole


def prolong(coarse: Grid, shape: Sequence[int]) -> Grid:
    """Stretch a coarse grid to (h, w) = ``shape`` by linear interpolation."""
    rows = _stretch(coarse, shape[0])
    return _stretch(rows.swapaxes(0, 1), shape[1]).swapaxes(0, 1)


def restrict(fine: Grid) -> Grid:
    """Sum a fine grid onto every second pixel, as the transpose of ``prolong``.

    The weights add up to 4, the factor that the equation needs for pixels of twice the size.
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
    """Apply the left side of the equation: 4 e - the sum of e over the four neighbours.

    Args:
        level: the grid.
        error: (h, w, 3) float32, zero outside the mask.

    Returns:
        (h, w, 3) float32, zero outside the mask.
    """
    out: Grid = error * np.float32(4)
    out[1:] -= error[:-1]
    out[:-1] -= error[1:]
    out[:, 1:] -= error[:, :-1]
    out[:, :-1] -= error[:, 1:]
    out *= level.weight
    return out


def cycle(levels: Sequence[Level], right: Grid, checkpoint: Checkpoint) -> Grid:
    """Run one V-cycle and return an approximate solution.

    Args:
        levels: the pyramid, the finest grid first.
        right: (h, w, 3) float32, the right side on the finest grid.
        checkpoint: called between slices of the work. It may raise to stop it.
    """
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
    """Do half a sweep, then whole ones.

    A Jacobi sweep changes the sign of a checkerboard pattern in the error, and does not reduce it.
    Half a sweep, adding ``left_over`` / 8, gives the mean of that pattern and its negative, which
    is zero.
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
    """Run cycles until one of them changes no value by more than ``tolerance`` gray levels.

    A cycle leaves at most about half of the error, so the remaining error is smaller than the last
    change. Each of the three channels has its own step lengths.

    Args:
        levels: the pyramid, the finest grid first.
        right: (h, w, 3) float32, the right side on the finest grid.
        tolerance: gray levels.
        max_cycles: the solver stops after this number of cycles.
        checkpoint: called between slices of the work. It may raise to stop it.
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
    """Return the scalar product of each channel, (3,) float32."""
    products: Grid = np.einsum("hwc,hwc->c", left, right)
    return products


def _ratio(above: Grid, below: Grid) -> Grid:
    """Divide, with 0 for a division by 0. This happens in channels that are already solved."""
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)
