"""Poisson blending: paste a region by its gradients, so that its seam is invisible.

Source: Pérez, Gangnet, Blake, "Poisson image editing", SIGGRAPH 2003. docs/poisson.md explains
the principle, the solver and the measurements.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from agewell.shared.errors import ParameterError, ShapeError
from agewell.workers.imaging.image import Image
from agewell.workers.operations.poisson.fpie import choose_backend, make_relax
from agewell.workers.operations.poisson.multigrid import Grid, build_levels, solve
from agewell.workers.operations.poisson.region import Point, Region, find_region

Gradient = Literal["src", "max", "avg"]

DEFAULT_TOLERANCE = 0.25
DEFAULT_MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class PoissonResult:
    """A blended image, and facts about the solution."""

    image: Image  # (H, W, 3) uint8 BGR, the destination's shape
    backend: str  # the fpie backend that computed it
    iterations: int  # fpie's sweeps over the finest grid
    levels: int  # number of grids, with the finest; the coarser ones add a third of the work
    residual: float  # gray levels: the largest change of any value in the last cycle
    converged: bool  # residual <= tolerance


@dataclass(frozen=True)
class _Solver:
    """How to solve the equation. The values are those of `poisson_blend`, checked."""

    backend: str  # never "auto"
    threads: int
    tolerance: float
    max_iterations: int
    checkpoint: Callable[[], None]


def poisson_blend(
    source: Image,
    mask: Image,
    destination: Image,
    *,
    gradient: Gradient = "src",
    mask_on_source: Point | None = None,
    mask_on_destination: Point = (0, 0),
    tolerance: float = DEFAULT_TOLERANCE,
    max_iterations: int = DEFAULT_MAX_ITERATIONS,
    backend: str = "auto",
    threads: int = 1,
    max_pixels: int = 8_000_000,
    checkpoint: Callable[[], None] = lambda: None,
) -> PoissonResult:
    """Blend the selected part of source into destination.

    Inside the region the result has the gradients of the source (or of both images, see
    ``gradient``). On its edge it has the colours of the destination. For each pixel p,

        4 f(p) - sum of f(q) = sum of v(p, q)

    over its four neighbours q, with the wanted differences v. This is equation 7 of the paper.
    Pixels outside the region are those of the destination, bit for bit.

    Parts of the mask outside the destination are cut off. Selected pixels in the outermost row or
    column of the source have no complete gradient, and those of the destination have no boundary
    colour. Both are left unchanged.

    Args:
        source: (H, W, 3) uint8 BGR, the image that gives the gradients.
        mask: (h, w) uint8. Values of 128 and more select a pixel.
        destination: (H', W', 3) uint8 BGR, the image to blend into.
        gradient: "src": the differences of the source. "max": for each pair of pixels the larger
            difference of the two images, so that texture of the destination shows through smooth
            parts of the source (equation 12). "avg": the mean of both.
        mask_on_source: (x, y) of the mask's top left corner on the source. None means (0, 0), and
            the mask must have the source's size.
        mask_on_destination: (x, y) of the mask's top left corner on the destination. They may be
            negative.
        tolerance: 0.001..64 gray levels. The solver stops if a cycle changes no value by more. The
            remaining error is then smaller than this.
        max_iterations: 1..1,000,000 sweeps over the finest grid, rounded to whole cycles, at least
            one. If they are not enough, the result has ``converged`` False.
        backend: "numba", "numpy", "taichi-cpu" or "auto". "auto" is the fastest usable one that
            gives the same bytes each time. Results of taichi with several threads may differ by
            one gray level from call to call.
        threads: 1..1024, for taichi. The other backends use one.
        max_pixels: the largest box around the selected pixels. The solver needs 0.27 GB of memory
            for a million pixels.
        checkpoint: called between slices of the work. It may raise to stop the work. The longest
            slice is two sweeps of the finest grid, about 0.2 s for a megapixel.

    Returns:
        The image, (H', W', 3) uint8 BGR, with facts about the solution.

    Raises:
        ShapeError: an array has not the shape or dtype above, the mask does not fit the source,
            or the region is larger than ``max_pixels``.
        MaskError: the mask selects nothing, or nothing that can be blended.
        ParameterError: a parameter is outside its range, or the backend is not usable here.
        BackendError: "auto" found no usable backend.
    """
    _check_arrays(source, mask, destination)
    _check_parameters(gradient, tolerance, max_iterations, threads)
    region = find_region(source.shape, mask, destination.shape, mask_on_source, mask_on_destination)
    _check_size(region, max_pixels)
    chosen = choose_backend(backend, threads)
    checkpoint()
    solver = _Solver(chosen, threads, tolerance, max_iterations, checkpoint)
    return _blend_region(source, destination, region, gradient, solver)


def _blend_region(
    source: Image, destination: Image, region: Region, gradient: Gradient, solver: _Solver
) -> PoissonResult:
    patch = destination[region.on_destination]
    lack = guidance(source[region.on_source], patch, gradient) * region.inside[:, :, None]
    levels = build_levels(region.inside, make_relax(solver.backend, solver.threads))
    per_cycle = 2 * levels[0].sweeps
    cycles = max(1, solver.max_iterations // per_cycle)
    solution = solve(levels, lack, solver.tolerance, cycles, solver.checkpoint)
    return PoissonResult(
        image=_add(destination, region, solution.error),
        backend=solver.backend,
        iterations=solution.cycles * per_cycle,
        levels=len(levels),
        residual=solution.change,
        converged=solution.converged,
    )


def guidance(source: Image, destination: Image, gradient: Gradient) -> Grid:
    """Compute the right side of the equation: the wanted differences minus the existing ones.

    For the correction e = f - d, with the destination d, the paper's equation 7 becomes
    4 e(p) - sum of e(q) = sum of v(p, q) - (d(p) - d(q)). This function returns the right side. It
    is the same for pixels in the middle and on the edge of the region, because e is zero outside.

    Args:
        source: (h, w, 3) uint8, aligned with destination.
        destination: (h, w, 3) uint8.
        gradient: see ``poisson_blend``.

    Returns:
        (h, w, 3) float32, gray levels. The outermost rows and columns are meaningless.
    """
    out = np.zeros(destination.shape, np.float32)
    for axis in (0, 1):
        have = np.diff(destination.astype(np.float32), axis=axis)
        lack = _mix(np.diff(source.astype(np.float32), axis=axis), have, gradient) - have
        ahead, behind = [slice(None)] * 2, [slice(None)] * 2
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        out[tuple(ahead)] += lack
        out[tuple(behind)] -= lack
    return out


def _mix(source: Grid, destination: Grid, gradient: Gradient) -> Grid:
    if gradient == "src":
        return source
    if gradient == "avg":
        return (source + destination) * np.float32(0.5)
    return np.where(np.abs(source) < np.abs(destination), destination, source)


def _add(destination: Image, region: Region, error: Grid) -> Image:
    """Add the correction to the selected pixels, rounded to nearest and clipped to 0..255."""
    out = destination.copy()
    patch = out[region.on_destination]
    blended = patch[region.inside] + error[region.inside]
    patch[region.inside] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
    return out


def _check_arrays(source: Image, mask: Image, destination: Image) -> None:
    for name, array, channels in (
        ("source", source, (3,)),
        ("mask", mask, ()),
        ("destination", destination, (3,)),
    ):
        wanted = f"(height, width{', 3' if channels else ''}) uint8"
        if array.dtype != np.uint8 or array.ndim < 2 or array.shape[2:] != channels:
            raise ShapeError(f"{name} must be {wanted}; it is {array.shape} {array.dtype}")


def _check_size(region: Region, max_pixels: int) -> None:
    height, width = region.inside.shape
    if height * width > max_pixels:
        raise ShapeError(
            f"the blend's region is {width} x {height} = {height * width:,} pixels; "
            f"the limit is {max_pixels:,}"
        )


def _check_parameters(gradient: str, tolerance: float, max_iterations: int, threads: int) -> None:
    if gradient not in get_args(Gradient):
        raise ParameterError("gradient", repr(gradient), ", ".join(get_args(Gradient)))
    if not 0.001 <= tolerance <= 64:  # written so that NaN is refused, too
        raise ParameterError("tolerance", str(tolerance), "0.001..64 gray levels")
    if not 1 <= max_iterations <= 1_000_000:
        raise ParameterError("max_iterations", str(max_iterations), "1..1000000")
    if not 1 <= threads <= 1024:
        raise ParameterError("threads", str(threads), "1..1024")
