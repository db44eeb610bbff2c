"""The pixels that results must have, by Pillow, OpenCV and formulas in float64."""

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps


def read(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    image = cv2.imread(str(path), flags)
    assert image is not None, path
    return image


def same(encoded: bytes, expected: np.ndarray) -> bool:
    """True if an encoded image has exactly these pixels."""
    found = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.array_equal(found, expected)


def expected_hsv(encoded: bytes) -> np.ndarray:
    """HSV by Pillow's decoder and OpenCV's conversion. Alpha stays as it is."""
    upright = ImageOps.exif_transpose(Pillow.open(io.BytesIO(encoded)))
    bgr = np.asarray(upright.convert("RGB"))[..., ::-1]
    hsv = cv2.cvtColor(np.ascontiguousarray(bgr), cv2.COLOR_BGR2HSV)
    if "A" in upright.mode or "transparency" in upright.info:
        return np.dstack([hsv, np.asarray(upright.convert("RGBA"))[..., 3]])
    return hsv


def over(
    foreground: np.ndarray,
    background: np.ndarray,
    weight: float | np.ndarray,
    at: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """The documented formula in float64, with halves rounded upwards."""
    expected = background.astype(np.float64)
    rows = slice(at[1], at[1] + len(foreground))
    columns = slice(at[0], at[0] + foreground.shape[1])
    under = expected[rows, columns]
    weight = np.broadcast_to(weight, foreground.shape[:2])[..., None]
    expected[rows, columns] = under + weight * (foreground - under)
    return np.floor(expected + 0.5).astype(np.uint8)
