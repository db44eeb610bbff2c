"""How much faster than fpie's plain iteration does `poisson_blend` reach the same error?

A circle of 500 pixels is blended from one photograph into another, in two 512x512 crops. The error
is the mean difference from a sparse direct solve, over the circle. The aim is an error below half a
gray level. Both sides use the same backend, each in a fresh process. Plain iteration stops after 60
seconds. If that is not enough, the ratio is a lower bound, and the table has the error that it
reached. `python -m benchmarks.poisson --whole` lets it run to the end, which takes many minutes.

cv2.seamlessClone solves another equation by a fast transform over the bounding rectangle. It is
measured beside `poisson_blend` with as few cycles as reach its error.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.report import Spread, report
from tests.oracles.direct_poisson import direct_poisson

PHOTOS = Path(__file__).parents[1] / "examples" / "images"
SIZE = 512
AIM = 0.5  # gray levels, mean
BUDGET_S = 60.0
SLICE = 500  # plain iterations between two looks at the error
REPEATS = 9
BACKENDS = ("numpy", "numba", "taichi-cpu")

SWEEPS_A_CYCLE = 4

Images = tuple[Any, Any, Any]
Figures = dict[str, Any]


def inputs() -> Images:
    """Return source, mask and destination."""
    crops = [
        cv2.imread(str(PHOTOS / name))[100 : 100 + SIZE, 200 : 200 + SIZE]
        for name in ("brown-architecture.jpg", "morskie-oko.jpg")
    ]
    centre = (SIZE // 2, SIZE // 2)
    mask = cv2.circle(np.zeros((SIZE, SIZE), np.uint8), centre, 250, 255, cv2.FILLED)
    return crops[0], mask, crops[1]


def mean_error(image: Any, wanted: Any, mask: Any) -> float:
    """Return the mean absolute difference over the mask, in gray levels."""
    return float(np.abs(image - wanted)[mask > 0].mean())


def multigrid(
    backend: str, images: Images, wanted: Any, max_iterations: int | None = None
) -> Figures:
    """Measure `poisson_blend`: the first call with imports and compilation, and the later calls."""
    options = {} if max_iterations is None else {"max_iterations": max_iterations}

    def blend() -> Any:
        from agewell.workers.operations.poisson.blend import poisson_blend

        return poisson_blend(*images, backend=backend, **options)

    first_s, times, processor, result = timed(blend)
    return {
        "first": first_s,
        "times": times,
        "processor": processor,
        "iterations": result.iterations,
        "error": mean_error(result.image, wanted, images[1]),
    }


def plain(backend: str, images: Images, wanted: Any, budget_s: float) -> Figures:
    """Measure fpie: iterate from the destination until the error or the time is reached."""
    from fpie.process import EquProcessor

    source, mask, destination = images
    processor = EquProcessor("src", backend, n_cpu=1)
    arguments = source.astype(np.float32), mask, destination.astype(np.float32), (0, 0), (0, 0)
    processor.reset(*arguments)
    processor.step(1)  # compiled outside the measurement
    begin = time.perf_counter()
    processor.reset(*arguments)
    spent, iterations, error = time.perf_counter() - begin, 0, np.inf
    while error >= AIM and spent < budget_s:
        begin = time.perf_counter()
        image, _ = processor.step(SLICE)
        spent += time.perf_counter() - begin
        iterations += SLICE
        error = mean_error(image, wanted, mask)
    return {"time": spent, "iterations": iterations, "error": error}


def seamless_clone(images: Images, wanted: Any) -> Figures:
    """Measure cv2.seamlessClone."""
    source, mask, destination = images
    # It puts the middle of the mask's bounding box at the given point.
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    centre = (int(columns[0] + columns[-1] + 1) // 2, int(rows[0] + rows[-1] + 1) // 2)

    def clone() -> Any:
        # OpenCV overwrites the mask that it is given.
        return cv2.seamlessClone(source, destination, mask.copy(), centre, cv2.NORMAL_CLONE)

    _, times, processor, image = timed(clone)
    return {"times": times, "processor": processor, "error": mean_error(image, wanted, mask)}


def to_equal_error(backend: str, images: Images, wanted: Any, error: float) -> Figures:
    """Measure `poisson_blend` with the fewest cycles that reach an error."""
    found = {"error": float("inf")}
    cycles = 0
    while found["error"] > error:
        cycles += 1
        found = multigrid(backend, images, wanted, SWEEPS_A_CYCLE * cycles)
    return found


def timed(call: Callable[[], Any]) -> tuple[float, Spread, Spread, Any]:
    """Run a call 1 + REPEATS times.

    Returns:
        The seconds of the first call, the seconds and the processor seconds of the others, and the
        last result.
    """
    times: list[float] = []
    processor: list[float] = []
    for _ in range(1 + REPEATS):
        begin, processor_began = time.perf_counter(), time.process_time()
        result = call()
        times.append(time.perf_counter() - begin)
        processor.append(time.process_time() - processor_began)
    return times[0], Spread(tuple(times[1:])), Spread(tuple(processor[1:])), result


def in_a_fresh_process(function: Callable[..., Figures], *arguments: Any) -> Figures:
    """Call a function in a new process, so that imports and compilation are measured as well."""
    with multiprocessing.get_context("spawn").Pool(1, cv2.setNumThreads, (1,)) as pool:
        return pool.apply(function, arguments)


def row(backend: str, images: Images, wanted: Any, budget_s: float) -> Figures:
    """Measure one backend on both sides, and make a row of the report."""
    ours = in_a_fresh_process(multigrid, backend, images, wanted)
    theirs = in_a_fresh_process(plain, backend, images, wanted, budget_s)
    bound = "" if theirs["error"] < AIM else "> "
    return {
        "backend": backend,
        "time, s": ours["times"],
        "processor, s": ours["processor"],
        "first call, s": ours["first"],
        "sweeps": ours["iterations"],
        "error": ours["error"],
        "plain, s": theirs["time"],
        "iterations": theirs["iterations"],
        "its error": theirs["error"],
        "times faster": f"{bound}{theirs['time'] / ours['times'].median:.0f}",
    }


def main(budget_s: float = BUDGET_S) -> None:
    """Measure every backend, then OpenCV."""
    images = inputs()
    source, mask, destination = images
    wanted = np.clip(direct_poisson(source, mask, destination), 0, 255)
    rows = [row(backend, images, wanted, budget_s) for backend in BACKENDS]
    clone = in_a_fresh_process(seamless_clone, images, wanted)
    equal = in_a_fresh_process(to_equal_error, "numba", images, wanted, clone["error"])
    blank = dict.fromkeys(rows[0], "")
    for name, found in (("cv2.seamlessClone", clone), ("numba, to its error", equal)):
        rows.append(
            blank
            | {
                "backend": name,
                "time, s": found["times"],
                "processor, s": found["processor"],
                "sweeps": found.get("iterations", ""),
                "error": found["error"],
            }
        )
    report("poisson", "Poisson blending to a mean error below 0.5 gray levels", rows)


if __name__ == "__main__":
    main(float("inf") if "--whole" in sys.argv else BUDGET_S)
