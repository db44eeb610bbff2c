"""Exports of detectors and segmenters, and networks that torch cannot export."""

import cv2
import numpy as np
import pytest
import torch

from agewell.workers.models.export.__main__ import main
from agewell.workers.models.load import load_model
from tests.support.detectors import blob_detector, paint_segmenter
from tests.support.hugging_face_detectors import save
from tests.support.paths import PHOTOS

CPU = torch.device("cpu")


def export(root, name, capsys):
    status = main([name, "--models", str(root), "--into", str(root), "--threads", "1"])
    return status, capsys.readouterr()


def prediction(directory, image):
    model = load_model(directory, CPU)
    batch = {name: array[None] for name, array in model.preprocess(image, {}).items()}
    outputs = {name: array[0] for name, array in model.forward(batch).items()}
    return model.postprocess(outputs, image, {})


@pytest.mark.parametrize("name", ["yolos", "segformer"])
def test_the_export_of_a_network_of_transformers_gives_the_same(tmp_path, capsys, name):
    save(tmp_path, name)
    status, said = export(tmp_path, name, capsys)
    assert status == 0, said.err
    photo = cv2.imread(str(PHOTOS / "morskie-oko.jpg"))
    first, second = (prediction(tmp_path / name / each, photo) for each in ("1", "1-onnx"))
    if name == "segformer":
        assert (first.image == second.image).mean() > 0.999
        return
    boxes = [each.values["boxes"] for each in (first, second)]
    assert len(boxes[0]) > 3
    assert [each["label"] for each in boxes[0]] == [each["label"] for each in boxes[1]]
    np.testing.assert_allclose(
        [each["box"] for each in boxes[0]], [each["box"] for each in boxes[1]], atol=0.1
    )


def test_the_export_of_a_segmenter_with_code_gives_the_same(tmp_path, capsys):
    paint_segmenter(tmp_path)
    status, said = export(tmp_path, "paints", capsys)
    assert status == 0, said.err
    image = np.zeros((50, 90, 3), np.uint8)
    image[:, :40] = (0, 0, 255)
    first, second = (prediction(tmp_path / "paints" / each, image) for each in ("1", "1-onnx"))
    assert np.array_equal(first.image, second.image)


def test_an_operation_that_onnx_does_not_have_is_named(tmp_path, capsys):
    blob_detector(tmp_path)
    status, said = export(tmp_path, "blobs", capsys)
    assert status == 2
    assert "error: torch cannot export it: DispatchError: No ONNX function found for" in said.err
    assert "cummax" in said.err
    assert "\x1b" not in said.err
    assert not (tmp_path / "blobs" / "1-onnx").exists()


def test_a_network_that_torch_exports_for_one_size_only_is_refused(tmp_path, capsys):
    save(tmp_path, "rt_detr")
    status, said = export(tmp_path, "rt_detr", capsys)
    assert status == 2
    assert "torch can export it only for input image of shape (2, 3, 64, 96)" in said.err
    assert not (tmp_path / "rt_detr" / "1-onnx").exists()
