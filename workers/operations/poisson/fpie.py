"""fpie's solvers as plain functions: sweeps over the pixels of a mask, in a chosen backend.

fpie's own code does every sweep, and this is the only file that imports fpie. It imports
fpie's solver modules one by one, on first use: ``fpie.process`` would import all of them, with
taichi, which prints on import and takes 57 MB of memory in each process.

The result of fpie's ``step`` is not used: it is clipped to 0..255, and the corrections computed
here may be negative. The code below reads the unclipped values from inside the cores. fpie's
compiled cores (gcc, openmp, cuda, mpi) are not offered: they return only the result of ``step``.
"""

import contextlib
import io
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agewell.shared.errors import BackendError, ParameterError
from agewell.workers.operations.poisson.multigrid import Grid, Inside, Relax

Columns = NDArray[Any]
"""(n, 3) float32 or float64, one row for each pixel. Row 0 is the constant zero."""
Neighbours = NDArray[np.int32]
Sweep = Callable[[Neighbours, Columns, Columns, int], Columns]
"""(neighbours, x, b, sweeps) -> x. A sweep sets x to (b + the sum of x over the neighbours) / 4."""

AUTO = ("numba", "numpy")
"""The backends that "auto" tries, the fastest first. Both are deterministic and survive a fork."""
_ROWS = 2**15
_PROBE_SWEEPS = 100  # on 3 x 3 pixels a sweep leaves 0.71 of the error


@dataclass(frozen=True)
class Equations:
    """A mask's pixels, numbered from 1 in reading order."""

    pixels: NDArray[np.intp]
    """(n - 1,) positions of the pixels in the flattened mask."""
    neighbours: Neighbours
    """(n, 4) numbers of the pixels above, below, left and right, 0 for one outside the mask. This
    is fpie's ``A``."""


def number(inside: Inside) -> Equations:
    """Number the pixels of a mask, (h, w) bool."""
    height, width = inside.shape
    ids = np.zeros((height + 2, width + 2), np.int32)
    ids[1:-1, 1:-1][inside] = np.arange(1, np.count_nonzero(inside) + 1)
    around = (ids[:-2, 1:-1], ids[2:, 1:-1], ids[1:-1, :-2], ids[1:-1, 2:])
    neighbours = np.zeros((int(ids.max()) + 1, 4), np.int32)
    for column, numbers in enumerate(around):
        neighbours[1:, column] = numbers[inside]
    return Equations(np.flatnonzero(inside), neighbours)


def make_relax(backend: str, threads: int) -> Callable[[Inside, int], Relax]:
    """Return a function that makes ``relax`` for each mask of a pyramid, the finest at depth 0.

    taichi only sweeps the finest grid: it compiles its kernels for one size at a time, and on a
    small grid starting a kernel takes longer than its work. numpy sweeps the coarser grids.

    Args:
        backend: one of BACKENDS, usable in this process.
        threads: for taichi. The other backends use one.
    """
    finest = _SWEEPS[backend](threads)
    coarser = _numpy(threads) if backend == "taichi-cpu" else finest
    return lambda inside, depth: partial(_relax, number(inside), coarser if depth else finest)


def _relax(equations: Equations, sweep: Sweep, error: Grid, right: Grid, count: int) -> Grid:
    """Convert the grids to fpie's layout, sweep, and convert the result back."""
    x, b = (np.zeros((len(equations.neighbours), 3), np.float32) for _ in range(2))
    for rows, grid in ((x, error), (b, right)):
        # All pixels are in range. With "clip" numpy does not buffer the output.
        grid.reshape(-1, 3).take(equations.pixels, axis=0, out=rows[1:], mode="clip")
    out = np.zeros_like(error)
    out.reshape(-1, 3)[equations.pixels] = sweep(equations.neighbours, x, b, count)[1:]
    return out


def _numpy(_threads: int) -> Sweep:
    from fpie import np_solver

    def sweep(neighbours: Neighbours, x: Columns, b: Columns, count: int) -> Columns:
        core = np_solver.EquSolver()
        core.reset(len(x), neighbours, x, b)
        core.step(count)
        return np.asarray(core.X)

    return sweep


def _numba(_threads: int) -> Sweep:
    from fpie.numba_solver import equ_iter

    def sweep(neighbours: Neighbours, x: Columns, b: Columns, count: int) -> Columns:
        # In pieces that fit into the cache: several times faster at a megapixel, same values.
        for _ in range(count):
            after = np.empty_like(x)
            for first in range(0, len(x), _ROWS):
                rows = slice(first, first + _ROWS)
                after[rows] = equ_iter(len(x), neighbours[rows], b[rows], x)
            x = after
        return x

    return sweep


class _Taichi:
    """The only taichi processor of this process: a second one would abort the process.

    It cannot be used after a fork, because its threads stay in the parent. Its fields only grow,
    in powers of two, because each new size is compiled again (0.3 s) and leaks 0.6 MB.
    """

    SMALLEST = 2**16

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._core: Any = None
        self._owner_pid = 0
        self._size = 0

    def sweep_with(self, threads: int) -> Sweep:
        """Return the sweep. The first call in a process fixes the number of threads."""
        return partial(self._sweep, threads)

    def _sweep(
        self, threads: int, neighbours: Neighbours, x: Columns, b: Columns, count: int
    ) -> Columns:
        with self._lock:
            core = self._open(threads)
            size = max(self.SMALLEST, self._size, 1 << (len(x) - 1).bit_length())
            # Rows after the last pixel are zero and point at row 0, so they stay zero.
            fill = ((0, size - len(x)), (0, 0))
            table, x_rows, b_rows = (np.pad(rows, fill) for rows in (neighbours, x, b))
            if size > self._size:
                core.reset(size, table, x_rows, b_rows)
                self._size = size
            else:
                core.tA.from_numpy(table)
                core.tX.from_numpy(x_rows)
                core.tB.from_numpy(b_rows)
            for _ in range(count):
                core.iter_kernel()
            return np.asarray(core.tX.to_numpy())[: len(x)]

    def _open(self, threads: int) -> Any:
        if self._core is None:
            os.environ["TI_CPU_MAX_NUM_THREADS"] = str(threads)  # fpie has no argument for it
            for switch, value in _QUIET_TAICHI.items():
                os.environ.setdefault(switch, value)
            with contextlib.redirect_stdout(io.StringIO()):
                from fpie import taichi_solver

                self._core = taichi_solver.EquSolver("taichi-cpu", threads, 1024)
            self._owner_pid = os.getpid()
        if self._owner_pid != os.getpid():
            raise BackendError("taichi-cpu", "this process was forked from one that had used it")
        return self._core


_QUIET_TAICHI = {
    "ENABLE_TAICHI_HEADER_PRINT": "0",
    "TI_LOG_LEVEL": "error",
    "TI_SKIP_VERSION_CHECK": "ON",  # the check asks a server, and writes to ~/.cache
    "TI_OFFLINE_CACHE": "0",  # no compiled kernels in ~/.cache, only an empty directory
}
_TAICHI = _Taichi()
_SWEEPS: dict[str, Callable[[int], Sweep]] = {
    "numpy": _numpy,
    "numba": _numba,
    "taichi-cpu": _TAICHI.sweep_with,
}
BACKENDS = tuple(_SWEEPS)

_probe_lock = threading.Lock()
_faults: dict[tuple[str, int], str] = {}
"""(backend, process id) -> why it is not usable there, or "" if it is."""


def choose_backend(requested: str, threads: int) -> str:
    """Return the name of the backend to use. For "auto" it is the first usable one of AUTO.

    Args:
        requested: one of BACKENDS, or "auto".
        threads: for taichi. The other backends use one.

    Raises:
        ParameterError: it is unknown, or not usable in this process. The error says why.
        BackendError: none of AUTO is usable.
    """
    if requested == "auto":
        faults = {}
        for name in AUTO:
            faults[name] = fault_of(name, threads)
            if not faults[name]:
                return name
        raise BackendError("auto", f"none is usable: {faults}")
    if requested not in BACKENDS:
        raise ParameterError("backend", repr(requested), ", ".join(("auto", *BACKENDS)))
    if fault := fault_of(requested, threads):
        raise ParameterError("backend", f"{requested!r}, not usable here ({fault})", "auto")
    return requested


def fault_of(backend: str, threads: int = 1) -> str:
    """Return why a backend is not usable in this process, or "" if it is. Tests it only once."""
    key = (backend, os.getpid())
    with _probe_lock:
        if key not in _faults:
            try:
                _faults[key] = _probe(backend, threads)
            except Exception as error:  # noqa: BLE001 - any error makes it unusable
                _faults[key] = f"{type(error).__name__}: {error}"
        return _faults[key]


def _probe(backend: str, threads: int) -> str:
    """Test a backend on nine known values, because a broken one can be wrong without an error."""
    known = np.zeros((5, 5, 3), np.float32)
    known[1:-1, 1:-1] = np.arange(27, dtype=np.float32).reshape(3, 3, 3) - 13
    sums = known[:-2, 1:-1] + known[2:, 1:-1] + known[1:-1, :-2] + known[1:-1, 2:]
    wanted = known[1:-1, 1:-1]
    relax = make_relax(backend, threads)(np.ones((3, 3), np.bool_), 0)
    found = relax(np.zeros_like(wanted), 4 * wanted - sums, _PROBE_SWEEPS)
    worst = float(np.abs(found - wanted).max())
    return "" if worst < 1e-3 else f"wrong by {worst} on nine known values"
