"""ImageMagick 6 as an oracle: it computes with 16 bits a channel and rounds at the end."""

import shutil
import subprocess

import cv2
import numpy as np
import pytest

needs_image_magick = pytest.mark.skipif(
    shutil.which("convert") is None, reason="ImageMagick's `convert` is not installed"
)


def convert(image: np.ndarray, *options: str) -> np.ndarray:
    """Run ``convert`` with these options on an image.

    Args:
        image: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8.
        options: such as ``-gamma``, ``2.2``.

    Returns:
        The result, with as many channels as the image.
    """
    kind = {2: "png", 3: f"png{8 * image.shape[-1]}"}[image.ndim]  # png24 and png32 keep channels
    done, encoded = cv2.imencode(".png", image)
    assert done
    # A gamma of its own would make ImageMagick treat a gray PNG as linear.
    command = ["convert", "png:-", *options, "-depth", "8", "-define", "png:exclude-chunk=all"]
    run = subprocess.run([*command, f"{kind}:-"], input=encoded.tobytes(), capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    flags = cv2.IMREAD_GRAYSCALE if image.ndim == 2 else cv2.IMREAD_UNCHANGED
    found = cv2.imdecode(np.frombuffer(run.stdout, np.uint8), flags)
    assert found is not None
    return found
