"""transformers' own detectors and segmenters, against transformers' own pipeline."""

import cv2
import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from agewell.workers.models.load import load_model
from tests.support.hugging_face_detectors import LABELS, save
from tests.support.paths import PHOTOS

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photo():
    return cv2.imread(str(PHOTOS / "morskie-oko.jpg"))[:500, :701]


def prediction(model, image, **parameters):
    model.check_parameters(parameters)
    item = model.preprocess(image, parameters)
    outputs = model.forward({name: array[None] for name, array in item.items()})
    return model.postprocess({name: each[0] for name, each in outputs.items()}, image, parameters)


def of_transformers(network, processor, image):
    """The inputs and outputs of transformers' own image processor and network."""
    rgb = Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    inputs = processor(images=rgb, return_tensors="pt")
    with torch.no_grad():
        return network(pixel_values=inputs["pixel_values"])


def gap(scores):
    """A threshold that no score is near to, below four scores or more."""
    falling = np.sort(scores.numpy())[::-1][4:30]
    widest = np.argmax(falling[:-1] - falling[1:])
    return float(falling[widest : widest + 2].mean())


@pytest.mark.parametrize(
    "name", ["detr", "conditional_detr", "deformable_detr", "rt_detr", "yolos"]
)
@pytest.mark.parametrize("turned", [False, True], ids=["wide", "high"])
def test_boxes_are_those_of_transformers(tmp_path, photo, name, turned):
    directory, network, processor = save(tmp_path, name)
    image = np.ascontiguousarray(photo.transpose(1, 0, 2) if turned else photo)
    outputs = of_transformers(network, processor, image)
    threshold = gap(processor.post_process_object_detection(outputs, threshold=0.0)[0]["scores"])
    [expected] = processor.post_process_object_detection(
        outputs, threshold=threshold, target_sizes=[image.shape[:2]]
    )
    model = load_model(directory, CPU)
    found = prediction(model, image, score=threshold, draw=False).values["boxes"]
    assert len(found) == len(expected["scores"]) > 3
    order = np.argsort(-expected["scores"].numpy(), kind="stable")
    high, wide = image.shape[:2]
    inside = np.clip(expected["boxes"].numpy()[order], 0, [wide, high, wide, high])
    np.testing.assert_allclose(
        [each["score"] for each in found], expected["scores"].numpy()[order], atol=1e-3
    )
    np.testing.assert_allclose([each["box"] for each in found], inside, atol=0.5)
    labels = [LABELS[number] for number in expected["labels"][order].tolist()]
    assert [each["label"] for each in found] == labels


def test_the_mask_is_that_of_transformers(tmp_path, photo):
    directory, network, processor = save(tmp_path, "segformer")
    outputs = of_transformers(network, processor, photo)
    [expected] = processor.post_process_semantic_segmentation(outputs, [photo.shape[:2]])
    found = prediction(load_model(directory, CPU), photo)
    assert len(np.unique(expected)) > 1
    assert (found.image == expected.numpy()).mean() > 0.999
    shares = {each["label"]: each["share"] for each in found.values["segments"]}
    counts = np.bincount(expected.numpy().ravel(), minlength=5) / expected.numel()
    for number, share in enumerate(counts):
        assert shares.get(LABELS[number], 0) == pytest.approx(share, abs=1e-3)


def test_the_processor_of_an_old_detr_has_its_longest_edge_apart(tmp_path, photo):
    directory, _, _ = save(tmp_path, "detr")
    (directory / "preprocessor_config.json").write_text(
        '{"feature_extractor_type": "DetrFeatureExtractor", "format": "coco_detection",'
        ' "size": 64, "max_size": 80, "do_normalize": true, "do_resize": true,'
        ' "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}'
    )
    processor = transformers.DetrImageProcessorPil.from_pretrained(directory)
    rgb = Image.fromarray(cv2.cvtColor(photo, cv2.COLOR_BGR2RGB))
    expected = processor(images=rgb, return_tensors="np")["pixel_values"][0]
    found = load_model(directory, CPU).preprocess(photo, {})["image"]
    assert found.shape == expected.shape == (3, 57, 80)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_task_that_transformers_does_not_have_is_refused(tmp_path):
    directory, _, _ = save(tmp_path, "segformer", task="image")
    with pytest.raises(Exception, match="kind huggingface has no task image"):
        load_model(directory, CPU)
