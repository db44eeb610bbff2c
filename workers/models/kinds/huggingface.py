"""Kind `huggingface`: a directory saved by transformers.

Nothing is downloaded, and no code from the directory is run.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForImageClassification, PreTrainedModel
from transformers.utils import logging as transformers_logging

from agewell.workers.models.kinds.torch_module import TorchModule

transformers_logging.disable_progress_bar()  # a worker's log is not a terminal


class HuggingFaceModel(TorchModule):
    """config.json and model.safetensors next to model.yaml. Only image classification so far."""

    _labels: tuple[str, ...] = ()

    def make_module(self) -> torch.nn.Module:
        """Load the model with its weights, on the CPU.

        Raises:
            ModelError: a file is missing or damaged, or transformers does not know the model.
        """
        if self.spec.weights is not None:
            self.checked_weights()
        try:
            loaded: Any = AutoModelForImageClassification.from_pretrained(
                self.directory,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
            )
        except Exception as error:  # OSError, ValueError, safetensors' errors and many others
            raise self.error(f"{type(error).__name__}: {error}") from error
        names = loaded.config.id2label
        self._labels = tuple(str(names[number]) for number in sorted(names))
        return _Logits(loaded)

    def labels(self) -> Sequence[str]:
        """Return the labels from config.json."""
        return self._labels


class _Logits(torch.nn.Module):
    """A transformers model as a plain module that returns its logits."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Classify a batch: (N, 3, H, W) float32 -> (N, classes) logits."""
        logits: torch.Tensor = self.model(pixel_values=pixel_values).logits
        return logits
