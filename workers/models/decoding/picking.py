"""Find the outputs of a network by name or by shape, and check their values."""

from collections.abc import Sequence

import numpy as np

from agewell.workers.models.arrays import TAP, Array, Arrays

_TOLERANCE = 0.01  # float16 and 8-bit networks leave 0..1 by a little


class OutputsError(ValueError):
    """The outputs of a network are not those that model.yaml describes."""


def pick(outputs: Arrays, axes: int, name: str | None, usual: Sequence[str] = ()) -> Array:
    """Return one output.

    Args:
        outputs: arrays by name.
        axes: its number of axes.
        name: its name. None: it has one of the usual names, or is the only one with these axes.
        usual: usual names of this output.

    Raises:
        OutputsError: there is no such output, or there are several.
    """
    found = {each: array for each, array in outputs.items() if not each.startswith(TAP)}
    if name is None:
        fitting = [each for each, array in found.items() if array.ndim == axes]
        named = [each for each in usual if each in fitting][:1] or fitting
        if len(named) != 1:
            raise OutputsError(
                f"{len(named) or 'none'} of its outputs have {axes} axes, found: "
                f"{described(outputs)}; expected: one, or its name in model.yaml's `outputs`"
            )
        return found[named[0]]
    if name not in found:
        raise OutputsError(f"it has no output {name}; found: {described(outputs)}")
    if found[name].ndim != axes:
        raise OutputsError(f"output {name} must have {axes} axes; found: {described(outputs)}")
    return found[name]


def described(outputs: Arrays) -> str:
    """Return the names and shapes of outputs as text."""
    names = [name for name in outputs if not name.startswith(TAP)]
    return ", ".join(f"{name} {shown(outputs[name].shape)}" for name in names) or "none"


def shown(shape: Sequence[int]) -> str:
    """Return the shape of an output as text, with N for its first axis, the batch."""
    return f"({', '.join(['N', *map(str, shape[1:])])})"


def classes(count: int) -> str:
    """Return a number of classes as text."""
    return "1 class" if count == 1 else f"{count} classes"


def check_fractions(values: Array, what: str, advice: str, tolerance: float = _TOLERANCE) -> None:
    """Check that values are within 0..1.

    Raises:
        OutputsError: they are not.
    """
    low, high = float(np.min(values, initial=0)), float(np.max(values, initial=0))
    if low < -tolerance or high > 1 + tolerance:
        raise OutputsError(f"{what} must be within 0..1; found: {low:.4g} to {high:.4g}. {advice}")
