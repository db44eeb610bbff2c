"""Task `segmentation`: masks of the image's size, their shares, and bad outputs."""

import numpy as np
import pytest
import torch

from agewell.shared.errors import ModelError, ParameterError
from agewell.workers.imaging.channels import as_mask
from agewell.workers.models.agreement import agreement_for
from agewell.workers.models.load import load_model
from tests.support.detectors import constant_onnx, paint_segmenter

CPU = torch.device("cpu")
INPUTS = {
    "letterbox": {"height": 64, "width": 64, "fit": "letterbox", "pad": [255, 0, 0]},
    "stretch": {"height": 64, "width": 96},
    "any size": {"multiple": 32, "max_side": 128},
}


def scene(high=240, wide=400):
    """A red left third, a blue right fifth, and dark between them."""
    image = np.zeros((high, wide, 3), np.uint8)
    expected = np.zeros((high, wide), np.uint8)
    image[:, : wide // 3], expected[:, : wide // 3] = (0, 0, 255), 1
    image[:, wide * 4 // 5 :], expected[:, wide * 4 // 5 :] = (255, 0, 0), 3
    return image, expected


def prediction(model, image, **parameters):
    model.check_parameters(parameters)
    item = model.preprocess(image, parameters)
    outputs = model.forward({name: array[None] for name, array in item.items()})
    return model.postprocess({name: each[0] for name, each in outputs.items()}, image, parameters)


def paints(root, **more):
    return load_model(paint_segmenter(root, **more), CPU)


def planes_model(root, planes, labels=(), outputs=None, **more):
    spec = {"height": planes.shape[1], "width": planes.shape[2]}
    document = {"task": "segmentation", "labels": list(labels), "input": spec}
    if outputs is not None:
        document["outputs"] = {"family": "semantic"} | outputs
    return load_model(constant_onnx(root, {"logits": planes}, **(document | more)), CPU)


@pytest.mark.parametrize("spec", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("size", [(240, 400), (400, 240), (33, 47)])
def test_the_mask_has_the_class_of_each_pixel_of_the_image(tmp_path, spec, size):
    image, expected = scene(*size)
    one = prediction(paints(tmp_path, input=spec), image)
    assert one.image.dtype == np.uint8
    assert one.image.shape == expected.shape
    # Two edges between classes, each off by a pixel of the network's output at most, and the
    # pixels next to the letterbox's border.
    inner = (one.image != expected)[2:-2]
    assert inner.any(axis=0).sum() <= 2 * max(1, 2 * max(size) / 64)
    shares = {each["label"]: each["share"] for each in one.values["segments"]}
    for number, label in enumerate(["dark", "red", "green", "blue"]):
        assert shares.get(label, 0) == pytest.approx((one.image == number).mean())
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


@pytest.mark.parametrize(("label", "numbers"), [("red", [1]), ("red,blue", [1, 3]), ("2", [2])])
def test_the_mask_of_labels_is_black_and_white(tmp_path, label, numbers):
    image, _ = scene()
    model = paints(tmp_path)
    every = prediction(model, image).image
    mask = prediction(model, image, label=label).image
    assert np.array_equal(mask, np.isin(every, numbers) * 255)
    assert np.array_equal(as_mask(mask, "mask"), mask)


def test_a_soft_mask_is_the_probability_of_its_label(tmp_path):
    """Bilinear interpolation of softmax's probabilities, by torch."""
    rng = np.random.default_rng(0)
    planes = rng.normal(0, 2, (3, 6, 8)).astype(np.float32)
    model = planes_model(tmp_path, planes, ["a", "b", "c"])
    mask = prediction(model, np.zeros((48, 72, 3), np.uint8), label="b,c", soft=True).image
    probabilities = torch.from_numpy(planes).softmax(0)[1:].sum(0)
    expected = torch.nn.functional.interpolate(probabilities[None, None], (48, 72), mode="bilinear")
    np.testing.assert_allclose(mask, 255 * expected[0, 0].numpy(), atol=0.51)


def test_the_classes_are_compared_after_interpolation(tmp_path):
    """As transformers does: bilinear interpolation of the logits, by torch, then the largest."""
    rng = np.random.default_rng(1)
    planes = rng.normal(0, 2, (5, 6, 8)).astype(np.float32)
    mask = prediction(planes_model(tmp_path, planes), np.zeros((90, 70, 3), np.uint8)).image
    enlarged = torch.nn.functional.interpolate(
        torch.from_numpy(planes)[None], (90, 70), mode="bilinear"
    )
    assert (mask == enlarged[0].argmax(0).numpy()).mean() > 0.999


@pytest.mark.parametrize(
    ("activation", "low", "high"), [("sigmoid", -2, 3), ("softmax", -2, 3), ("none", 0.2, 0.9)]
)
@pytest.mark.parametrize(
    ("labels", "outputs"), [(["cat"], {}), (["nothing", "cat"], {}), ([], {"class_count": 1})]
)
def test_one_plane_is_the_logit_of_one_class(tmp_path, activation, low, high, labels, outputs):
    planes = np.full((1, 4, 4), low, np.float32)
    planes[:, :, :2] = high
    model = planes_model(tmp_path, planes, labels, outputs | {"activation": activation})
    image = np.zeros((4, 4, 3), np.uint8)
    one = prediction(model, image)
    assert np.array_equal(one.image, [[1, 1, 0, 0]] * 4)
    names = [each["label"] for each in one.values["segments"]]
    assert names == [labels[0] if len(labels) == 2 else "background", (labels or ["1"])[-1]]
    soft = prediction(model, image, label="1", soft=True).image
    expected = high if activation == "none" else 1 / (1 + np.exp(-high))
    assert soft[0, 0] == round(255 * expected)


def test_networks_are_compared_by_their_pixels(tmp_path):
    planes = np.zeros((2, 4, 4), np.float32)
    planes[1, :, :2] = 1
    other = planes.copy()
    other[1, :, :1] = -1
    model = planes_model(tmp_path, planes)
    agreement = agreement_for("segmentation")
    image = np.zeros((4, 4, 3), np.uint8)
    assert agreement.add(model, image, {"logits": planes}, {"logits": planes}) == 1
    assert agreement.add(model, image, {"logits": planes}, {"logits": other}) == 0.75
    assert agreement.value() == 0.875


def test_an_overlay_is_drawn_if_asked_for(tmp_path):
    image, _ = scene()
    one = prediction(paints(tmp_path), image, draw=True)
    overlay = one.pictures["overlay"]
    assert overlay.shape == image.shape
    changed = (overlay != image).any(axis=2)
    assert changed[:, :100].all()
    assert not changed[:, 150:300].any()
    assert not prediction(paints(tmp_path / "b"), image).pictures


MISFITS = {
    "a class too many": (
        (4, 8, 8), ["a", "b", "c"], {},
        "the output is (N, 4, 8, 8); expected: (N, 3, height, width) with 3 classes",
    ),
    "classes last": (
        (8, 8, 3), ["a", "b", "c"], {}, "its classes seem to be the last axis",
    ),
    "a class too few": (
        (2, 8, 8), ["a", "b", "c"], {}, "the output is (N, 2, 8, 8); expected: (N, 3, ",
    ),
    "more classes than gray values": ((300, 4, 4), [], {}, "with at most 256 classes"),
    "logits as probabilities": (
        (2, 8, 8), ["a", "b"], {"activation": "none"}, "probabilities must be within 0..1",
    ),
    "another name": (
        (2, 8, 8), ["a", "b"], {"output": "out"},
        "it has no output out; found: logits (N, 2, 8, 8)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "labels", "outputs", "message"), MISFITS.values(), ids=MISFITS.keys()
)
def test_outputs_that_do_not_fit_are_refused_when_the_model_loads(
    tmp_path, shape, labels, outputs, message
):
    with pytest.raises(ModelError) as error:
        planes_model(
            tmp_path,
            np.full(shape, 7, np.float32),
            labels,
            outputs,
            input={"height": 8, "width": 8},
        )
    assert "its outputs do not fit model.yaml: " in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "spec", [{"height": 64, "width": 64, "fit": "crop"}, {"height": 64, "width": 64, "resize": 70}]
)
def test_an_input_that_hides_parts_of_images_is_refused(tmp_path, spec):
    with pytest.raises(ModelError, match="its input cuts off parts of images"):
        paints(tmp_path, input=spec)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"label": "sky"}, "label is 'sky'; allowed: dark, red, green, blue, or a number, 0 to 3"),
        ({"label": 4}, "label is '4'"),
        ({"soft": True}, "soft is given without label"),
        ({"soft": "yes", "label": "red"}, "soft is 'yes'; allowed: true or false"),
        ({"draw": 3}, "draw is 3"),
        ({"score": 0.5}, "score is given; allowed: by paints: draw, label, soft"),
    ],
)
def test_a_parameter_that_is_not_allowed_is_refused(tmp_path, parameters, message):
    with pytest.raises(ParameterError) as error:
        paints(tmp_path).check_parameters(parameters)
    assert message in str(error.value)
