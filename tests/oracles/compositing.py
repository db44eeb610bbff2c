"""Porter and Duff's "over" in float64, with straight alpha and unrounded."""

import numpy as np


def over(
    foreground: np.ndarray, background: np.ndarray, opacity: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Composite images of 1, 3 or 4 channels of the same size.

    Returns:
        The colours (H, W, 3), not a number if there is no alpha, and the alpha (H, W); 0 to 255.
    """
    front, front_alpha = _split(foreground)
    back, back_alpha = _split(background)
    front_alpha = front_alpha * opacity
    alpha = front_alpha + back_alpha - front_alpha * back_alpha
    premultiplied = front * front_alpha + back * back_alpha * (1 - front_alpha)
    with np.errstate(invalid="ignore"):
        return premultiplied / alpha, 255 * alpha[..., 0]


def _split(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (H, W, 3) colours of 0 to 255, and (H, W, 1) alpha of 0 to 1."""
    values = image.astype(np.float64)
    if image.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    if values.shape[2] == 3:
        return values, np.ones((*values.shape[:2], 1))
    return values[..., :3], values[..., 3:] / 255
