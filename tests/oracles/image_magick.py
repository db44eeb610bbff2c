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
        The result in float64, 0..255, with as many channels as the image. It comes as a PNG of 16
        bits: a file of 8 bits cuts the digits after the point off.
    """
    kind = {2: "png", 3: f"png{16 * image.shape[-1]}"}[image.ndim]  # png48 or png64
    done, encoded = cv2.imencode(".png", image)
    assert done
    # Without the chunk gAMA, which ImageMagick would make use of.
    command = ["convert", "png:-", *options, "-depth", "16", "-define", "png:exclude-chunk=all"]
    run = subprocess.run([*command, f"{kind}:-"], input=encoded.tobytes(), capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    flags = cv2.IMREAD_UNCHANGED
    if image.ndim == 2:
        flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
    found = cv2.imdecode(np.frombuffer(run.stdout, np.uint8), flags)
    assert found is not None
    assert found.dtype in (np.uint8, np.uint16)  # it writes 8 bits if they hold all
    return found / (257 if found.dtype == np.uint16 else 1)
