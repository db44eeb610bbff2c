"""The formulas of the operations adjust and sharpen in float64, unrounded."""

import numpy as np


def by_tone(values: np.ndarray, brightness: float, contrast: float, gamma: float) -> np.ndarray:
    """Brightness, contrast and gamma of values of 0 to 255."""
    brighter = brightness * values.astype(np.float64)
    contrasted = np.clip(127.5 + contrast * (brighter - 127.5), 0.0, 255.0)
    return 255.0 * np.power(contrasted / 255.0, 1.0 / gamma)


def by_saturation(bgr: np.ndarray, saturation: float) -> np.ndarray:
    """Mix the colours of (H, W, 3) with their luma of Rec. 601."""
    blue, green, red = np.moveaxis(bgr.astype(np.float64), 2, 0)
    luma = (0.299 * red + 0.587 * green + 0.114 * blue)[..., None]
    return np.clip(luma + saturation * (bgr - luma), 0.0, 255.0)


def sharpened(bgr: np.ndarray, blurred: np.ndarray, amount: float) -> np.ndarray:
    """Add the difference from a blurred image, which is not rounded."""
    return np.clip(bgr + amount * (bgr - blurred), 0.0, 255.0)
