"""Compare a network's outputs with those in `check.npz`."""

from pathlib import Path

import numpy as np

from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.spec import ModelSpec


def read_check(path: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the inputs and the expected outputs of the file, by name, with batch axis 0."""
    with np.load(path, allow_pickle=False) as kept:
        arrays = {name: kept[name] for name in kept.files}
    given, expected = (
        {name[len(kind) :]: array for name, array in arrays.items() if name.startswith(kind)}
        for kind in ("in:", "out:")
    )
    return given, expected


def difference(outputs: Arrays, expected: Arrays, spec: ModelSpec) -> str:
    """Return how outputs differ by more than model.yaml allows, or ""."""
    for name, array in expected.items():
        found = outputs.get(name)
        if found is None or found.shape != array.shape:
            shape = None if found is None else found.shape
            return f"out:{name} is {shape}, expected {array.shape}"
        differs = float(np.abs(found.astype(np.float64) - array).max(initial=0.0))
        largest = float(np.abs(array).max(initial=0.0))
        allowed = max(spec.check_max_abs, spec.check_share * largest)
        if not differs <= allowed:
            return f"out:{name} differs by {differs:.3g}, allowed {allowed:.3g}"
    return ""
