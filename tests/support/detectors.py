"""Detectors and segmenters of every family, made here without trained weights."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.support.model_files import version_directory

COLOURS = ("red", "green", "blue")
"""The classes of the blob detector: the channel of RGB that is bright."""

BLOBS = textwrap.dedent(
    '''
    import time

    import torch


    class Blobs(torch.nn.Module):
        """Finds rectangles of pure red, green or blue: (N, 3, H, W) -> (N, 4 + 3, H * W / 64).

        Each eighth pixel in both directions is an anchor. Its box reaches to the next pixel that
        is not bright on each side. The score of a class is the brightness of its channel there.
        """

        def __init__(self, pass_s=0):
            super().__init__()
            self.pass_s = pass_s

        def forward(self, image):
            time.sleep(self.pass_s)  # as on a GPU, for a batch of any size
            bright = image > 0.75
            rows, columns = image.shape[2:]
            x = torch.arange(columns).expand_as(bright)
            y = torch.arange(rows)[:, None].expand_as(bright)
            left = torch.where(bright, -1, x).cummax(3).values + 1
            top = torch.where(bright, -1, y).cummax(2).values + 1
            right = torch.where(bright, columns, x).flip(3).cummin(3).values.flip(3)
            bottom = torch.where(bright, rows, y).flip(2).cummin(2).values.flip(2)
            boxes = torch.stack([left + right, top + bottom, right - left, bottom - top], 1)
            boxes = boxes * torch.tensor([0.5, 0.5, 1, 1]).view(4, 1, 1, 1)
            best = image.argmax(1, keepdim=True)[:, None].expand(-1, 4, -1, -1, -1)
            boxes = boxes.gather(2, best)[:, :, 0, 4::8, 4::8].flatten(2)
            scores = (image * bright)[:, :, 4::8, 4::8].flatten(2)
            found = torch.cat([boxes, scores], 1)
            # A poisoned image: one white pixel at the top left.
            poisoned = (image[:, :, 0, 0] == 1).all(1)
            return torch.where(poisoned[:, None, None], torch.nan, found)
    '''
)


def blob_detector(root: Path, name: str = "blobs", version: str = "1", **more: Any) -> Path:
    """A torch module that finds bright rectangles, with exact boxes."""
    document: dict[str, Any] = {
        "task": "detection",
        "kind": "torch",
        "entry": "./model.py:Blobs",
        "labels": list(COLOURS),
        "input": {"height": 64, "width": 64, "fit": "letterbox"},
        "outputs": {"family": "yolov8"},
    }
    directory = version_directory(root, name, version, **(document | more))
    (directory / "model.py").write_text(BLOBS)
    return directory


PAINTS = textwrap.dedent(
    '''
    import torch


    class Paints(torch.nn.Module):
        """Dark, red, green and blue: (N, 3, H, W) -> (N, 4, H / 2, W / 2) logits."""

        def forward(self, image):
            half = torch.nn.functional.avg_pool2d(image, 2)
            return 20 * torch.cat([torch.full_like(half[:, :1], 0.5), half], 1)
    '''
)


def paint_segmenter(root: Path, name: str = "paints", version: str = "1", **more: Any) -> Path:
    """A torch module that tells dark, red, green and blue pixels apart."""
    document: dict[str, Any] = {
        "task": "segmentation",
        "kind": "torch",
        "entry": "./model.py:Paints",
        "labels": ["dark", *COLOURS],
        "input": {"height": 64, "width": 64, "fit": "letterbox", "pad": [0]},
    }
    directory = version_directory(root, name, version, **(document | more))
    (directory / "model.py").write_text(PAINTS)
    return directory


def constant_onnx(
    root: Path, arrays: dict[str, np.ndarray], name: str = "constant", **more: Any
) -> Path:
    """An ONNX graph with the same outputs for each image of a batch.

    Args:
        root: the models directory.
        arrays: the outputs of one image by name.
        name: of the model.
        more: fields of model.yaml.
    """
    nodes, constants = [], {"axes": np.array([1, 2, 3]), "zero": np.array(0, np.float32)}
    nodes += [
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["zeros"]),
    ]
    infos = []
    for each, array in arrays.items():
        constants |= {
            f"{each}_of_one": array[None],
            f"{each}_shape": np.array([-1] + [1] * array.ndim),
        }
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        nodes += [
            helper.make_node("Cast", ["zeros"], [f"{each}_zeros"], to=kind),
            helper.make_node("Reshape", [f"{each}_zeros", f"{each}_shape"], [f"{each}_column"]),
            helper.make_node("Add", [f"{each}_column", f"{each}_of_one"], [each]),
        ]
        infos.append(helper.make_tensor_value_info(each, kind, ["batch", *array.shape]))
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, "h", "w"])],
        infos,
        [onnx.numpy_helper.from_array(array, each) for each, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    document = {"kind": "onnx", "weights": "constant.onnx", "task": "detection"} | more
    directory = version_directory(root, name, "1", **document)
    onnx.save(model, directory / "constant.onnx")
    return directory
