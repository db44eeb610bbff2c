"""Small detectors and segmenters with random weights, as transformers saves them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
import yaml

LABELS = {number: f"class-{number}" for number in range(5)}

_RESNET: dict[str, Any] = {
    "embedding_size": 8,
    "hidden_sizes": [8, 16, 16, 16],
    "depths": [1, 1, 1, 1],
}
_HEADS = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}


_DETR: dict[str, Any] = {
    "use_timm_backbone": False,
    "use_pretrained_backbone": False,
    "backbone": None,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_queries": 40,
    "id2label": LABELS,
    **_HEADS,
}


def _backbone(*stages: str) -> hf.PreTrainedConfig:
    return hf.ResNetConfig(**_RESNET, out_features=list(stages))


def _detr() -> hf.PreTrainedModel:
    config = hf.DetrConfig(**_DETR, backbone_config=_backbone("stage4"))
    return hf.DetrForObjectDetection(config)


def _conditional_detr() -> hf.PreTrainedModel:
    config = hf.ConditionalDetrConfig(**_DETR, backbone_config=_backbone("stage4"))
    return hf.ConditionalDetrForObjectDetection(config)


def _deformable_detr() -> hf.PreTrainedModel:
    backbone = _backbone("stage2", "stage3", "stage4")
    config = hf.DeformableDetrConfig(**_DETR, num_feature_levels=3, backbone_config=backbone)
    return hf.DeformableDetrForObjectDetection(config)


def _rt_detr() -> hf.PreTrainedModel:
    stages = ["stage2", "stage3", "stage4"]
    backbone = hf.RTDetrResNetConfig(**_RESNET, out_features=stages, layer_type="basic")
    config = hf.RTDetrConfig(
        backbone_config=backbone,
        encoder_hidden_dim=32,
        encoder_in_channels=[16, 16, 16],
        encoder_ffn_dim=32,
        d_model=32,
        num_queries=40,
        decoder_in_channels=[32, 32, 32],
        decoder_ffn_dim=32,
        decoder_layers=1,
        num_denoising=0,
        id2label=LABELS,
        **_HEADS,
    )
    return hf.RTDetrForObjectDetection(config)


def _yolos() -> hf.PreTrainedModel:
    config = hf.YolosConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=[64, 96],
        num_detection_tokens=40,
        id2label=LABELS,
    )
    return hf.YolosForObjectDetection(config)


def _segformer() -> hf.PreTrainedModel:
    config = hf.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        id2label=LABELS,
    )
    return hf.SegformerForSemanticSegmentation(config)


_EDGES = {"shortest_edge": 64, "longest_edge": 100}

NETWORKS: dict[str, tuple[Callable[[], hf.PreTrainedModel], str, Callable[..., Any], Any]] = {
    "detr": (_detr, "detection", hf.DetrImageProcessorPil, _EDGES),
    "conditional_detr": (
        _conditional_detr,
        "detection",
        hf.ConditionalDetrImageProcessorPil,
        _EDGES,
    ),
    "deformable_detr": (
        _deformable_detr,
        "detection",
        hf.DeformableDetrImageProcessorPil,
        _EDGES,
    ),
    "rt_detr": (_rt_detr, "detection", hf.RTDetrImageProcessorPil, {"height": 64, "width": 96}),
    "yolos": (
        _yolos,
        "detection",
        hf.YolosImageProcessorPil,
        {"shortest_edge": 70, "longest_edge": 110},
    ),
    "segformer": (
        _segformer,
        "segmentation",
        hf.SegformerImageProcessorPil,
        {"height": 64, "width": 96},
    ),
}
"""By name: the network, its task, its image processor, and the processor's size."""


def _spread(network: hf.PreTrainedModel) -> None:
    """Give weights the variance that keeps that of activations, so that outputs differ.

    transformers' own random weights are so small that all queries have the same box and class.
    """
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if "embedding" in name or "token" in name or "position" in name:
                weights.normal_(0, 1)
            elif weights.dim() > 1:
                weights.normal_(0, 1.4 / weights[0].numel() ** 0.5)


def save(root: Path, name: str, **more: Any) -> tuple[Path, Any, Any]:
    """Save a network with its processor. Returns the version's directory, and both."""
    make, task, processor_class, size = NETWORKS[name]
    torch.manual_seed(0)
    network = make().eval()
    _spread(network)
    processor = processor_class(size=size)
    directory = root / name / "1"
    network.save_pretrained(directory)
    processor.save_pretrained(directory)
    document = {"task": task, "kind": "huggingface", "max_batch_size": 2} | more
    (directory / "model.yaml").write_text(yaml.safe_dump(document))
    return directory, network, processor
