"""Train the colorizer.

A training writes a directory with state.safetensors, to resume from, weights.safetensors (the
running mean of the weights, which workers use), loss.png, samples.jpg and figures.json.
"""

import json
import math
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from agewell.workers.imaging.image import Image
from agewell.workers.models.input_spec import InputSpec
from agewell.workers.models.library.colorizer import crops, measure, sheet
from agewell.workers.models.library.colorizer import palette as palettes
from agewell.workers.models.library.colorizer.crops import Batch
from agewell.workers.models.library.colorizer.model import enlarge, shrink
from agewell.workers.models.library.colorizer.network import Colorizer, ColorizerConfig
from agewell.workers.models.library.colorizer.palette import Floats
from agewell.workers.models.training import plots
from agewell.workers.models.training.state import TrainingState

INPUT = InputSpec(multiple=32, max_side=192, colours="gray")
"""The network's input: the size to which photos are scaled down."""
_ERROR_FLOOR = 2e-3
"""A mean squared error in units of (a / 128)^2, equal to 33 dB. Smaller errors hardly reduce the
loss, so that the network does not memorise a few photos at the expense of the others."""
_ON_SHEET = 12
"""The number of photos on samples.jpg."""


@dataclass(frozen=True)
class Recipe:
    """The settings of a training."""

    steps: int = 4_500
    batch_size: int = 8  # crops
    learning_rate: float = 1.5e-3  # the highest
    warmup_steps: int = 200  # until the highest learning rate
    mean_decay: float = 0.998  # of the running mean of the weights, per step
    seed: int = 0
    sizes: Sequence[tuple[int, int]] = crops.SIZES
    net: ColorizerConfig = field(default_factory=ColorizerConfig)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step. It rises linearly and falls along a cosine."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


class Training:
    """A training with its files. If the directory has a saved state, the training is resumed.

    Args:
        photos: (H, W, 3) uint8 BGR, to train on.
        out: the directory of the training, made if needed.
        recipe: the settings.
        held_out: (H, W, 3) uint8 BGR, to measure on.
    """

    def __init__(
        self, photos: Sequence[Image], out: Path, recipe: Recipe, held_out: Sequence[Image] = ()
    ) -> None:
        self.photos, self.held_out = photos, held_out
        self.out, self.recipe = out, recipe
        torch.manual_seed(recipe.seed)
        self.net = Colorizer(recipe.net)
        self.state = TrainingState.start(self.net, recipe.learning_rate)
        out.mkdir(parents=True, exist_ok=True)
        if self._file.exists():
            self.state.load(self._file)

    @property
    def _file(self) -> Path:
        return self.out / "state.safetensors"

    def run(self, every: int = 500) -> None:
        """Train to the last step of the recipe.

        Args:
            every: save the state and print the progress after this number of steps.
        """
        begun = time.monotonic() - self.state.seconds
        with ThreadPoolExecutor(1) as ahead:
            following = ahead.submit(self._draw, self.state.step)
            while self.state.step < self.recipe.steps:
                batch = following.result()
                following = ahead.submit(self._draw, self.state.step + 1)
                train_step(self.net, self.state, self.recipe, batch)
                if self.state.step % every == 0 or self.state.step == self.recipe.steps:
                    self.state.seconds = time.monotonic() - begun
                    self._keep(every)

    def finish(self) -> dict[str, Any]:
        """Measure the result, write figures.json, loss.png and samples.jpg, return the figures."""
        shown = self.held_out or self.photos
        constant = constant_palette(self.photos)
        figures = {
            "photos": len(self.photos),
            "steps": self.state.step,
            "minutes": round(self.state.seconds / 60, 1),
            "weights": sum(p.numel() for p in self.net.parameters()),
            "constant_palette": ["#" + bytes(c).hex() for c in palettes.to_rgb(constant)],
            "held_out_photos": len(self.held_out),
            "held_out": measure.table(self.held_out, self.network(), constant),
        }
        (self.out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
        plots.loss(self.state.losses, self.state.measured, self.out / "loss.png")
        sheet.save(shown[:_ON_SHEET], self.network(), self.out / "samples.jpg")
        return figures

    def network(self) -> measure.Colour:
        """Return the network with the running mean of its weights."""
        net = Colorizer(self.recipe.net)
        net.load_state_dict(self.state.mean)
        return colour_by(net.eval())

    def _draw(self, step: int) -> Batch:
        recipe = self.recipe
        return crops.draw(self.photos, recipe.batch_size, recipe.seed, step, recipe.sizes)

    def _keep(self, every: int) -> None:
        recent = self.state.losses[-every:]
        line = f"step {self.state.step}/{self.recipe.steps}  {self.state.seconds:.0f} s"
        line += f"  loss {sum(recent) / len(recent):.3f}"
        if self.held_out:
            reached = measure.mean_psnr(self.held_out, self.network())
            self.state.measured.append((self.state.step, reached))
            line += f"  held out {reached:.2f} dB"
        self.state.save(self._file)
        save_file(self.state.mean, self.out / "weights.safetensors")
        print(line, file=sys.stderr, flush=True)  # noqa: T201


def train_step(net: Colorizer, state: TrainingState, recipe: Recipe, batch: Batch) -> None:
    """Do one step of training, and add its loss to the state."""
    for group in state.optimizer.param_groups:
        group["lr"] = recipe.rate(state.step)
    loss = loss_of(net, batch)
    state.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    state.optimizer.step()
    state.step += 1
    state.average(recipe.mean_decay)
    state.losses.append(round(loss.item(), 4))


def loss_of(net: Colorizer, batch: Batch) -> Tensor:
    """Compute the loss of a batch: the mean over the crops of log(mean squared error).

    PSNR is such a logarithm. It gives every crop the same weight.

    Returns:
        A scalar.
    """
    colour = net(torch.from_numpy(batch.luminance), torch.from_numpy(batch.palette))
    error = (colour - torch.from_numpy(batch.colour)).square().mean(dim=(1, 2, 3))  # (B,)
    return torch.log(error + _ERROR_FLOOR).mean()


def colour_by(net: Colorizer, spec: InputSpec = INPUT) -> measure.Colour:
    """Make a method for `measure` from a network: it resizes the luminance and the colours."""

    def colour(lightness: Floats, palette: Floats) -> Floats:
        small = torch.from_numpy(shrink(lightness, spec))[None]
        with torch.inference_mode():
            found = net(small, torch.from_numpy(palette)[None])[0].numpy()
        return enlarge(found, *lightness.shape)

    return colour


def constant_palette(photos: Sequence[Image]) -> Floats:
    """Compute a common palette of many photos, the default of jobs. All photos count equally.

    Args:
        photos: (H, W, 3) uint8 BGR, of any sizes.

    Returns:
        (N, 4) float32, as `palette.extract` returns it.
    """
    side = 48
    pixels = [palettes.to_lab(_thumbnail(photo, side)).reshape(-1, 3) for photo in photos]
    return palettes.extract(np.concatenate(pixels))


def _thumbnail(photo: Image, side: int) -> Image:
    rows, columns = np.linspace(0, 1, side), np.linspace(0, 1, side)
    y = np.rint(rows * (photo.shape[0] - 1)).astype(np.intp)
    x = np.rint(columns * (photo.shape[1] - 1)).astype(np.intp)
    return np.ascontiguousarray(photo[y][:, x])
