"""Packages of a user's with operations, outside the repository: the one of docs/operations.md."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from tests.support.paths import PHOTOS, ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()
_SAVED = re.compile(r"`([\w./]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def saved_files() -> dict[str, str]:
    """The files that the page tells its reader to save. What it adds to one comes at its end."""
    found: dict[str, str] = {}
    for name, text in _SAVED.findall(PAGE):
        found[name] = f"{found[name]}\n\n{text}" if name in found else text
    return found


def programs() -> list[str]:
    """The Python programs of the page that are not saved."""
    saved = [text for _, text in _SAVED.findall(PAGE)]
    return [text for text in _PYTHON.findall(PAGE) if text not in saved]


def make_folder(folder: Path) -> Path:
    """Make the folder of a reader who has done what the page says, with photos and a logo."""
    for name, text in saved_files().items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (folder / "photos").mkdir()
    for name in ("bird.jpg", "jellyfish.jpg"):
        shutil.copy(PHOTOS / name, folder / "photos")
    logo = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    cv2.imwrite(str(folder / "logo.png"), logo)
    return folder


def install(folder: Path, site: Path) -> None:
    """Install the package of a folder into a directory for PYTHONPATH, without a network."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--no-index", "--target", str(site), str(folder)),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )


def expected_sepia(image: np.ndarray, strength: float) -> np.ndarray:
    """Microsoft's sepia, channel by channel in float64, mixed with the image itself."""
    blue, green, red = np.moveaxis(image.astype(np.float64), -1, 0)
    brown = [
        0.272 * red + 0.534 * green + 0.131 * blue,
        0.349 * red + 0.686 * green + 0.168 * blue,
        0.393 * red + 0.769 * green + 0.189 * blue,
    ]
    mixed = strength * np.stack(brown, -1) + (1 - strength) * image
    return np.clip(np.rint(mixed), 0, 255)
