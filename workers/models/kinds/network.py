"""The interface of every kind of network."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agewell.shared.errors import ModelError
from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.file_faults import hash_fault
from agewell.workers.models.spec import ModelSpec

if TYPE_CHECKING:
    import torch


class Network(ABC):
    """Weights on a device, and the forward pass through them."""

    def __init__(self, spec: ModelSpec, directory: Path) -> None:
        self.spec = spec
        self.directory = directory

    @abstractmethod
    def load(self, device: "torch.device") -> None:
        """Read the weights and put them on the device.

        Raises:
            ModelError: the weights are missing or damaged, or do not fit the network.
        """

    @abstractmethod
    def forward(self, batch: Arrays, taps: Sequence[str] = ()) -> dict[str, Array]:
        """Run a batch. Arguments, outputs and errors are those of `Model.forward`."""

    def tap_points(self) -> list[str]:
        """Return the names of the intermediates that can be tapped. The default is none."""
        return []

    def runs_on(self) -> str:
        """Return the library and the device that run the network, or "" if they are not known."""
        return ""

    def warning(self) -> str:
        """Return what the operator should know about how it runs, or ""."""
        return ""

    def labels(self) -> Sequence[str]:
        """Return the names of the classes, if they are stored with the weights."""
        return ()

    def size_bytes(self) -> int:
        """Return the memory of the weights in bytes. The default is the size of their file."""
        path = self.weights_path()
        return path.stat().st_size if path else 0

    def weights_path(self) -> Path | None:
        """Return the path of the weights, not checked, or None if model.yaml names none."""
        return None if self.spec.weights is None else self.directory / self.spec.weights

    def checked_weights(self) -> Path:
        """Return the path of the weights after checking that they exist and their SHA-256.

        Raises:
            ModelError: the file is missing, or its SHA-256 is not that of model.yaml.
        """
        path = self.weights_path()
        if path is None or not path.is_file():
            raise self.error(f"no file {path}")
        if self.spec.sha256 is not None and (fault := hash_fault(path, self.spec.sha256)):
            raise self.error(fault)
        return path

    def error(self, reason: str) -> ModelError:
        """Make an error that names the model."""
        return ModelError(self.spec.name, self.spec.version, reason)
