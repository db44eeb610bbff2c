"""Train the digits' network on scikit-learn's digits, in seconds."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from agewell.workers.models.library.digits.network import DigitsCnn
from agewell.workers.models.training import plots

_TEST_SHARE = 0.25
_FULL_INK = 16
Pixels = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Digits:
    """Handwritten digits, split with a fixed seed, with equal shares of each class."""

    train_images: Pixels  # (N, 1, 8, 8) in [0, 1]
    train_labels: Labels  # (N,), 0..9
    test_images: Pixels
    test_labels: Labels

    @classmethod
    def load(cls) -> "Digits":
        """Load the 1,797 digits of scikit-learn. A quarter of them is for testing."""
        # They take a second, and nothing else of this module needs them.
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        images, labels = load_digits(return_X_y=True)
        images = (images / _FULL_INK).reshape(-1, 1, 8, 8).astype(np.float32)
        split = train_test_split(
            images, labels, test_size=_TEST_SHARE, random_state=0, stratify=labels
        )
        train, test, train_labels, test_labels = split
        return cls(train, train_labels.astype(np.int64), test, test_labels.astype(np.int64))


def train(net: DigitsCnn, digits: Digits, epochs: int = 40, batch_size: int = 64) -> list[float]:
    """Train with digits that are moved, rotated and scaled a little.

    Args:
        net: the network, changed in place.
        digits: the data.
        epochs: number of passes over the training images.
        batch_size: images.

    Returns:
        The mean loss of each epoch.
    """
    images, labels = torch.from_numpy(digits.train_images), torch.from_numpy(digits.train_labels)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = -(-len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * steps)
    losses = []
    net.train()
    for _ in range(epochs):
        total = 0.0
        for some in torch.split(torch.randperm(len(images)), batch_size):
            loss = functional.cross_entropy(net(_moved(images[some])), labels[some])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item()
        losses.append(total / steps)
    net.eval()
    return losses


def _moved(images: Tensor) -> Tensor:
    """Rotate images by up to 11 degrees, scale them by up to 10 %, move them by up to 0.8 px."""
    count = len(images)
    turn = (torch.rand(count) * 2 - 1) * 0.2
    scale = 1 + 0.1 * (torch.rand(count) * 2 - 1)
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0] = maps[:, 1, 1] = scale * torch.cos(turn)
    maps[:, 0, 1], maps[:, 1, 0] = -scale * torch.sin(turn), scale * torch.sin(turn)
    maps[:, :, 2] = 0.2 * (torch.rand(count, 2) * 2 - 1)
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def probabilities(net: DigitsCnn, images: Pixels) -> Pixels:
    """Classify images: (N, 1, 8, 8) in [0, 1] -> (N, 10) probabilities."""
    with torch.inference_mode():
        return net(torch.from_numpy(images)).softmax(dim=1).numpy()  # type: ignore[no-any-return]


def accuracy(net: DigitsCnn, images: Pixels, labels: Labels) -> float:
    """Return the share of images, 0..1, whose most probable digit is the label."""
    return float((probabilities(net, images).argmax(axis=1) == labels).mean())


def run(out: Path, epochs: int) -> dict[str, float]:
    """Train, and write weights.safetensors, figures.json and predictions.png.

    Args:
        out: the directory to write to, made if needed.
        epochs: number of passes over the training images.

    Returns:
        The figures, as in figures.json.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    digits, net, begun = Digits.load(), DigitsCnn(), time.monotonic()
    train(net, digits, epochs)
    figures = {
        "epochs": epochs,
        "seconds": round(time.monotonic() - begun, 1),
        "train_images": len(digits.train_images),
        "test_images": len(digits.test_images),
        "test_accuracy": round(accuracy(net, digits.test_images, digits.test_labels), 4),
    }
    save_file(net.state_dict(), out / "weights.safetensors")
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    guesses = probabilities(net, digits.test_images)
    plots.predictions(digits.test_images, digits.test_labels, guesses, out / "predictions.png")
    return figures
