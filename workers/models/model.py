"""The model: one version of one, from its directory to its predictions.

The worker calls, once: `load`, `warmup`. Then, for each image: `preprocess` in the job's own
thread, `forward` for a whole batch in the device's one, `postprocess` in the job's own again.
Arrays that cross these calls are numpy's; tensors stay within a `Network` (workers/models/kinds).

A model of one's own is a directory (`model.yaml` and weights), or a subclass of `Model` that
`model_class` in its model.yaml names.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agewell.shared.errors import ModelError, ParameterError
from agewell.workers.imaging.codec import Image
from agewell.workers.models.arrays import CHECK_FILE, Array, Arrays
from agewell.workers.models.spec import ModelSpec

if TYPE_CHECKING:
    import torch

    from agewell.workers.models.kinds.network import Network

Parameters = Mapping[str, Any]
"""A job's own: what the caller gave by name (JSON values), and, where the caller gave them,
`palette`: (N, 3) uint8 RGB; `reference`: (H, W, 3) uint8 BGR."""


@dataclass(frozen=True)
class Prediction:
    """What a model makes of one image."""

    image: Image | None = None
    """(H, W, 3) uint8 BGR, for a model that makes a picture."""

    values: dict[str, Any] = field(default_factory=dict)
    """JSON values; of a classification: {"classes": [{"label": text, "probability": 0..1}, ...]},
    the likeliest first."""


class Model(ABC):
    """One version of a model; a subclass says what goes in and what comes out."""

    parameters: frozenset[str] = frozenset()
    """The names of a job's parameters that it takes; any other is refused."""

    def __init__(self, spec: ModelSpec, directory: Path) -> None:
        self.spec = spec
        self.directory = directory
        self._network: Network | None = None

    def load(self, device: "torch.device") -> None:
        """Read the weights and put the network on its device, ready for `forward`.

        Raises:
            ModelError: files are missing or damaged, or are not what model.yaml says.
        """
        from agewell.workers.models.kinds import open_network

        self._network = open_network(self.spec, self.directory)
        self._network.load(device)

    def warmup(self) -> None:
        """Run each batch size once: kernels are chosen and compiled, memory is reserved.

        Raises:
            ModelError: a pass fails, or gives values that are not finite.
        """
        item = self.example()
        for size in self.spec.warmup_sizes:
            outputs = self.forward({name: np.stack([array] * size) for name, array in item.items()})
            for name, array in outputs.items():
                if array.shape[:1] != (size,):
                    found = f"{name} is of shape {array.shape} for a batch of {size}"
                    raise self._error(f"warming up: {found}")
                if not np.isfinite(array).all():
                    found = f"{name} has values that are not finite"
                    raise self._error(f"warming up: {found}")

    def verify(self) -> None:
        """Compare with `check.npz`, where the directory has one.

        It holds inputs as `in:NAME` and outputs as `out:NAME`, batch axis 0 on each. Whoever makes
        a version, such as an export to another kind, keeps there what it must give; a version that
        gives something else is refused.

        Raises:
            ModelError: an output differs by more than model.yaml's `check_max_abs`.
        """
        path = self.directory / CHECK_FILE
        if not path.exists():
            return
        with np.load(path, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        given = {name[3:]: array for name, array in arrays.items() if name.startswith("in:")}
        outputs = self.forward(given)
        for name, expected in arrays.items():
            if not name.startswith("out:"):
                continue
            found = outputs.get(name[4:])
            if found is None or found.shape != expected.shape:
                shape = None if found is None else found.shape
                raise self._error(f"{CHECK_FILE}: {name} is {shape}, expected {expected.shape}")
            differs = float(np.abs(found.astype(np.float64) - expected).max(initial=0.0))
            if not differs <= self.spec.check_max_abs:
                reason = f"{name} differs by {differs:.3g}, allowed {self.spec.check_max_abs:.3g}"
                raise self._error(f"{CHECK_FILE}: {reason}")

    def example(self) -> dict[str, Array]:
        """One item to warm up with: what `preprocess` makes of a gray image."""
        side = self.spec.input.warmup_side
        height, width = self.spec.input.size or (side, side)
        return self.preprocess(np.full((height, width, 3), 128, np.uint8), {})

    def check_parameters(self, parameters: Parameters) -> None:
        """See that a job's parameters are ones of this model's.

        Raises:
            ParameterError: one is not.
        """
        for name in parameters:
            if name not in self.parameters:
                allowed = ", ".join(sorted(self.parameters)) or "none"
                raise ParameterError(name, "given", f"by {self.spec.name}: {allowed}")

    @abstractmethod
    def preprocess(self, image: Image, parameters: Parameters) -> dict[str, Array]:
        """Make the network's input of one image.

        Args:
            image: (H, W, 3) uint8 BGR; not to be written into.
            parameters: the job's.

        Returns:
            By the names of the network's inputs, one item each: no batch axis. Items whose shapes
            and dtypes are equal share batches.

        Raises:
            ParameterError: a parameter is outside its range.
        """

    def forward(self, batch: Arrays, taps: Sequence[str] = ()) -> dict[str, Array]:
        """Run the network once.

        Args:
            batch: as `preprocess` makes them, with a batch axis 0.
            taps: names of `tap_points`.

        Returns:
            By the names of its outputs, float32, batch axis 0 on each; a tapped intermediate
            under `TAP` and its name.

        Raises:
            OutOfMemoryError: the device has not enough for a batch of this size.
        """
        return self.network.forward(batch, taps)

    @abstractmethod
    def postprocess(self, output: Arrays, image: Image, parameters: Parameters) -> Prediction:
        """Make a prediction of one item's output.

        Args:
            output: as `forward` returns them, without the batch axis; values are finite.
            image: what `preprocess` was given.
            parameters: likewise.
        """

    def size_bytes(self) -> int:
        """Memory that the weights take."""
        return self.network.size_bytes()

    def tap_points(self) -> list[str]:
        """The intermediates that `forward` can return beside its outputs."""
        return self.network.tap_points()

    def _error(self, reason: str) -> ModelError:
        return ModelError(self.spec.name, self.spec.version, reason)

    @property
    def network(self) -> "Network":
        """What `load` has loaded."""
        if self._network is None:
            raise RuntimeError(f"{self.spec.id} is not loaded")
        return self._network
