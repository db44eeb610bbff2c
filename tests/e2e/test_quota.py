"""A stack in a real cgroup with a quota: its workers run and compute with that many cores."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from tests.support.cgroups import real_group
from tests.support.model_files import version_directory
from tests.support.paths import PHOTOS
from tests.support.stack import COMMAND, Stack, state_directory

COUNTING = """
import numpy as np
import torch
from agewell.workers.models import threads
from agewell.workers.models.model import Model, Prediction


class Counting(Model):
    \"\"\"Tells the threads of a pass, as torch and onnxruntime are given them.\"\"\"

    def load(self, device):
        pass

    def size_bytes(self):
        return 0

    def preprocess(self, image, parameters):
        return {"x": np.zeros(1, np.float32)}

    def forward(self, batch, taps=()):
        counts = [torch.get_num_threads(), threads.count()]
        return {"counts": np.array([counts] * len(batch["x"]), np.float32)}

    def postprocess(self, output, image, parameters):
        return Prediction(values={"threads": output["counts"].tolist()})
"""

OPERATION = '''
import cv2
import numba
import numpy as np
from agewell import Image, operation


@operation
def count_threads(image: Image) -> Image:
    """Paint the threads of OpenCV and of numba as blue and green."""
    return np.full((1, 1, 3), (cv2.getNumThreads(), numba.get_num_threads(), 0), np.uint8)
'''


@pytest.fixture
def in_one_core(tmp_path: Path) -> Iterator[Stack]:
    """A stack in a group of one core, on a machine of several."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core: no quota can lower it")
    directory = version_directory(
        tmp_path / "models",
        "counting",
        "1",
        task="classification",
        kind="torch",
        model_class="./model.py:Counting",
    )
    (directory / "model.py").write_text(COUNTING)
    (tmp_path / "ops.py").write_text(OPERATION)
    settings = {"models_dir": tmp_path / "models", "operations": tmp_path / "ops.py"}
    with real_group(100_000, 100_000) as members, state_directory() as folder:
        entering = ("sh", "-c", 'echo $$ > "$0"; exec "$@"', str(members), str(COMMAND))
        stack = type("InGroup", (Stack,), {"command": entering})(folder, **settings)
        try:
            yield stack.wait_ready()
            stack.stop()
        finally:
            stack.end()
            stack.forget()


@pytest.mark.slow
def test_workers_in_a_group_of_one_core_use_one_thread(in_one_core: Stack, tmp_path: Path):
    assert len(in_one_core.pool) == 1  # processes of the cv worker that run jobs
    photo = PHOTOS / "bird.jpg"
    done = in_one_core.ok("enqueue", "infer", "counting", photo, "--wait", "--json")
    [item] = json.loads(done.stdout)["items"]
    assert item["prediction"]["threads"] == [1, 1]
    in_one_core.ok("enqueue", "count_threads", photo, "--out", tmp_path / "out")
    [painted] = (tmp_path / "out").iterdir()
    assert cv2.imread(str(painted))[0, 0].tolist() == [1, 1, 0]
