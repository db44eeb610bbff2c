"""Images for Hugging Face networks: the same numbers as from transformers' own pipeline."""

import json
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import transformers as hf
import yaml
from PIL import Image as Pillow
from transformers.models.auto.image_processing_auto import get_image_processor_class_from_name

from agewell.shared.errors import ModelError
from agewell.workers.models.huggingface import image_processors
from agewell.workers.models.input_spec import InputSpec
from agewell.workers.models.load import load_model
from agewell.workers.models.preprocess import as_input
from agewell.workers.models.spec import read_spec
from tests.support.hugging_face_models import ARCHITECTURES, saved
from tests.support.paths import ROOT

CPU = torch.device("cpu")
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
SIZES = [(120, 160), (37, 211), (251, 66), (17, 16), (64, 64)]
"""Of images, (height, width): wide, very wide, tall, tiny, square."""


def photo(height, width, seed=0):
    """Smooth shapes with grain, as a photo has them: (height, width, 3) uint8 RGB."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (max(2, height // 16), max(2, width // 16), 3), np.uint8)
    smooth = np.asarray(Pillow.fromarray(small).resize((width, height), Pillow.Resampling.BICUBIC))
    grain = rng.integers(-12, 13, (height, width, 3))
    return (smooth + grain).clip(0, 255).astype(np.uint8)


def bgr(rgb):
    return np.ascontiguousarray(rgb[..., ::-1])


def expected_pixels(directory, rgb):
    processor = hf.AutoImageProcessor.from_pretrained(directory)
    return processor(Pillow.fromarray(rgb), return_tensors="np")["pixel_values"][0]


def version(root, preprocessor, model_yaml=None, **config):
    """A version's directory without weights: enough to read how its images are prepared."""
    directory = Path(root) / "net" / "1"
    directory.mkdir(parents=True, exist_ok=True)
    fields = {"task": "classification", "kind": "huggingface"} | (model_yaml or {})
    (directory / "model.yaml").write_text(yaml.safe_dump(fields))
    (directory / "config.json").write_text(json.dumps({"model_type": "vit"} | config))
    if preprocessor is not None:
        (directory / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return directory


def agree(directory, sizes=SIZES):
    spec = read_spec(directory).input
    for number, size in enumerate(sizes):
        rgb = photo(*size, seed=number)
        found, expected = as_input(bgr(rgb), spec), expected_pixels(directory, rgb)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)


SMALLER = {
    "segformer": {"size": {"height": 200, "width": 180}},
    "textnet": {"size": {"shortest_edge": 150}},
}
"""Sizes for networks that are slow at their own."""


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits_are_those_of_transformers_own_pipeline(tmp_path, name):
    directory = saved(tmp_path, name, SMALLER.get(name), max_batch_size=1)
    model = load_model(directory, CPU)
    network = hf.AutoModelForImageClassification.from_pretrained(directory).eval()
    seen = []
    for number, size in enumerate([(320, 427), (58, 301), (13, 9)]):
        rgb = photo(*size, seed=number)
        pixels = expected_pixels(directory, rgb)
        with torch.inference_mode():
            expected = network(pixel_values=torch.from_numpy(pixels)[None]).logits[0].numpy()
        arrays = model.preprocess(bgr(rgb), {})
        found = model.forward({key: array[None] for key, array in arrays.items()})
        np.testing.assert_allclose(next(iter(found.values()))[0], expected, atol=1e-3)
        seen.append(expected)
    assert np.std(seen, axis=0).max() > 0.02  # the logits depend on the image


PUBLISHED = {
    "resnet": {
        "crop_pct": 0.875,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "ConvNextFeatureExtractor",
        **IMAGENET,
        "resample": 3,
        "size": 224,
    },
    "vit": {
        "do_normalize": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "size": 224,
    },
    "deit": {
        "crop_size": 224,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "DeiTFeatureExtractor",
        **IMAGENET,
        "resample": 3,
        "size": 256,
    },
    "mobilevit": {
        "crop_size": 256,
        "do_center_crop": True,
        "do_flip_channel_order": True,
        "do_resize": True,
        "feature_extractor_type": "MobileViTFeatureExtractor",
        "resample": 2,
        "size": 288,
    },
    "levit": {
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "LevitFeatureExtractor",
        **IMAGENET,
        "resample": 3,
        "size": 224,
    },
    "dinov2": {
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        **IMAGENET,
        "image_processor_type": "BitImageProcessor",
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": 256},
    },
    "efficientnet": {
        "crop_size": {"height": 289, "width": 289},
        "do_center_crop": False,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_processor_type": "EfficientNetImageProcessor",
        "image_std": [0.47853944, 0.4732864, 0.47434163],
        "include_top": True,
        "resample": 0,
        "rescale_factor": 0.00392156862745098,
        "rescale_offset": False,
        "size": {"height": 224, "width": 224},
    },
    "poolformer": {
        "crop_pct": 0.95,
        "crop_size": {"height": 224, "width": 224},
        "do_resize_and_center_crop": None,
        "feature_extractor_type": "PoolFormerFeatureExtractor",
        **IMAGENET,
        "resample": 3,
        "size": 224,
    },
    "swin": {
        "_valid_processor_keys": ["images", "do_resize"],
        "do_normalize": True,
        "feature_extractor_type": "ViTFeatureExtractor",
        **IMAGENET,
        "resample": 3,
        "size": 224,
    },
    "segformer": {
        "do_normalize": True,
        "feature_extractor_type": "SegformerFeatureExtractor",
        **IMAGENET,
        "reduce_labels": False,
        "resample": 2,
        "size": 512,
    },
    "siglip": {
        "image_processor_type": "SiglipImageProcessorFast",
        "data_format": "channels_first",
        "default_to_square": True,
        "device": None,
        "disable_grouping": None,
        "do_center_crop": None,
        "do_pad": None,
        "input_data_format": None,
        "processor_class": "SiglipProcessor",
        "resample": 2,
        "size": {"height": 224, "width": 224},
    },
}


@pytest.mark.parametrize("model_type", PUBLISHED)
def test_file_as_networks_are_published_with_gives_the_pixels_of_transformers(tmp_path, model_type):
    agree(version(tmp_path, PUBLISHED[model_type], model_type=model_type))


@pytest.mark.parametrize(
    "values",
    [
        {},
        *({"resample": number, "size": 90} for number in range(6)),
        {"size": [50, 71]},
        {"do_resize": False},
        {"do_resize": False, "do_center_crop": True, "crop_size": {"height": 50, "width": 41}},
        {"do_normalize": False},
        {"do_rescale": False, "image_mean": [120, 110, 100], "image_std": [60, 61, 62]},
        {"do_rescale": False, "do_normalize": False},
        {"rescale_factor": 1 / 127.5, "image_mean": 1.0, "image_std": 1.0},
        {"size": {"shortest_edge": 40}},
        {"size": {"shortest_edge": 40, "longest_edge": 60}},
        {"size": {"shortest_edge": 64, "longest_edge": 64}},
        {"size": 41, "do_center_crop": True, "crop_size": 30},
        {"size": 30, "do_center_crop": True, "crop_size": 41},
        {"size": {"shortest_edge": 33}, "do_center_crop": True, "crop_size": [20, 60]},
        {"do_pad": True},
        {"crop_pct": 0.5},  # of another class: without effect
    ],
)
def test_every_value_has_the_effect_that_it_has_in_transformers(tmp_path, values):
    agree(version(tmp_path, {"image_processor_type": "ViTImageProcessor"} | values))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 64}}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 65}, "crop_pct": 0.9}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}),
        (
            "ConvNextImageProcessor",
            {"size": {"shortest_edge": 400}, "do_center_crop": True, "crop_size": 390},
        ),
        ("ConvNextImageProcessor", {"do_resize": False}),
        ("EfficientNetImageProcessor", {"rescale_offset": True, "rescale_factor": 1 / 127.5}),
        ("EfficientNetImageProcessor", {"include_top": False}),
        ("EfficientNetImageProcessor", {"do_normalize": False}),
        ("EfficientNetImageProcessor", {"do_rescale": False, "rescale_offset": True}),
        ("EfficientNetImageProcessor", {"do_center_crop": True}),
        ("LevitImageProcessor", {"size": {"height": 100, "width": 90}}),
        ("LevitImageProcessor", {"size": {"shortest_edge": 111}, "crop_size": 101}),
        ("PoolFormerImageProcessor", {"size": {"height": 99, "width": 99}, "crop_size": 88}),
        ("PoolFormerImageProcessor", {"size": {"height": 99, "width": 80}, "crop_size": 88}),
        ("MobileViTImageProcessor", {"do_flip_channel_order": False}),
        ("MobileViTImageProcessor", {"do_normalize": True, **IMAGENET}),
        ("SegformerImageProcessor", {"do_center_crop": True, "crop_size": 30}),
        ("TextNetImageProcessor", {"size": {"shortest_edge": 50}, "size_divisor": 8}),
        (
            "TextNetImageProcessor",
            {"size": {"shortest_edge": 50}, "size_divisor": 1, "do_center_crop": True},
        ),
        ("DetrImageProcessor", {}),
        ("DetrImageProcessor", {"size": {"height": 70, "width": 90}}),
        ("DetrImageProcessor", {"size": 80, "max_size": 133, "format": "coco_detection"}),
        ("DetrImageProcessor", {"size": 80, "pad_and_return_pixel_mask": True}),
        ("ConditionalDetrImageProcessor", {"size": {"shortest_edge": 64, "longest_edge": 99}}),
        ("DeformableDetrImageProcessor", {"size": {"shortest_edge": 66, "longest_edge": 99}}),
        ("RTDetrImageProcessor", {}),
        ("YolosImageProcessor", {"size": {"shortest_edge": 51, "longest_edge": 133}}),
        ("YolosImageProcessor", {"size": {"shortest_edge": 66, "longest_edge": 99}}),
    ],
)
def test_classes_with_steps_of_their_own_are_followed(tmp_path, name, values):
    agree(version(tmp_path, {"image_processor_type": name} | values))


def any_values(rng):
    """Draw a preprocessor_config.json: some keys, of any class, with values or null."""

    def side():
        return rng.randint(16, 150)

    short = side()
    sizes = [
        side(),
        [side(), side()],
        {"shortest_edge": side()},
        {"height": side(), "width": side()},
        {"shortest_edge": short, "longest_edge": short + rng.randint(1, 100)},
        {"longest_edge": side()},
        None,
    ]
    choices = {
        "size": sizes,
        "crop_size": [*sizes[:2], sizes[3], None],
        "resample": [*range(6), None],
        "image_mean": [[0.1, 0.2, 0.3], 0.4, None],
        "image_std": [[0.3, 0.2, 0.4], 0.5, None],
        "rescale_factor": [1 / 255, 1 / 127.5, None],
        "crop_pct": [0.5, 0.9, None],
        "size_divisor": [1, 8, None],
    }
    flags = ["do_resize", "do_center_crop", "do_rescale", "do_normalize", "default_to_square"]
    flags += ["rescale_offset", "include_top", "do_flip_channel_order", "do_pad"]
    choices |= {key: [True, False, None] for key in flags}
    drawn = {key: rng.choice(values) for key, values in choices.items() if rng.random() < 0.35}
    return {"image_processor_type": rng.choice(list(image_processors.DEFAULTS))} | drawn


def test_any_mix_of_values_gives_the_pixels_of_transformers(tmp_path):
    rng = random.Random(0)
    compared = 0
    for number in range(300):
        directory = version(tmp_path, any_values(rng))
        rgb = photo(rng.randint(17, 250), rng.randint(17, 250), seed=number)
        try:
            expected = expected_pixels(directory, rgb)
            spec = read_spec(directory).input
        except (ValueError, TypeError, AttributeError, ModelError):
            continue  # one of the two refuses the values, as tests below describe
        found = as_input(bgr(rgb), spec)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
        compared += 1
    assert compared > 150


@pytest.mark.parametrize("name", image_processors.DEFAULTS)
def test_defaults_are_those_of_transformers_classes(name):
    cls = get_image_processor_class_from_name(name + "Pil")
    for key, value in image_processors.DEFAULTS[name].items():
        assert getattr(cls, key) == value, key
    for key in set().union(*image_processors.DEFAULTS.values()) - set(
        image_processors.DEFAULTS[name]
    ):
        assert not getattr(cls, key, None), key


def test_class_of_each_model_type_is_that_of_transformers():
    mapping = hf.models.auto.image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES
    for model_type, name in image_processors.OF_MODEL_TYPE.items():
        assert mapping[model_type]["torchvision"] == name


def test_nested_processor_config_comes_before_the_preprocessor_config(tmp_path):
    other = {"image_processor_type": "ViTImageProcessor", "size": 50}
    directory = version(tmp_path, other | {"size": 60})
    nested = {"image_processor": other, "processor_class": "SomeProcessor"}
    (directory / "processor_config.json").write_text(json.dumps(nested))
    assert read_spec(directory).input.size == (50, 50)
    agree(directory)
    (directory / "processor_config.json").write_text(json.dumps({"processor_class": "Some"}))
    assert read_spec(directory).input.size == (60, 60)
    agree(directory)


def test_network_of_one_channel_gets_gray_images(tmp_path):
    values = {"image_processor_type": "ViTImageProcessor", "image_mean": [0.3], "image_std": [0.2]}
    directory = version(tmp_path, values | {"size": 28}, num_channels=1)
    gray = photo(60, 80)[..., 0]
    found = as_input(np.dstack([gray] * 3), read_spec(directory).input)
    np.testing.assert_allclose(found, expected_pixels(directory, gray), atol=1e-5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"size": {"longest_edge": 100}}, ["size", "longest_edge", "shortest_edge"]),
        ({"size": {"max_height": 100, "max_width": 90}}, ["size", "max_height"]),
        ({"size": {"height": 0, "width": 5}}, ["size", "above 0"]),
        ({"size": "big"}, ["size", "'big'"]),
        ({"size": True}, ["size", "True"]),
        ({"resample": 6}, ["resample", "found 6", "3 bicubic"]),
        ({"resample": "bicubic"}, ["resample", "'bicubic'"]),
        ({"image_mean": "gray"}, ["image_mean", "'gray'"]),
        ({"image_mean": [0.5, 0.5]}, ["mean has 2 values for 3 channels"]),
        ({"image_std": [1, 0, 1]}, ["std", "greater than 0"]),
        ({"rescale_factor": -1}, ["rescale_factor", "above 0"]),
        ({"do_resize": "yes"}, ["do_resize", "true or false"]),
        ({"do_sharpen": True}, ["do_sharpen", "found True"]),
        ({"clusters": [[1, 2, 3]]}, ["clusters", "does not know"]),
        ({"do_pad": True, "pad_size": {"height": 9, "width": 9}}, ["pad_size"]),
        ({"data_format": "channels_last"}, ["data_format", "channels_last"]),
        ({"do_center_crop": True}, ["crop_size", "do_center_crop needs it"]),
        ({"image_processor_type": "DonutImageProcessor"}, ["DonutImageProcessor", "agewell knows"]),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"height": 9, "width": 9}},
            ["ConvNextImageProcessor needs a shortest_edge"],
        ),
        (
            {"image_processor_type": "DetrImageProcessor", "size": {"shortest_edge": 9}},
            ["DetrImageProcessor needs height and width, or a longest_edge"],
        ),
    ],
)
def test_value_that_cannot_be_honoured_is_refused_by_its_key(tmp_path, values, words):
    values = {"image_processor_type": "ViTImageProcessor"} | values
    with pytest.raises(ModelError) as caught:
        read_spec(version(tmp_path, values))
    for word in ["preprocessor_config.json", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00", '"text"'])
def test_damaged_file_is_refused_by_its_name(tmp_path, text):
    directory = version(tmp_path, None)
    (directory / "preprocessor_config.json").write_text(text)
    with pytest.raises(ModelError, match=r"preprocessor_config\.json.*height, width, mean and std"):
        read_spec(directory)


def test_unknown_class_of_an_unknown_model_type_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"image_processor_type.*found 'yolos9'"):
        read_spec(version(tmp_path, {"size": 9}, model_type="yolos9"))


WHOLE = {"height": 48, "width": 40, "mean": [0.1, 0.2, 0.3], "std": [0.4]}


def test_model_yaml_decides_alone_if_it_describes_the_input_and_the_file_cannot_be_honoured(
    tmp_path,
):
    values = {"image_processor_type": "DonutImageProcessor"}
    found = read_spec(version(tmp_path, values, {"input": WHOLE})).input
    assert found == InputSpec.model_validate(WHOLE)


def test_directory_without_file_and_without_input_is_refused(tmp_path):
    for number, given in enumerate([{}, {"input": {}}, {"input": {"background": "black"}}]):
        directory = version(tmp_path / str(number), None, given)
        with pytest.raises(ModelError, match=r"no preprocessor_config\.json.*`input`"):
            read_spec(directory)
    described = version(tmp_path, None, {"input": {"height": 9, "width": 9}})
    assert read_spec(described).input == InputSpec(height=9, width=9)


def test_model_class_may_prepare_images_in_its_own_way(tmp_path):
    own = {"model_class": "./model.py:Mine"}
    assert read_spec(version(tmp_path / "a", None, own)).input == InputSpec()
    unknown = {"image_processor_type": "DonutImageProcessor"}
    assert read_spec(version(tmp_path / "b", unknown, own)).input == InputSpec()
    known = {"image_processor_type": "ViTImageProcessor"}
    assert read_spec(version(tmp_path / "c", known, own)).input.size == (224, 224)


RESIZED_AND_CUT = {"image_processor_type": "BitImageProcessor", "size": 50, "crop_size": 40}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"mean": [0.1, 0.2, 0.3]}, {"mean": (0.1, 0.2, 0.3), "resize": 50, "size": (40, 40)}),
        ({"resample": "lanczos"}, {"resample": "lanczos", "resize": 50, "size": (40, 40)}),
        ({"height": 30, "width": 20}, {"resize": 50, "size": (30, 20), "resample": "bicubic"}),
        ({"resize": [60, 70]}, {"resize": (60, 70), "size": (40, 40)}),
        ({"height": 90, "width": 90, "fit": "crop"}, {"resize": None, "size": (90, 90)}),
        ({"fit": "stretch"}, {"resize": None, "size": (40, 40), "resample": "bicubic"}),
        ({"colours": "bgr"}, {"colours": "bgr", "resize": 50}),
        ({"background": "#102030"}, {"background": "#102030", "resize": 50}),
    ],
)
def test_fields_of_model_yaml_override_only_themselves(tmp_path, given, expected):
    found = read_spec(version(tmp_path, RESIZED_AND_CUT, {"input": given})).input
    clip_std = (0.26862954, 0.26130258, 0.27577711)
    assert found.std == clip_std
    assert {name: getattr(found, name) for name in expected} == expected


def test_size_of_model_yaml_that_is_larger_than_the_files_is_refused(tmp_path):
    given = {"input": {"height": 96, "width": 96}}
    with pytest.raises(ModelError, match=r"resizes to 50 px.*96 x 96.*give resize or fit"):
        read_spec(version(tmp_path, RESIZED_AND_CUT, given))


def test_fields_that_do_not_fit_together_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"completed by.*3 values for 1 channels"):
        read_spec(version(tmp_path, RESIZED_AND_CUT, {"input": {"colours": "gray"}}))


def test_example_photos_get_the_classes_of_transformers_and_would_not_without_the_file(tmp_path):
    directory = saved(
        tmp_path, "resnet", {"size": {"shortest_edge": 224}, **IMAGENET}, max_batch_size=1
    )
    model = load_model(directory, CPU)
    network = hf.AutoModelForImageClassification.from_pretrained(directory).eval()
    differ = 0
    photos = sorted((ROOT / "examples" / "images").glob("*.jpg"))
    for path in photos:
        image = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_2)
        pixels = expected_pixels(directory, image[..., ::-1])
        with torch.inference_mode():
            expected = network(pixel_values=torch.from_numpy(pixels)[None]).logits[0].numpy()
        by_file = logits(model, model.preprocess(image, {})["image"])
        np.testing.assert_allclose(by_file, expected, atol=1e-3)
        without = logits(model, as_input(image, InputSpec(height=224, width=224)))
        differ += int(without.argmax() != expected.argmax())
    assert len(photos) == 16
    assert differ >= 4


def logits(model, pixels):
    return next(iter(model.forward({"image": pixels[None]}).values()))[0]
