"""ResNet-50 in 8 bits: a quarter of the size, and less than half of the time."""

import json

import cv2
import numpy as np
import pytest

from agewell.shared.cores import usable_cores
from agewell.workers.models import device
from agewell.workers.models.export import __main__ as command
from agewell.workers.models.export import int8, parity
from benchmarks.model_files import resnet50

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def one_thread():
    yield
    device.limit_threads(usable_cores())


@pytest.mark.skipif(int8.saturates(), reason="8 bits are only fast with integer instructions")
@pytest.mark.usefixtures("one_thread")
def test_resnet50_in_8_bits_is_small_and_fast(tmp_path, monkeypatch, capsys):
    resnet50(tmp_path)
    rng = np.random.default_rng(5)
    (tmp_path / "photos").mkdir()
    for number in range(10):
        small = rng.integers(0, 256, (9, 12, 3), np.uint8)
        photo = cv2.resize(small, (320, 240), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), photo)
    monkeypatch.setattr(parity, "BATCHES", (2,))
    monkeypatch.setattr(parity, "_TIMED_BATCHES", (4,))
    given = ["resnet50", "--models", str(tmp_path), "--threads", "1", "--int8", "--json"]
    # The classes of random weights say nothing, so any agreement will do. The time is the same.
    given += ["--calibrate", str(tmp_path / "photos"), "--min-agreement", "0"]
    assert command.main(given) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["quantised"]["in_float"] == 0
    assert made["size_bytes"] <= 0.3 * made["float32_bytes"]
    [speed] = made["speeds"]
    assert speed["batch"] == 4
    assert speed["onnx_ms"] <= 0.45 * speed["float32_ms"]
    assert speed["onnx_ms"] <= 0.45 * speed["torch_ms"]
