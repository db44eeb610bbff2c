"""The default values of transformers' image processors.

A `preprocessor_config.json` may leave out any key, and then the class of the image processor has
its value. They are repeated here because every process that looks at the models directory needs
them, and importing transformers takes seconds.
"""

from collections.abc import Mapping
from typing import Any, Final

_HALF: Final = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_IMAGENET: Final = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_CLIP: Final = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
_BILINEAR, _BICUBIC = {"resample": 2}, {"resample": 3}
_STEPS: Final = {"do_resize": True, "do_rescale": True, "do_normalize": True}
_ALL: Final = _STEPS | {"default_to_square": True, "rescale_factor": 1 / 255}
_CROPPED: Final = _ALL | {
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "default_to_square": False,
}


def _square(side: int) -> dict[str, Any]:
    return {"size": {"height": side, "width": side}}


def _shorter(side: int) -> dict[str, Any]:
    return {"size": {"shortest_edge": side}, "default_to_square": False}


def _crop(side: int, *, done: bool) -> dict[str, Any]:
    return {"do_center_crop": done, "crop_size": {"height": side, "width": side}}


_DETR: Final = (
    _ALL
    | _IMAGENET
    | _BILINEAR
    | {"size": {"shortest_edge": 800, "longest_edge": 1333}, "default_to_square": False}
)

DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "BeitImageProcessor": _ALL | _HALF | _BICUBIC | _square(224) | _crop(224, done=False),
    "BitImageProcessor": _CROPPED | _CLIP | _BICUBIC | _shorter(224),
    "CLIPImageProcessor": _CROPPED | _CLIP | _BICUBIC | _shorter(224),
    "ConvNextImageProcessor": _ALL | _HALF | _BICUBIC | _shorter(384) | {"crop_pct": 0.875},
    "ConditionalDetrImageProcessor": _DETR,
    "DeformableDetrImageProcessor": _DETR,
    "DeiTImageProcessor": _ALL | _HALF | _BICUBIC | _square(256) | _crop(224, done=True),
    "DetrImageProcessor": _DETR,
    "EfficientNetImageProcessor": _ALL
    | _HALF
    | _BICUBIC
    | _square(346)
    | _crop(289, done=False)
    | {"rescale_offset": False, "include_top": True},
    "LevitImageProcessor": _CROPPED | _IMAGENET | _BICUBIC | _shorter(224),
    "MobileNetV1ImageProcessor": _CROPPED | _HALF | _BILINEAR | _shorter(256),
    "MobileNetV2ImageProcessor": _CROPPED | _HALF | _BILINEAR | _shorter(256),
    "MobileViTImageProcessor": _CROPPED
    | _HALF
    | _BICUBIC
    | _shorter(224)
    | _crop(256, done=True)
    | {"do_flip_channel_order": True, "do_normalize": None},
    "PoolFormerImageProcessor": _CROPPED | _IMAGENET | _BICUBIC | _shorter(224) | {"crop_pct": 0.9},
    "PvtImageProcessor": _ALL | _IMAGENET | _BICUBIC | _square(224),
    "RTDetrImageProcessor": _DETR | _square(640) | {"do_normalize": False},
    "SegformerImageProcessor": _ALL | _IMAGENET | _BILINEAR | _square(512),
    "SiglipImageProcessor": _ALL | _HALF | _BICUBIC | _square(224) | {"default_to_square": False},
    "TextNetImageProcessor": _ALL
    | _IMAGENET
    | _BILINEAR
    | _shorter(640)
    | _crop(224, done=False)
    | {"size_divisor": 32},
    "ViTImageProcessor": _ALL | _HALF | _BILINEAR | _square(224),
    "YolosImageProcessor": _DETR,
}
"""By class: the keys of preprocessor_config.json and their values."""

DETECTORS: Final = frozenset(
    {name for name in DEFAULTS if "Detr" in name} | {"YolosImageProcessor"}
)
"""Classes that limit the longer side."""

OF_MODEL_TYPE: Final[Mapping[str, str]] = {
    "beit": "BeitImageProcessor",
    "bit": "BitImageProcessor",
    "clip": "CLIPImageProcessor",
    "conditional_detr": "ConditionalDetrImageProcessor",
    "convnext": "ConvNextImageProcessor",
    "convnextv2": "ConvNextImageProcessor",
    "cvt": "ConvNextImageProcessor",
    "data2vec-vision": "BeitImageProcessor",
    "deformable_detr": "DeformableDetrImageProcessor",
    "deimv2": "RTDetrImageProcessor",
    "deit": "DeiTImageProcessor",
    "detr": "DetrImageProcessor",
    "dinat": "ViTImageProcessor",
    "dinov2": "BitImageProcessor",
    "efficientnet": "EfficientNetImageProcessor",
    "focalnet": "BitImageProcessor",
    "hiera": "BitImageProcessor",
    "ijepa": "ViTImageProcessor",
    "levit": "LevitImageProcessor",
    "lw_detr": "DeformableDetrImageProcessor",
    "metaclip_2": "CLIPImageProcessor",
    "mobilenet_v1": "MobileNetV1ImageProcessor",
    "mobilenet_v2": "MobileNetV2ImageProcessor",
    "mobilevit": "MobileViTImageProcessor",
    "mobilevitv2": "MobileViTImageProcessor",
    "poolformer": "PoolFormerImageProcessor",
    "pvt": "PvtImageProcessor",
    "pvt_v2": "PvtImageProcessor",
    "regnet": "ConvNextImageProcessor",
    "resnet": "ConvNextImageProcessor",
    "rt_detr": "RTDetrImageProcessor",
    "segformer": "SegformerImageProcessor",
    "siglip": "SiglipImageProcessor",
    "swiftformer": "ViTImageProcessor",
    "swin": "ViTImageProcessor",
    "swinv2": "ViTImageProcessor",
    "table-transformer": "DetrImageProcessor",
    "textnet": "TextNetImageProcessor",
    "upernet": "SegformerImageProcessor",
    "vit": "ViTImageProcessor",
    "vit_msn": "ViTImageProcessor",
    "yolos": "YolosImageProcessor",
}
"""By `model_type` of config.json: the class, if preprocessor_config.json does not name one."""
