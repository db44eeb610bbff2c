"""The engine's threads: passes have as many as the settings say, whichever thread runs them."""

import os
import subprocess
import sys

from tests.support.model_files import version_directory
from tests.support.paths import ROOT

TELLING = """
import ctypes
import torch

mapped = [line.split()[-1] for line in open("/proc/self/maps")]
[library] = {path for path in mapped if "omp" in path.rpartition("/")[2]}


class Telling(torch.nn.Module):
    def forward(self, image):
        # Asked of OpenMP itself: torch's own functions would set it first.
        print("omp", ctypes.CDLL(library).omp_get_max_threads())
        return image


def make():
    return Telling()
"""

PROGRAM = """
import sys, threading
from pathlib import Path
from agewell.shared.settings import Settings
from agewell.workers.process import runtime
settings = Settings(models_dir=Path(sys.argv[1]), concurrency=64, infer_threads=3)
runtime.prepare(settings)
from agewell.workers.inference.batching.queue import Request
from agewell.workers.inference.engine import start_engine
engine = start_engine(settings)
loading = threading.Thread(target=engine.registry.load, args=("telling",))
loading.start()
loading.join()
print("loaded")
with engine.registry.lease("telling") as model, engine.batcher.working():
    future = engine.batcher.submit(Request(model, model.example(), 64, (5, 0.0)))
    with engine.batcher.waiting():
        future.result(30)
"""


def test_loading_and_passes_use_the_threads_of_the_settings(tmp_path):
    """A cv worker's share of one thread is in the environment, as `prepare` sets it."""
    directory = version_directory(
        tmp_path, "telling", "1", task="image", kind="torch", entry="./model.py:make"
    )
    (directory / "model.py").write_text(TELLING)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    loading, passes = done.stdout.split("loaded\n")
    assert set(loading.splitlines()) == set(passes.splitlines()) == {"omp 3"}
