"""Task `detection`: every family of outputs, the boxes in the original image, and bad outputs."""

import cv2
import numpy as np
import pytest
import torch

from agewell.shared.errors import ModelError, ParameterError
from agewell.workers.models.agreement import agreement_for
from agewell.workers.models.load import load_model
from tests.support.detectors import blob_detector, constant_onnx
from tests.support.model_files import version_directory

CPU = torch.device("cpu")
SQUARE = {"height": 64, "width": 64, "fit": "letterbox"}
LABELS = ["cat", "dog", "bird"]
IMAGE = np.full((200, 400, 3), 90, np.uint8)
"""Letterboxed to 64 x 64, it is 64 x 32 px, 16 px from the top: 6.25 times smaller."""


def prediction(model, image=IMAGE, **parameters):
    model.check_parameters(parameters)
    item = model.preprocess(image, parameters)
    outputs = model.forward({name: array[None] for name, array in item.items()})
    return model.postprocess({name: each[0] for name, each in outputs.items()}, image, parameters)


def found(model, image=IMAGE, **parameters):
    return prediction(model, image, **parameters).values["boxes"]


def detector(root, outputs, family, labels=LABELS, fields=None, **more):
    document = {"family": family} | (fields or {})
    model_input = more.pop("input", SQUARE)
    return load_model(
        constant_onnx(root, outputs, labels=labels, outputs=document, input=model_input, **more),
        CPU,
    )


def logit(probability):
    return float(np.log(probability / (1 - probability)))


# Two boxes in px of the 64 x 64 input, and the same in px of the image.
BOXES = np.array([[8, 20, 24, 28], [32, 18, 60, 46]], np.float32)
IN_IMAGE = [[50, 25, 150, 75], [200, 12.5, 375, 187.5]]
SIZED = np.array([[16, 24, 16, 8], [46, 32, 28, 28]], np.float32)  # centre, width, height
EXPECTED = [("dog", 0.9, IN_IMAGE[1]), ("cat", 0.75, IN_IMAGE[0])]


def yolov8():
    scores = np.array([[0.75, 0.1, 0], [0.2, 0.9, 0]], np.float32)
    return {"output0": np.concatenate([SIZED, scores], axis=1).T.copy()}


def yolov5():
    rows = np.array([[0.8, 0.9375, 0, 0.1], [0.9, 0.3, 1, 0]], np.float32)
    return {"output0": np.concatenate([SIZED, rows], axis=1)}


def yolov10():
    return {"output0": np.column_stack([BOXES, [0.75, 0.9], [0, 1]]).astype(np.float32)}


def detr(*, sigmoid):
    logits = [[logit(0.75), -9, -9], [-9, logit(0.9), -9]]
    if not sigmoid:  # with a logit of 0 that means no object
        logits = [[logit(0.75), -30, -30, 0], [-30, logit(0.9), -30, 0]]
    return {"logits": np.array(logits, np.float32), "pred_boxes": SIZED / 64}


def named(first=0):
    return {
        "boxes": BOXES,
        "labels": np.array([first, first + 1], np.int64),
        "scores": np.array([0.75, 0.9], np.float32),
    }


CASES = {
    "yolov8": (yolov8(), "yolov8", {}),
    "yolov8 transposed": ({"a": yolov8()["output0"].T.copy()}, "yolov8", {"transposed": True}),
    "yolov5": (yolov5(), "yolov5", {}),
    "yolov5 transposed": ({"a": yolov5()["output0"].T.copy()}, "yolov5", {"transposed": True}),
    "yolov10": (yolov10(), "yolov10", {}),
    "one of several outputs": (
        {"protos": np.zeros((2, 3), np.float32)} | yolov8(),
        "yolov8",
        {"output": "output0"},
    ),
    "detr": (detr(sigmoid=False), "detr", {}),
    "detr with a sigmoid": (detr(sigmoid=True), "detr", {"activation": "sigmoid"}),
    "detr's own names": (
        {"pred_logits": detr(sigmoid=False)["logits"], "boxes": SIZED / 64},
        "detr",
        {},
    ),
    "detr with other names": (
        {"x": detr(sigmoid=False)["logits"], "y": SIZED / 64},
        "detr",
        {"logits": "x", "boxes": "y"},
    ),
    "torchvision": (named(first=1), "boxes", {"first_class": 1}),
    "an ssd": (
        {
            "detection_boxes": BOXES[:, [1, 0, 3, 2]] / 64,
            "detection_classes": np.array([1, 2], np.float32),
            "detection_scores": np.array([0.75, 0.9], np.float32),
        },
        "boxes",
        {
            "boxes": "detection_boxes",
            "labels": "detection_classes",
            "scores": "detection_scores",
            "format": "yxyx",
            "units": "fractions",
            "first_class": 1,
        },
    ),
    "corner and size": (
        named() | {"boxes": np.concatenate([BOXES[:, :2], SIZED[:, 2:]], axis=1)},
        "boxes",
        {"format": "xywh"},
    ),
    "centre and size": (named() | {"boxes": SIZED}, "boxes", {"format": "cxcywh"}),
}


@pytest.mark.parametrize(("outputs", "family", "fields"), CASES.values(), ids=CASES.keys())
def test_a_family_gives_boxes_in_pixels_of_the_image(tmp_path, outputs, family, fields):
    boxes = found(detector(tmp_path, outputs, family, fields=fields))
    assert [(each["label"], pytest.approx(each["score"], abs=1e-5)) for each in boxes] == [
        (label, score) for label, score, _ in EXPECTED
    ]
    for each, (_, _, expected) in zip(boxes, EXPECTED, strict=True):
        np.testing.assert_allclose(each["box"], expected, atol=1e-3)


ONE_BY_ONE = """
import torch


class OneByOne(torch.nn.Module):
    def forward(self, image):
        assert image.dim() == 3
        count = 2 if image.max() > 0.9 else 0
        boxes = torch.tensor([[8.0, 20, 24, 28], [32, 18, 60, 46]])[:count]
        return {
            "boxes": boxes,
            "labels": torch.tensor([0, 1])[:count],
            "scores": torch.tensor([0.75, 0.9])[:count],
        }
"""


def one_by_one(root, **more):
    document = {
        "task": "detection",
        "kind": "torch",
        "entry": "./model.py:OneByOne",
        "labels": LABELS,
        "input": SQUARE,
        "outputs": {"family": "boxes", "batched": False},
    }
    directory = version_directory(root, "single", "1", **(document | more))
    (directory / "model.py").write_text(ONE_BY_ONE)
    return load_model(directory, CPU)


def test_a_network_without_a_batch_axis_has_as_many_boxes_as_it_finds(tmp_path):
    model = one_by_one(tmp_path, max_batch_size=1)
    assert found(model) == []
    bright = found(model, np.full_like(IMAGE, 255))
    assert [(each["label"], each["box"]) for each in bright] == [
        ("dog", IN_IMAGE[1]),
        ("cat", IN_IMAGE[0]),
    ]
    with pytest.raises(ModelError, match="outputs without a batch axis need max_batch_size: 1"):
        one_by_one(tmp_path / "b")


def test_scores_that_are_logits_get_a_sigmoid(tmp_path):
    for family, outputs in (("yolov8", yolov8()), ("yolov5", yolov5()), ("yolov10", yolov10())):
        scores = outputs["output0"].copy()
        part = {"yolov8": np.s_[4:], "yolov5": np.s_[:, 4:], "yolov10": np.s_[:, 4:5]}[family]
        clipped = np.clip(scores[part], 1e-6, 1 - 1e-6)
        scores[part] = np.log(clipped / (1 - clipped))
        model = detector(
            tmp_path, {"output0": scores}, family, fields={"activation": "sigmoid"}, name=family
        )
        assert [round(each["score"], 3) for each in found(model)] == [0.9, 0.75]


# --- the way back to the image -------------------------------------------------------------------

INPUTS = {
    "letterbox": {"height": 64, "width": 96, "fit": "letterbox"},
    "stretch": {"height": 64, "width": 96},
    "crop": {"height": 64, "width": 96, "fit": "crop"},
    "shorter side, then a cut": {"height": 64, "width": 64, "resize": 72},
    "a size, then a cut": {"height": 64, "width": 64, "resize": [80, 90]},
    "a cut only": {"height": 201, "width": 150, "resize": False},
    "larger than the image": {"height": 301, "width": 404, "resize": False},
    "any size": {"max_side": 128, "multiple": 32},
    "any size by the shorter side": {"resize": 90, "max_side": 128},
}


@pytest.mark.parametrize("spec", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("size", [(200, 301), (301, 200), (40, 40), (233, 65)])
def test_a_rectangle_that_the_network_sees_is_where_it_was_drawn(tmp_path, spec, size):
    """The edges of a white rectangle, as seen in the input, go back to where it was drawn."""
    from agewell.workers.models.geometry import placement_of
    from agewell.workers.models.input_spec import InputSpec
    from agewell.workers.models.preprocess import fit

    spec = InputSpec(**spec, pad=(0,)) if spec.get("fit") == "letterbox" else InputSpec(**spec)
    high, wide = size
    image = np.zeros((*size, 3), np.uint8)
    drawn = wide * 44 // 100, high * 44 // 100, wide * 55 // 100, high * 55 // 100
    image[drawn[1] : drawn[3], drawn[0] : drawn[2]] = 255
    shown = fit(image, spec)[..., 0].astype(np.float64) / 255
    place = placement_of(high, wide, spec)
    assert shown.shape == (place.input_height, place.input_width)
    # The sum along a row or a column is the length of the white part, to a fraction of a pixel.
    x = edges(shown.max(axis=0))
    y = edges(shown.max(axis=1))
    [box] = place.boxes_to_image(np.array([[x[0], y[0], x[1], y[1]]]))
    tolerance = 0.25 / min(place.scale_x, place.scale_y) + 0.25
    np.testing.assert_allclose(box, drawn, atol=tolerance)


def edges(profile):
    """Where a profile rises to one and falls again, to a fraction of a pixel."""
    middle = int((profile * np.arange(len(profile))).sum() / profile.sum())
    before, after = profile[: middle + 1], profile[middle + 1 :]
    return middle + 1 - before.sum(), middle + 1 + after.sum()


def test_letterboxing_is_that_of_ultralytics():
    """The formula of its LetterBox: the scale, the unpadded size, and the borders."""
    from agewell.workers.models.letterbox import letterbox_window

    rng = np.random.default_rng(0)
    for _ in range(2000):
        high, wide, to_high, to_wide = (int(each) for each in rng.integers(8, 2000, 4))
        ratio = min(to_high / high, to_wide / wide)
        inner = round(wide * ratio), round(high * ratio)
        if min(inner) < 1:
            continue
        x, y = (to_wide - inner[0]) / 2, (to_high - inner[1]) / 2
        window = letterbox_window(high, wide, (to_high, to_wide))
        assert (window.width, window.height) == inner
        assert (window.left, window.top) == (round(x - 0.1), round(y - 0.1))


def test_the_rest_of_a_letterbox_has_the_colour_of_pad(tmp_path):
    for pad, expected in ((None, 114), (0, 0), ([7], 7), ([10, 20, 30], [10, 20, 30])):
        spec = SQUARE | ({} if pad is None else {"pad": pad})
        model = load_model(
            blob_detector(tmp_path, name=f"pad{str(pad).strip('[]')[:1]}", input=spec), CPU
        )
        planes = model.preprocess(IMAGE, {})["image"] * 255
        np.testing.assert_allclose(
            planes[:, :16].transpose(1, 2, 0), np.broadcast_to(expected, (16, 64, 3)), atol=0.01
        )
        np.testing.assert_allclose(planes[:, 16:48], 90, atol=0.01)


# --- parameters ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Four boxes: two cats that overlap by 9/11, a dog at the same place, and a bird elsewhere."""
    centres = [[20, 24, 20, 12], [22, 24, 20, 12], [20, 24, 20, 12], [50, 30, 10, 10]]
    scores = [[0.9, 0, 0], [0.8, 0, 0], [0, 0.7, 0], [0, 0, 0.3]]
    rows = np.concatenate([np.array(centres, np.float32), np.array(scores, np.float32)], axis=1)
    root = tmp_path_factory.mktemp("crowd")
    return detector(root, {"output0": rows.T.copy()}, "yolov8")


@pytest.mark.parametrize(
    ("parameters", "labels"),
    [
        ({}, ["cat", "dog", "bird"]),
        ({"iou": 0.81}, ["cat", "dog", "bird"]),
        ({"iou": 0.82}, ["cat", "cat", "dog", "bird"]),
        ({"iou": 1}, ["cat", "cat", "dog", "bird"]),
        ({"agnostic": True}, ["cat", "bird"]),
        ({"score": 0.5}, ["cat", "dog"]),
        ({"score": 0.95}, []),
        ({"max": 2}, ["cat", "dog"]),
        ({"classes": "dog,bird"}, ["dog", "bird"]),
        ({"classes": "2"}, ["bird"]),
        ({"classes": 0}, ["cat"]),
        ({"classes": "dog", "agnostic": True}, ["dog"]),
    ],
)
def test_parameters_choose_boxes(crowd, parameters, labels):
    assert [each["label"] for each in found(crowd, **parameters)] == labels


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"score": 1.5}, "score is 1.5; allowed: a number, 0 to 1"),
        ({"score": "high"}, "score is 'high'"),
        ({"score": True}, "score is True"),
        ({"iou": -1}, "iou is -1"),
        ({"max": 0}, "max is 0; allowed: 1 to 1000"),
        ({"max": 2.0}, "max is 2.0"),
        ({"classes": "horse"}, "classes is 'horse'; allowed: cat, dog, bird, or a number, 0 to 2"),
        ({"classes": "3"}, "classes is '3'"),
        ({"classes": ""}, "classes is ''"),
        ({"agnostic": "yes"}, "agnostic is 'yes'; allowed: true or false"),
        ({"draw": 1}, "draw is 1; allowed: true or false"),
        ({"top": 3}, "top is given; allowed: by constant: agnostic, classes, crops, draw"),
    ],
)
def test_a_parameter_that_is_not_allowed_is_refused(crowd, parameters, message):
    with pytest.raises(ParameterError) as error:
        crowd.check_parameters(parameters)
    assert message in str(error.value)


def test_defaults_of_parameters_come_from_model_yaml(tmp_path):
    fields = {"score": 0.8, "draw": False, "crops": True}
    model = detector(tmp_path, yolov8(), "yolov8", fields=fields)
    one = prediction(model)
    assert [each["label"] for each in one.values["boxes"]] == ["dog"]
    assert one.image is None
    assert list(one.pictures) == ["crop-1-dog"]


def test_a_tapped_intermediate_is_no_output(tmp_path):
    model = detector(tmp_path, yolov8(), "yolov8")
    outputs = yolov8() | {"tap:layer": np.zeros((7, 5), np.float32)}
    assert len(model.postprocess(outputs, IMAGE, {}).values["boxes"]) == 2


def test_networks_are_compared_by_the_boxes_that_both_find(tmp_path):
    """Two boxes and two: one pair moves a little, of the other the class is another."""
    model = detector(tmp_path, yolov8(), "yolov8")
    moved = yolov8()["output0"].copy()
    moved[0, 0] += 1
    moved[4:6, 1] = 0.9, 0.1
    agreement = agreement_for("detection")
    assert agreement.add(model, IMAGE, yolov8(), yolov8()) == 1
    assert agreement.add(model, IMAGE, yolov8(), {"output0": moved}) == 0.5
    nothing = {"output0": np.zeros_like(moved)}
    assert agreement.add(model, IMAGE, yolov8(), nothing) == 0
    assert agreement.add(model, IMAGE, nothing, nothing) == 1
    assert agreement.value() == (4 + 2) / (4 + 4 + 2)


# --- pictures ------------------------------------------------------------------------------------


def blobs(root, **more):
    return load_model(blob_detector(root, input={"height": 128, "width": 128} | more), CPU)


def test_real_objects_are_found_drawn_and_cut_out(tmp_path):
    image = np.zeros((256, 256, 3), np.uint8)
    image[32:96, 64:160] = (0, 0, 255)
    image[128:224, 32:64] = (255, 0, 0)
    one = prediction(blobs(tmp_path), image, crops=True)
    boxes = {each["label"]: each["box"] for each in one.values["boxes"]}
    assert boxes == {"red": [64, 32, 160, 96], "blue": [32, 128, 64, 224]}
    crops = {name.rpartition("-")[2]: crop for name, crop in one.pictures.items()}
    assert np.array_equal(crops["red"], image[32:96, 64:160])
    assert np.array_equal(crops["blue"], image[128:224, 32:64])
    changed = (one.image != image).any(axis=2)
    assert one.image.shape == image.shape
    assert changed[32:96, 64].all()  # the left side of the red box
    assert changed[128:224, 63].all()  # the right side of the blue one
    assert not changed[98:110].any()  # between them
    assert not changed[60:90, 80:140].any()  # within a box


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (48, 64), (3000, 4000)])
def test_images_of_any_size_are_drawn(tmp_path, size):
    image = np.full((*size, 3), (0, 0, 255), np.uint8)
    one = prediction(blobs(tmp_path), image, crops=True)
    assert one.image.shape == image.shape
    [box] = one.values["boxes"]
    np.testing.assert_allclose(box["box"], [0, 0, size[1], size[0]])
    assert next(iter(one.pictures.values())).shape == image.shape


def test_labels_can_be_read_on_small_and_large_images():
    from agewell.workers.models.drawing import text_height

    heights = [
        text_height(np.empty((*size, 3), np.uint8))
        for size in ((100, 100), (1080, 1920), (6000, 8000))
    ]
    assert heights == [12, 40, 64]


def test_nothing_found_is_an_empty_list_and_the_plain_image(tmp_path):
    image = np.zeros((50, 70, 3), np.uint8)
    one = prediction(blobs(tmp_path), image, crops=True)
    assert one.values == {"boxes": []}
    assert np.array_equal(one.image, image)
    assert not one.pictures


# --- text ----------------------------------------------------------------------------------------


def text_model(root, plane, **fields):
    fields = {"unclip": 0} | fields
    return detector(
        root, {"map": plane[None]}, "text", labels=[], fields=fields, input={"multiple": 32}
    )


def test_a_map_of_text_gives_rotated_boxes(tmp_path):
    """A rotated rectangle, drawn by OpenCV in a map of half the input's size."""
    plane = np.zeros((80, 160), np.float32)
    corners = cv2.boxPoints(((80, 40), (90, 20), 15.0))
    mask = np.zeros(plane.shape, np.uint8)
    cv2.fillConvexPoly(mask, np.rint(corners).astype(np.int32), 1)
    plane[mask > 0] = 0.8
    image = np.zeros((160, 320, 3), np.uint8)
    [one] = found(text_model(tmp_path, plane), image)
    assert (one["label"], one["score"]) == ("text", pytest.approx(0.8, abs=0.08))
    (x, y), sides, angle = cv2.minAreaRect(np.array(one["polygon"], np.float32))
    assert (x, y) == (pytest.approx(161, abs=2), pytest.approx(81, abs=2))
    assert sorted(sides) == [pytest.approx(41, abs=4), pytest.approx(181, abs=4)]
    assert min(angle % 90, 90 - angle % 90) == pytest.approx(15, abs=1.5)
    low, high = np.min(one["polygon"], axis=0), np.max(one["polygon"], axis=0)
    np.testing.assert_allclose(one["box"], [*low, *high], atol=1e-3)


def test_an_upright_box_is_exact_and_grows_by_unclip(tmp_path):
    plane = np.zeros((64, 96), np.float32)
    plane[20:30, 16:56] = 1
    image = np.zeros((64, 96, 3), np.uint8)
    [exact] = found(text_model(tmp_path / "a", plane), image)
    assert exact["box"] == [16, 20, 56, 30]
    # area * unclip / perimeter = 40 * 10 * 1.5 / 100
    [grown] = found(text_model(tmp_path / "b", plane, unclip=1.5), image)
    assert grown["box"] == [10, 14, 62, 36]


def test_weak_small_and_enclosed_regions_of_a_map(tmp_path):
    plane = np.zeros((128, 128), np.float32)
    plane[10:30, 10:60] = 0.5  # above the threshold, below the score
    plane[50:52, 10:60] = 1  # too thin
    plane[64:124, 4:124] = 1  # a frame ...
    plane[70:118, 10:118] = 0
    plane[84:104, 30:90] = 1  # ... with a word in it
    image = np.zeros((128, 128, 3), np.uint8)
    boxes = [each["box"] for each in found(text_model(tmp_path, plane), image)]
    assert boxes == [[30, 84, 90, 104]]
    with_weak = found(text_model(tmp_path / "b", plane, score=0.45), image)
    assert [10, 10, 60, 30] in [each["box"] for each in with_weak]


def test_crops_of_rotated_text_are_upright(tmp_path):
    """A striped bar, turned by 20 degrees, comes back with level stripes."""
    bar = np.zeros((120, 240, 3), np.uint8)
    bar[40:80, 40:200] = (0, 0, 255)
    bar[60:80, 40:200] = (255, 0, 0)
    turn = cv2.getRotationMatrix2D((120, 60), 20, 1)
    image = np.ascontiguousarray(cv2.warpAffine(bar, turn, (240, 120)))
    image = np.pad(image, ((4, 4), (8, 8), (0, 0)))
    plane = (image.max(axis=2) > 128).astype(np.float32)
    model = detector(
        tmp_path, {"map": plane[None]}, "text", labels=[], fields={"unclip": 0}, input={}
    )
    [crop] = prediction(model, image, crops=True).pictures.values()
    if crop.shape[0] > crop.shape[1]:
        crop = np.rot90(crop)
    high, wide = crop.shape[:2]
    assert (high, wide) == (pytest.approx(41, abs=2), pytest.approx(161, abs=2))
    upper, lower = crop[5 : high // 2 - 4, 8:-8], crop[high // 2 + 4 : -5, 8:-8]
    colours = sorted(np.argmax(part.reshape(-1, 3).mean(axis=0)) for part in (upper, lower))
    assert colours == [0, 2]
    assert upper.reshape(-1, 3).std(axis=0).max() < 10


def test_text_has_no_classes_and_no_suppression(tmp_path):
    model = text_model(tmp_path, np.zeros((32, 32), np.float32))
    for name in ("iou", "classes", "agnostic"):
        with pytest.raises(ParameterError, match="given; allowed: by constant: crops, draw, max"):
            model.check_parameters({name: 1})


# --- outputs that do not fit ---------------------------------------------------------------------

BIG = {"output0": np.zeros((84, 210), np.float32)}
EIGHTY = [f"class {number}" for number in range(80)]
MISFITS = {
    "one class too few": (
        BIG, "yolov8", EIGHTY[:79], {},
        "the output is (N, 84, 210); yolov8 with 79 classes is (N, 83, boxes); it has room for 80 "
        "classes, or fits family yolov5 with `transposed: true`",
    ),
    "one class too many": (
        BIG, "yolov8", [*EIGHTY, "more"], {}, "is (N, 85, boxes); it has room for 80 classes",
    ),
    "transposed": (
        {"a": yolov8()["output0"].T.copy()}, "yolov8", LABELS, {},
        "the output is (N, 2, 7); yolov8 with 3 classes is (N, 7, boxes); it fits family yolov8 "
        "with `transposed: true`",
    ),
    "transposed, without labels": (
        {"a": BIG["output0"].T.copy()}, "yolov8", [], {},
        "the output is (N, 210, 84); yolov8 is (N, 4 + classes, boxes)",
    ),
    "another family": (
        BIG, "yolov5", EIGHTY, {},
        "the output is (N, 84, 210); yolov5 with 80 classes is (N, boxes, 85); it fits family "
        "yolov8",
    ),
    "end to end": (
        yolov10(), "yolov8", EIGHTY, {}, "it fits family yolov10",
    ),
    "not end to end": (
        yolov5(), "yolov10", LABELS, {}, "the output is (N, 2, 8); yolov10 is (N, boxes, 6)",
    ),
    "logits": (
        {"a": yolov8()["output0"] * 9 - 4}, "yolov8", LABELS, {}, "`activation: sigmoid`",
    ),
    "two axes": (
        {"a": np.zeros(5, np.float32)}, "yolov8", LABELS, {},
        "none of its outputs have 3 axes, found: a (N, 5)",
    ),
    "another name": (
        yolov8(), "yolov8", LABELS, {"output": "boxes"},
        "it has no output boxes; found: output0 (N, 7, 2)",
    ),
    "a class too many": (
        {"a": np.array([[0, 0, 5, 5, 0.5, 3]], np.float32)}, "yolov10", LABELS, {},
        "the classes of boxes must be whole numbers below 3; found: 3 to 3",
    ),
    "detr without no-object": (
        detr(sigmoid=True), "detr", LABELS, {},
        "the logits are (N, 2, 3); detr with 3 classes is (N, queries, 4): a logit for each class, "
        "and one that means no object; it fits `activation: sigmoid`",
    ),
    "detr with boxes in pixels": (
        detr(sigmoid=False) | {"pred_boxes": SIZED}, "detr", LABELS, {},
        "boxes must be within 0..1; found: 0 to 46",
    ),
    "detr with unknown names": (
        {"x": detr(sigmoid=False)["logits"], "y": SIZED}, "detr", LABELS, {},
        "2 of its outputs have 3 axes, found: x (N, 2, 4), y (N, 2, 4)",
    ),
    "detr with other boxes": (
        detr(sigmoid=False) | {"pred_boxes": np.zeros((3, 4), np.float32)}, "detr", LABELS, {},
        "the logits are (N, 2, 4) and the boxes (N, 3, 4)",
    ),
    "no scores": (
        {"boxes": BOXES, "labels": np.array([0, 1])}, "boxes", LABELS, {},
        "it has no output scores; found: boxes (N, 2, 4), labels (N, 2)",
    ),
    "scores of each class": (
        named() | {"scores": np.zeros((2, 3), np.float32)}, "boxes", LABELS, {},
        "output scores must have 2 axes",
    ),
    "labels from 1": (
        named(first=2), "boxes", LABELS, {}, "output labels has class 3",
    ),
    "a map with two planes": (
        {"map": np.zeros((2, 8, 8), np.float32)}, "text", [], {},
        "the map is (N, 2, 8, 8); expected: (N, 1, height, width)",
    ),
    "a map of logits": (
        {"map": np.full((1, 8, 8), -3, np.float32)}, "text", [], {},
        "the map must be within 0..1; found: -3 to 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("outputs", "family", "labels", "fields", "message"), MISFITS.values(), ids=MISFITS.keys()
)
def test_outputs_that_do_not_fit_are_refused_when_the_model_loads(
    tmp_path, outputs, family, labels, fields, message
):
    with pytest.raises(ModelError) as error:
        detector(tmp_path, outputs, family, labels=labels, fields=fields)
    assert "constant/1: its outputs do not fit model.yaml: " in str(error.value)
    assert message in str(error.value)


def test_classes_beyond_the_labels_are_numbers_if_model_yaml_says_how_many(tmp_path):
    model = detector(tmp_path, yolov8(), "yolov8", labels=["cat"], fields={"class_count": 3})
    assert [each["label"] for each in found(model)] == ["1", "cat"]
    unnamed = detector(tmp_path / "b", named(), "boxes", labels=[])
    assert [each["label"] for each in found(unnamed)] == ["1", "0"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"task": "detection"}, "task detection needs outputs with a family: yolov5, yolov8"),
        (
            {"task": "classification", "outputs": {"family": "yolov8"}},
            "outputs of family yolov8 do not fit task classification",
        ),
        ({"task": "detection", "outputs": {"family": "yolov8", "iou": 3}}, "iou: must be at most"),
        (
            {"task": "detection", "outputs": {"family": "text"}, "input": {"fit": "letterbox"}},
            "fit: letterbox needs height and width",
        ),
        (
            {
                "task": "detection",
                "outputs": {"family": "text"},
                "input": {"height": 8, "width": 8, "fit": "letterbox", "pad": [1, 2]},
            },
            "pad has 2 values",
        ),
    ],
)
def test_a_model_yaml_that_cannot_be_meant_is_refused(tmp_path, document, message):
    directory = version_directory(tmp_path, "a", "1", kind="torch", entry="./a.py:a", **document)
    with pytest.raises(ModelError) as error:
        load_model(directory, CPU)
    assert message in str(error.value)


@pytest.mark.alone
def test_a_yolo_of_80_classes_is_read_in_milliseconds(tmp_path):
    import time

    from agewell.workers.models.decoding import make_decoder
    from agewell.workers.models.outputs_spec import YoloOutputs

    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.random((4, 8400)) * 640, rng.random((80, 8400)) ** 40])
    outputs = {"output0": rows.astype(np.float32)}
    decoder = make_decoder(YoloOutputs(family="yolov8"), 80)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        decoder.decode(outputs, (640, 640), 0.25)
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.01
