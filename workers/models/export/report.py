"""The output of `agewell models export`."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from agewell.workers.models.export import parity
from agewell.workers.models.export.int8 import Quantised
from agewell.workers.models.export.parity import Speed
from agewell.workers.models.export.version import Export


def say(text: str) -> None:
    """Print a line to stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def text(made: Export) -> str:
    """Return the comparison for people."""
    sizes = sorted({(case.height, case.width) for case in made.cases if not case.real})
    levels = [case.max_levels for case in made.cases if case.max_levels is not None]
    lines = [
        f"compared: batches {sorted({case.batch for case in made.cases})}, "
        f"sizes {', '.join(f'{h} x {w}' for h, w in sizes)}, "
        f"photos {sum(case.real for case in made.cases)}",
        f"largest difference{' in float32' if made.int8 else ''}: "
        f"{max(case.max_abs for case in made.cases):.2g}"
        + (f"; of final pictures: {max(levels)} of 255" if levels else ""),
    ]
    if made.quantised is not None:
        lines += _gate(made.quantised)
    lines += [_speed(each) for each in made.speeds]
    attention = made.operators.get("Attention", 0)
    nodes = sum(made.operators.values())
    size = f"{made.size_bytes:,} bytes"
    if made.quantised is not None:
        size += f", {made.size_bytes / made.float32_bytes:.2f} of those in float32"
    lines.append(f"{nodes} nodes, {attention} of them Attention; {size}")
    lines.append(f"made {made.directory}" if made.made else "refused, so nothing was written")
    return "\n".join(lines)


def _gate(quantised: Quantised) -> Iterator[str]:
    gate = quantised.gate
    skipped = f", {gate.skipped} skipped" if gate.skipped else ""
    yield f"calibrated on {gate.calibrated} images, {gate.held_out} held out{skipped}"
    whole = quantised.layers - quantised.in_float
    yield f"{whole} of {quantised.layers} layers in 8 bits"
    lowest = "" if gate.unit == "%" else f", lowest {_shown(gate.lowest, gate.unit)}"
    value, least = (_shown(each, gate.unit) for each in (gate.value, gate.least))
    yield f"{gate.measure}: {value}{lowest} (at least {least} needed)"


def _shown(value: float, unit: str) -> str:
    return f"{100 * value:.1f} %" if unit == "%" else f"{value:.1f} dB"


def _speed(speed: Speed) -> str:
    made = "8 bits" if speed.float32_ms else "ONNX"
    line = f"a batch of {speed.batch}: torch {speed.torch_ms} ms, "
    if speed.float32_ms:
        line += f"ONNX {speed.float32_ms} ms, "
    ratio = speed.torch_ms / speed.onnx_ms
    return f"{line}{made} {speed.onnx_ms} ms ({ratio:.2f} times as fast as torch)"


def faults(made: Export) -> Iterator[str]:
    """Say why an export was refused: a line for each reason."""
    for case in made.failed:
        yield f"differs by {case.max_abs:.3g}, allowed {parity.MAX_ABS:.3g}: {case}"
    if made.quantised is None or made.quantised.gate.holds:
        return
    gate = made.quantised.gate
    value, least = (_shown(each, gate.unit) for each in (gate.value, gate.least))
    yield (
        f"the 8-bit graph agrees too little with the original: {gate.measure} {value} on "
        f"{gate.held_out} held-out images, at least {least} needed; calibrate on more images like "
        "those of your jobs, or accept less with --min-agreement"
    )


def next_step(made: Export, into: Path | None, models: Sequence[Path]) -> str:
    """Return the command that makes the new version serve."""
    command = f"agewell models activate {made.directory.parent.name} {made.directory.name}"
    if into is None or into in models:
        return f"to serve it: {command}"
    return f"to serve it, start workers with AGEWELL_MODELS_DIR={into}, then: {command}"
