"""Measure the speed-ups of attention: one pass of the colorizer's network on the CPU.

Each row adds one speed-up to the row before it. All rows compute the same function with the same
weights, except for the pooled keys, which are another network of the same size. The rows take
turns.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from agewell.workers.models.export import graph
from agewell.workers.models.input_spec import InputSpec
from agewell.workers.models.kinds.onnx_graph import OnnxGraph
from agewell.workers.models.library import attention_unet
from agewell.workers.models.library.attention_unet import AttentionUNet
from agewell.workers.models.library.colorizer.network import Colorizer
from agewell.workers.models.spec import ModelSpec
from benchmarks.report import Spread, report

ROUNDS = 7
SHAPES = ((1, 192, 256), (4, 256, 256))


def main() -> None:
    """Time the rows, then print and save the table."""
    torch.manual_seed(0)
    pooled = Colorizer().eval()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        onnx = _onnx(pooled, Path(folder))
        rows = [row for shape in SHAPES for row in _rows(pooled, onnx, *shape)]
    report("attention", "The colorizer's network, one pass on the CPU", rows)


def _rows(pooled: Colorizer, onnx: OnnxGraph, batch: int, height: int, width: int) -> list:
    whole = AttentionUNet(replace(pooled.config, pools=(1, 1, 1))).eval()
    plain_net = AttentionUNet(pooled.config).eval()
    x, context = torch.rand(batch, 3, height, width), torch.rand(batch, 8, 32)
    luminance, palette = torch.rand(batch, 1, height, width), torch.rand(batch, 8, 4)
    arrays = {"luminance": luminance.numpy(), "palette": palette.numpy()}

    def written_out() -> None:
        fused = "scaled_dot_product_attention"
        with mock.patch.object(attention_unet.functional, fused, _softmax_written_out):
            whole(x, context)

    ways: dict[str, Callable[[], object]] = {
        "U-Net, softmax written out": written_out,
        "U-Net, fused kernel": lambda: whole(x, context),
        "U-Net, fused kernel, pooled keys": lambda: plain_net(x, context),
        "colorizer, torch": lambda: pooled(luminance, palette),
        "colorizer, ONNX": lambda: onnx.forward(arrays),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(ROUNDS + 1):
        for way, run in ways.items():
            begun = time.perf_counter()
            run()
            if number:  # the first round warms up
                seconds[way].append(time.perf_counter() - begun)
    return [
        {"batch": batch, "size": f"{height}x{width}", "network": way, "ms": _ms(taken)}
        for way, taken in seconds.items()
    ]


def _ms(seconds: list[float]) -> Spread:
    return Spread(tuple(1e3 * each for each in seconds))


def _softmax_written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(dim=-1) @ v


def _onnx(net: Colorizer, folder: Path) -> OnnxGraph:
    item = {"luminance": np.ones((1, 64, 96), np.float32), "palette": np.ones((8, 4), np.float32)}
    with torch.inference_mode(mode=False):
        graph.export(net, item, InputSpec(multiple=32), folder / "net.onnx")
    document = {"name": "net", "version": "1", "task": "image", "kind": "onnx"}
    found = OnnxGraph(ModelSpec.model_validate(document | {"weights": "net.onnx"}), folder)
    found.load(torch.device("cpu"))
    return found


if __name__ == "__main__":
    main()
