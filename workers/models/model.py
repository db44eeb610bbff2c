"""The model: one version, from its directory to its predictions.

A worker calls `load`, `warmup` and `verify` once. For each image it then calls `preprocess` in the
job's thread, `forward` for a whole batch in the device's thread, and `postprocess` in the job's
thread. These methods exchange numpy arrays. Tensors stay within a `Network`
(workers/models/kinds).

To add a model, write a directory with `model.yaml` and weights. If that is not enough, write a
subclass of `Model` and name it in model.yaml as `model_class`.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agewell.shared.errors import ModelError, ParameterError
from agewell.workers.imaging.image import Image
from agewell.workers.models.arrays import CHECK_FILE, Array, Arrays
from agewell.workers.models.check_file import difference, read_check
from agewell.workers.models.preprocess import input_pixels
from agewell.workers.models.spec import ModelSpec

if TYPE_CHECKING:
    import torch

    from agewell.workers.models.kinds.network import Network

log = logging.getLogger(__name__)

Parameters = Mapping[str, Any]
"""A job's parameters by name, as JSON values. Two of them are arrays: `palette`, (N, 3) uint8 RGB,
and `reference`, (H, W, 3) uint8 BGR."""


@dataclass(frozen=True)
class Prediction:
    """A model's result for one image."""

    image: Image | None = None
    """(H, W, 3) uint8 BGR, or (H, W) uint8 gray, for a model that makes a picture."""

    values: dict[str, Any] = field(default_factory=dict)
    """JSON values. A classification has {"classes": [{"label": text, "probability": 0..1}, ...]},
    with the most probable class first. A detection has {"boxes": [{"label": text, "score": 0..1,
    "box": [x0, y0, x1, y1]}, ...]}, and a segmentation {"segments": [{"label": text, "share":
    0..1}, ...]}."""

    pictures: Mapping[str, Image] = field(default_factory=dict)
    """Further pictures by name, (H, W, 3) uint8 BGR. Each becomes a file of its own: `crop-1` of
    `cat.yolo.png` is `cat.yolo.crop-1.png`."""

    exact: bool = False
    """True if each value of the image has a meaning, so that a lossy format would change it."""


class Model(ABC):
    """One version of a model. A subclass defines its inputs and its predictions."""

    parameters: frozenset[str] = frozenset()
    """The names of the job parameters that this model has. Others are refused."""

    def __init__(self, spec: ModelSpec, directory: Path) -> None:
        self.spec = spec
        self.directory = directory
        self._network: Network | None = None
        self._remarks: list[str] = []

    def load(self, device: "torch.device") -> None:
        """Read the weights and put the network on its device, ready for `forward`.

        Raises:
            ModelError: files are missing or damaged, or do not match model.yaml.
        """
        from agewell.workers.models.kinds import make_network

        self._network = make_network(self.spec, self.directory)
        self._network.load(device)
        if not self.spec.model_fields_set & {"input", "model_class"}:
            self._remark("model.yaml has no input: images keep their size, and values are 0..1")

    def warmup(self) -> None:
        """Run each batch size once, so that kernels are compiled and memory is allocated.

        Raises:
            ModelError: an output is not a batch of this size, or has values that are not finite.
        """
        item = self.example()
        for size in self._warmup_sizes():
            outputs = self.forward({name: np.stack([array] * size) for name, array in item.items()})
            for name, array in outputs.items():
                if array.shape[:1] != (size,):
                    found = f"output {name} has shape {array.shape} for a batch of {size}"
                    raise self._error(f"warm-up failed: {found}")
                if not np.isfinite(array).all():
                    found = f"output {name} has values that are not finite"
                    raise self._error(f"warm-up failed: {found}")
            self.check_outputs(outputs)

    def _warmup_sizes(self) -> tuple[int, ...]:
        """Return the batch sizes to run. No job's batch has more pixels than `max_pixels`."""
        if self.spec.buckets:
            return self.spec.warmup_sizes
        most = self.spec.max_pixels // input_pixels(self._gray(), self.spec.input)
        return tuple(sorted({max(1, min(size, most)) for size in self.spec.warmup_sizes}))

    def check_outputs(self, outputs: Arrays) -> None:
        """Check the outputs of a warm-up pass, beyond their batch axis. The default accepts all.

        Args:
            outputs: arrays as `forward` returns them. All values are finite.

        Raises:
            ModelError: they are not what `postprocess` needs.
        """
        del outputs

    def verify(self) -> None:
        """Compare the outputs with `check.npz`, if the directory has this file.

        The file holds inputs as `in:NAME` and the expected outputs as `out:NAME`, with batch axis 0
        on each. Exports write it, and you can write it for your own versions. A version with other
        outputs is refused.

        Raises:
            ModelError: an output differs by more than model.yaml's `check_max_abs`, or with
                bfloat16 or float16 by more than a share of the largest output (`check_share`).
        """
        path = self.directory / CHECK_FILE
        if not path.exists():
            return
        given, expected = read_check(path)
        if reason := difference(self.forward(given), expected, self.spec):
            raise self._error(f"{CHECK_FILE}: {reason}")

    def example(self) -> dict[str, Array]:
        """Return one item for warming up: `preprocess` of a gray image."""
        return self.preprocess(self._gray(), {})

    def _gray(self) -> Image:
        side = self.spec.input.warmup_side
        height, width = self.spec.input.size or (side, side)
        return np.full((height, width, 3), 128, np.uint8)

    def sample_parameters(self, image: Image) -> Parameters:
        """Return typical parameters for an image, to calibrate and to compare. Default: none.

        Args:
            image: (H, W, 3) uint8 BGR.
        """
        del image
        return {}

    def check_parameters(self, parameters: Parameters) -> None:
        """Check a job's parameters. A subclass may extend this to check their values.

        Raises:
            ParameterError: this model does not have a parameter of that name.
        """
        for name in parameters:
            if name not in self.parameters:
                allowed = ", ".join(sorted(self.parameters)) or "none"
                raise ParameterError(name, "given", f"by {self.spec.name}: {allowed}")

    @abstractmethod
    def preprocess(self, image: Image, parameters: Parameters) -> dict[str, Array]:
        """Convert one image to the network's inputs.

        Args:
            image: (H, W, 3) uint8 BGR. Do not write into it.
            parameters: the job's parameters.

        Returns:
            Arrays by the names of the network's inputs, without a batch axis. Items with equal
            shapes and dtypes share batches.

        Raises:
            ParameterError: a parameter is outside its range.
        """

    def forward(self, batch: Arrays, taps: Sequence[str] = ()) -> dict[str, Array]:
        """Run the network once.

        Args:
            batch: arrays as `preprocess` returns them, stacked along a batch axis 0.
            taps: names of intermediates to return, from `tap_points`.

        Returns:
            Arrays by the names of the outputs, float32, with batch axis 0. Tapped intermediates
            are named `TAP` + name.

        Raises:
            OutOfMemoryError: the device has not enough memory for a batch of this size.
        """
        return self.network.forward(batch, taps)

    @abstractmethod
    def postprocess(self, output: Arrays, image: Image, parameters: Parameters) -> Prediction:
        """Convert one item's outputs to a prediction.

        Args:
            output: arrays as `forward` returns them, without the batch axis. Values are finite.
            image: the image that was given to `preprocess`, (H, W, 3) uint8 BGR.
            parameters: the job's parameters.
        """

    def size_bytes(self) -> int:
        """Return the memory of the weights in bytes."""
        return self.network.size_bytes()

    def runs_on(self) -> str:
        """Return the library and device that run it, such as `torch, cpu`, or "" if unknown."""
        return "" if self._network is None else self._network.runs_on()

    def warning(self) -> str:
        """Return what the operator should know about how it runs, or ""."""
        network = "" if self._network is None else self._network.warning()
        return "; ".join([each for each in (network, *self._remarks) if each])

    def _remark(self, text: str) -> None:
        """Add to the warning, and to the log."""
        if text not in self._remarks:
            self._remarks.append(text)
            log.warning("%s: %s", self.spec.id, text)

    def tap_points(self) -> list[str]:
        """Return the names of the intermediates that `forward` can return in addition."""
        return self.network.tap_points()

    def _error(self, reason: str) -> ModelError:
        return ModelError(self.spec.name, self.spec.version, reason)

    @property
    def network(self) -> "Network":
        """The loaded network.

        Raises:
            RuntimeError: `load` was not called.
        """
        if self._network is None:
            raise RuntimeError(f"{self.spec.id} is not loaded")
        return self._network
