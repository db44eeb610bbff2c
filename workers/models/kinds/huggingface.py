"""Kind `huggingface`: a directory as transformers saves it; nothing fetched, no code of it run."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageClassification, PreTrainedModel

from workers.models.kinds.torch_module import TorchModule


class HuggingFaceModel(TorchModule):
    """config.json and model.safetensors beside model.yaml; today: image classification."""

    def make_module(self) -> torch.nn.Module:
        """The model with its weights, on the CPU."""
        if self.spec.weights is not None:
            self.checked_weights()
        try:
            loaded: Any = AutoModelForImageClassification.from_pretrained(
                self.directory,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
            )
        except Exception as error:  # OSError, ValueError, safetensors' and what a config provokes
            raise self.error(f"{type(error).__name__}: {error}") from error
        return _Logits(loaded)

    def labels(self) -> tuple[str, ...]:
        """The labels that config.json gives, in order; for a model.yaml without."""
        found = AutoConfig.from_pretrained(self.directory, local_files_only=True).id2label
        return tuple(str(found[number]) for number in sorted(found))


class _Logits(torch.nn.Module):
    """A transformers model as a plain module: pixels in, logits out."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 in, (N, classes) logits out."""
        logits: torch.Tensor = self.model(pixel_values=pixel_values).logits
        return logits
