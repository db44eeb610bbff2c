"""Kind `huggingface`: a directory saved by transformers.

Nothing is downloaded, and no code from the directory is run.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch
from transformers import (
    AutoModelForImageClassification,
    AutoModelForObjectDetection,
    AutoModelForSemanticSegmentation,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from agewell.workers.models.kinds.torch_module import TorchModule

transformers_logging.disable_progress_bar()  # a worker's log is not a terminal


_OF_TASK: Final[dict[str, Any]] = {
    "classification": AutoModelForImageClassification,
    "detection": AutoModelForObjectDetection,
    "segmentation": AutoModelForSemanticSegmentation,
}
_OUTPUTS: Final = ("logits", "pred_boxes")


class HuggingFaceModel(TorchModule):
    """config.json and model.safetensors next to model.yaml: a network of model.yaml's task."""

    _labels: tuple[str, ...] = ()

    def make_module(self) -> torch.nn.Module:
        """Load the model with its weights, on the CPU.

        Raises:
            ModelError: a file is missing or damaged, or transformers does not know the model.
        """
        if self.spec.weights is not None:
            self.checked_weights()
        if self.spec.task not in _OF_TASK:
            raise self.error(
                f"kind huggingface has no task {self.spec.task}: {', '.join(_OF_TASK)}"
            )
        try:
            loaded: Any = _OF_TASK[self.spec.task].from_pretrained(
                self.directory,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
            )
        except Exception as error:  # OSError, ValueError, safetensors' errors and many others
            raise self.error(f"{type(error).__name__}: {error}") from error
        names = loaded.config.id2label
        count = loaded.config.num_labels
        self._labels = tuple(str(names.get(number, number)) for number in range(count))
        return _Outputs(loaded)

    def labels(self) -> Sequence[str]:
        """Return the labels from config.json."""
        return self._labels


class _Outputs(torch.nn.Module):
    """A transformers model as a plain module that returns its logits, and its boxes if any."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """Run a batch, (N, 3, H, W) float32.

        Returns:
            The logits: (N, classes) of a classifier, (N, classes, h, w) of a segmenter. With a
            detector, a dictionary of `logits`, (N, queries, classes), and `pred_boxes`, (N,
            queries, 4).
        """
        found = self.model(pixel_values=pixel_values)
        outputs = {name: found[name] for name in _OUTPUTS if name in found}
        return outputs if len(outputs) > 1 else outputs["logits"]
