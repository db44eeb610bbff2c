"""Small networks of many architectures, with random weights, as transformers saves them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
import yaml

LABELS = {number: f"class-{number}" for number in range(5)}

_TRANSFORMER: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
_STAGES: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}

ARCHITECTURES: dict[str, tuple[Callable[..., Any], dict[str, Any], Callable[..., Any]]] = {
    "resnet": (hf.ResNetConfig, _STAGES, hf.ConvNextImageProcessorPil),
    "vit": (hf.ViTConfig, _TRANSFORMER | {"patch_size": 32}, hf.ViTImageProcessorPil),
    "convnext": (
        hf.ConvNextConfig,
        {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]},
        hf.ConvNextImageProcessorPil,
    ),
    "mobilenet_v1": (
        hf.MobileNetV1Config,
        {"depth_multiplier": 0.25, "min_depth": 8},
        hf.MobileNetV1ImageProcessorPil,
    ),
    "mobilenet_v2": (
        hf.MobileNetV2Config,
        {"depth_multiplier": 0.25},
        hf.MobileNetV2ImageProcessorPil,
    ),
    "efficientnet": (
        hf.EfficientNetConfig,
        {
            "width_coefficient": 0.25,
            "depth_coefficient": 0.1,
            "hidden_dim": 320,
            "num_block_repeats": [1] * 7,
        },
        hf.EfficientNetImageProcessorPil,
    ),
    "swin": (
        hf.SwinConfig,
        {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2]},
        hf.ViTImageProcessorPil,
    ),
    "swinv2": (
        hf.Swinv2Config,
        {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2]},
        hf.ViTImageProcessorPil,
    ),
    "deit": (hf.DeiTConfig, _TRANSFORMER | {"patch_size": 32}, hf.DeiTImageProcessorPil),
    "beit": (hf.BeitConfig, _TRANSFORMER | {"patch_size": 32}, hf.BeitImageProcessorPil),
    "regnet": (
        hf.RegNetConfig,
        _STAGES | {"groups_width": 8},
        hf.ConvNextImageProcessorPil,
    ),
    "dinov2": (
        hf.Dinov2Config,
        _TRANSFORMER | {"patch_size": 14, "image_size": 224},
        hf.BitImageProcessorPil,
    ),
    "levit": (
        hf.LevitConfig,
        {
            "hidden_sizes": [16, 32, 48],
            "num_attention_heads": [1, 1, 1],
            "depths": [1, 1, 1],
            "key_dim": [8, 8, 8],
        },
        hf.LevitImageProcessorPil,
    ),
    "poolformer": (
        hf.PoolFormerConfig,
        {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]},
        hf.PoolFormerImageProcessorPil,
    ),
    "mobilevit": (
        hf.MobileViTConfig,
        {
            "hidden_sizes": [8, 8, 8],
            "neck_hidden_sizes": [8, 8, 8, 8, 8, 8, 8],
            "num_attention_heads": 2,
        },
        hf.MobileViTImageProcessorPil,
    ),
    "segformer": (
        hf.SegformerConfig,
        {
            "hidden_sizes": [8, 8, 8, 8],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 1, 1, 1],
            "mlp_ratios": [1, 1, 1, 1],
        },
        hf.SegformerImageProcessorPil,
    ),
    "pvt_v2": (
        hf.PvtV2Config,
        {
            "hidden_sizes": [8, 8, 8, 8],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 1, 1, 1],
            "mlp_ratios": [1, 1, 1, 1],
        },
        hf.PvtImageProcessorPil,
    ),
    "textnet": (
        hf.TextNetConfig,
        {
            "stem_out_channels": 8,
            "hidden_sizes": [8, 8, 8, 8, 8],
            "conv_layer_kernel_sizes": [[[3, 3]]] * 4,
            "conv_layer_strides": [[2]] * 4,
        },
        hf.TextNetImageProcessorPil,
    ),
}
"""By model type: the class of the configuration, its values, and that of the image processor."""


def saved(
    root: Path,
    name: str,
    processor: dict[str, Any] | None = None,
    problem_type: str | None = None,
    **document: Any,
) -> Path:
    """Save a network of an architecture with its image processor, and with a model.yaml.

    Args:
        root: the models directory.
        name: of the architecture.
        processor: values of the image processor that differ from its defaults.
        problem_type: of config.json.
        document: further fields of model.yaml.
    """
    make_config, values, make_processor = ARCHITECTURES[name]
    directory = root / name / "1"
    directory.mkdir(parents=True)
    torch.manual_seed(len(name))
    config = make_config(**values, id2label=LABELS, architectures=[], problem_type=problem_type)
    network = hf.AutoModelForImageClassification.from_config(config).eval()
    prepare = make_processor(**(processor or {}))
    noise = np.random.default_rng(1).integers(0, 256, (400, 400, 3), np.uint8)
    _enliven(network, prepare(noise, return_tensors="pt")["pixel_values"])
    network.save_pretrained(directory)
    prepare.save_pretrained(directory)
    fields = {"task": "classification", "kind": "huggingface", "max_batch_size": 2} | document
    (directory / "model.yaml").write_text(yaml.safe_dump(fields))
    return directory


def _enliven(network: torch.nn.Module, pixels: torch.Tensor) -> None:
    """Scale each layer's weights so that its outputs spread by 1.

    Fresh weights are so small that the logits hardly depend on the image.
    """

    def scale(layer: Any, _: Any, output: torch.Tensor) -> torch.Tensor:
        spread = output.std().clamp_min(1e-12)
        layer.weight.data /= spread
        if layer.bias is not None:
            layer.bias.data /= spread
        return output / spread

    layers = [
        each for each in network.modules() if isinstance(each, torch.nn.Conv2d | torch.nn.Linear)
    ]
    hooks = [each.register_forward_hook(scale) for each in layers]
    with torch.inference_mode():
        network(pixel_values=pixels)
    for hook in hooks:
        hook.remove()
