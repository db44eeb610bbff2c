"""What every kind of network can do."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agewell.shared.errors import ModelError
from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.spec import ModelSpec

if TYPE_CHECKING:
    import torch

_CHUNK_BYTES = 2**20


class Network(ABC):
    """Weights on a device, and the pass through them."""

    def __init__(self, spec: ModelSpec, directory: Path) -> None:
        self.spec = spec
        self.directory = directory

    @abstractmethod
    def load(self, device: "torch.device") -> None:
        """Read the weights.

        Raises:
            ModelError: they are missing or damaged, or do not fit the network.
        """

    @abstractmethod
    def forward(self, batch: Arrays, taps: Sequence[str] = ()) -> dict[str, Array]:
        """Run a batch; arguments, outputs and errors as of `Model.forward`."""

    def tap_points(self) -> list[str]:
        """The intermediates that can be tapped: none, unless a kind can."""
        return []

    def labels(self) -> Sequence[str]:
        """Names of its classes, where the weights come with some."""
        return ()

    def size_bytes(self) -> int:
        """Memory that the weights take: as much as their file, unless a kind knows better."""
        path = self.weights_path()
        return path.stat().st_size if path else 0

    def weights_path(self) -> Path | None:
        """The weights' file, its hash checked by `checked_weights`."""
        return None if self.spec.weights is None else self.directory / self.spec.weights

    def checked_weights(self) -> Path:
        """The weights' file, seen to be there, and to be the one that model.yaml means.

        Raises:
            ModelError: it is not.
        """
        path = self.weights_path()
        if path is None or not path.is_file():
            raise self.error(f"no file {path}")
        if self.spec.sha256 is not None:
            found = _sha256(path)
            if found != self.spec.sha256:
                raise self.error(f"the SHA-256 of {path.name} is {found}, not as in model.yaml")
        return path

    def error(self, reason: str) -> ModelError:
        """An error that names the model."""
        return ModelError(self.spec.name, self.spec.version, reason)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
