"""Pictures as Pillow and ImageMagick read them: (H, W, 4) uint8, RGB and straight alpha."""

import io
import subprocess
import warnings

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from tests.support.programs import require


def by_pillow(data: bytes) -> np.ndarray:
    """The first picture of a file, upright, as Pillow reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Pillow.open(io.BytesIO(data))
        image.load()
        return np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))


def by_imagemagick(data: bytes, suffix: str) -> np.ndarray:
    """The first picture of a file, upright, as Debian's ImageMagick reads it."""
    convert = require("convert")
    # The size comes from ImageMagick too: a PAM file says it.
    command = [convert, f"{suffix}:-[0]", "-auto-orient", "-alpha", "set", "-depth", "8", "pam:-"]
    done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)
    header, _, pixels = done.stdout.partition(b"ENDHDR\n")
    said = dict(line.split() for line in header.decode().splitlines()[1:] if line)
    width, height, depth = (int(said[key]) for key in ("WIDTH", "HEIGHT", "DEPTH"))
    found = np.frombuffer(pixels, np.uint8).reshape(height, width, depth)
    gray_and_alpha = depth == 2
    return found[..., [0, 0, 0, 1]] if gray_and_alpha else found


def as_rgba(image: np.ndarray) -> np.ndarray:
    """(H, W, 4) RGBA of a picture in OpenCV's order: gray, BGR or BGRA."""
    if image.ndim == 2:
        image = np.dstack([image] * 3)
    if image.shape[2] == 3:
        image = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    return image[..., [2, 1, 0, 3]]
