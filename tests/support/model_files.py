"""Small real models of every kind, made here: directories as a user would write them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import yaml
from onnx import TensorProto, helper

SIDE = 8
"""The side of these models' inputs, in pixels."""

INPUT = {"height": SIDE, "width": SIDE}

MARKING = """
import time

import torch


class Marking(torch.nn.Module):
    \"\"\"A picture of one gray value, whatever it is shown: the mark of a version.\"\"\"

    def __init__(self, mark, width, ballast, pass_s):
        super().__init__()
        self.pass_s = pass_s
        self.ballast = torch.nn.Parameter(torch.ones(ballast))
        self.first = torch.nn.Conv2d(3, width, 3, padding=1)
        self.mark = mark

    def forward(self, image):
        time.sleep(self.pass_s)  # as on a GPU, for a batch of any size
        return torch.zeros_like(image) * self.first(image).mean() + self.mark / 255


def make(mark, width=4, ballast=0, pass_s=0):
    return Marking(mark, width, ballast, pass_s)
"""


def version_directory(root: Path, name: str, version: str, **document: Any) -> Path:
    """A version's directory with its model.yaml."""
    directory = root / name / version
    directory.mkdir(parents=True)
    (directory / "model.yaml").write_text(yaml.safe_dump({"input": INPUT} | document))
    return directory


def marking(root: Path, name: str, version: str, mark: int, **more: Any) -> Path:
    """A torch module, its code beside model.yaml, that paints every picture `mark`."""
    document = {
        "task": "image",
        "kind": "torch",
        "entry": "./model.py:make",
        "entry_options": {"mark": mark},
    }
    directory = version_directory(root, name, version, **(document | more))
    (directory / "model.py").write_text(MARKING)
    return directory


CLASSES = ("dark", "bright")


def onnx_classifier(root: Path, name: str = "light", version: str = "1", **more: Any) -> Path:
    """Dark or bright: logits (0.5 - mean, mean - 0.5) of an image, as an ONNX graph."""
    nodes = [
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
        helper.make_node("MatMul", ["column", "weights"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["logits"]),
    ]
    constants = {
        "axes": np.array([1, 2, 3]),
        "one": np.array([1]),
        "weights": np.array([[-8.0, 8.0]], np.float32),
        "bias": np.array([4.0, -4.0], np.float32),
    }
    shape = ["batch", 3, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "light",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    document = {"kind": "onnx", "weights": "light.onnx", "task": "classification"}
    document |= {"labels": list(CLASSES)} | more
    directory = version_directory(root, name, version, **document)
    onnx.save(model, directory / "light.onnx")
    return directory


class Twice(torch.nn.Module):
    """Twice the input, by a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor([2.0]))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * self.factor


def exported_program(root: Path, name: str = "twice", version: str = "1", **more: Any) -> Path:
    """Twice as bright, as an exported program with any batch size."""
    document = {"kind": "exported", "weights": "twice.pt2", "task": "image"} | more
    directory = version_directory(root, name, version, **document)
    example = (torch.zeros(2, 3, SIDE, SIDE),)
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(Twice().eval(), example, dynamic_shapes=shapes)
    torch.export.save(program, directory / "twice.pt2")
    return directory


def hugging_face(root: Path, name: str = "resnet", version: str = "1", **more: Any) -> Path:
    """A tiny ResNet of random weights, as transformers saves one."""
    import transformers  # takes most of a second

    config = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        num_labels=3,
        id2label={0: "cat", 1: "dog", 2: "bird"},
    )
    torch.manual_seed(1)
    document = {"kind": "huggingface", "task": "classification"}
    document |= {"input": {"height": 32, "width": 32}} | more
    directory = version_directory(root, name, version, **document)
    transformers.ResNetForImageClassification(config).eval().save_pretrained(directory)
    return directory
