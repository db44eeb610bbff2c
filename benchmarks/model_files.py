"""Models with random weights for the benchmarks, which need only their cost."""

from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import ResNetConfig, ResNetForImageClassification

IMAGENET = {
    "height": 224,
    "width": 224,
    "fit": "crop",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}

WIDE = """
import torch


def make(width):
    torch.manual_seed(1)
    layers = [torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, width)]
    for _ in range(3):
        layers += [torch.nn.ReLU(), torch.nn.Linear(width, width)]
    return torch.nn.Sequential(*layers, torch.nn.ReLU(), torch.nn.Linear(width, 10))
"""


def _write(directory: Path, document: dict[str, Any]) -> Path:
    directory.mkdir(parents=True)
    (directory / "model.yaml").write_text(yaml.safe_dump({"task": "classification"} | document))
    return directory


def wide_network(root: Path, version: str, max_batch_size: int) -> Path:
    """Write three layers of 4096 x 4096. Reading the weights takes longer than using them once."""
    directory = _write(
        root / "wide" / version,
        {
            "kind": "torch",
            "entry": "./model.py:make",
            "entry_options": {"width": 4096},
            "input": {"height": 16, "width": 16},
            "max_batch_size": max_batch_size,
        },
    )
    (directory / "model.py").write_text(WIDE)
    return directory


def resnet50(root: Path, *, dtype: str = "float32", max_batch_size: int = 16) -> Path:
    """Write a ResNet-50 as transformers saves it."""
    directory = _write(
        root / "resnet50" / "1",
        {
            "kind": "huggingface",
            "input": IMAGENET,
            "dtype": dtype,
            "channels_last": True,
            "max_batch_size": max_batch_size,
        },
    )
    torch.manual_seed(1)
    ResNetForImageClassification(ResNetConfig()).eval().save_pretrained(directory)
    return directory
