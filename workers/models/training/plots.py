"""Plots of trainings. They need matplotlib, which is in the extra `plots`."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

mpl.use("Agg")
from matplotlib import pyplot as plt

_SMOOTH = 100
_COLUMNS = 12


def loss(losses: Sequence[float], measured: Sequence[tuple[int, float]], path: Path) -> None:
    """Plot the loss of each step, its running mean, and the PSNR on held-out photos.

    Args:
        losses: the loss of each step.
        measured: (step, dB), may be empty.
        path: of the PNG.
    """
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    steps = np.arange(1, len(losses) + 1)
    axis.plot(steps, losses, color="#c8d4e0", linewidth=0.5)
    if len(losses) > _SMOOTH:
        smooth = np.convolve(losses, np.ones(_SMOOTH) / _SMOOTH, mode="valid")
        axis.plot(steps[_SMOOTH - 1 :], smooth, color="#2b5c8a")
    axis.set_xlabel("step")
    axis.set_ylabel("loss: mean log squared error", color="#2b5c8a")
    if measured:
        right = axis.twinx()
        right.plot(*zip(*measured, strict=True), color="#c0563b", marker=".")
        right.set_ylabel("held-out photos: PSNR over ab, dB", color="#c0563b")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def predictions(
    images: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float32],
    path: Path,
) -> None:
    """Plot the hardest test digits and the first ones, each with its predicted digit.

    Args:
        images: (N, 1, 8, 8) in [0, 1].
        labels: (N,), the correct digits.
        probabilities: (N, 10) in [0, 1].
        path: of the PNG.
    """
    right = probabilities[np.arange(len(labels)), labels]
    hardest = np.argsort(right)
    shown = np.concatenate([hardest[: 2 * _COLUMNS], np.arange(2 * _COLUMNS)])
    figure, axes = plt.subplots(4, _COLUMNS, figsize=(_COLUMNS * 0.85, 4.6), layout="constrained")
    for axis, index in zip(axes.flat, shown, strict=True):
        guess = int(probabilities[index].argmax())
        axis.imshow(images[index, 0], cmap="gray_r", vmin=0, vmax=1)
        colour = "#2c7a3f" if guess == labels[index] else "#b3261e"
        text = f"{guess}  {100 * probabilities[index, guess]:.0f} %"
        axis.set_title(text, fontsize=8, color=colour)
        axis.axis("off")
    figure.suptitle("above: the hardest of the test digits; below: the first ones", fontsize=9)
    figure.savefig(path, dpi=100)
    plt.close(figure)
