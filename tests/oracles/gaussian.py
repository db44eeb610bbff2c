"""The Gaussian blur of an image in float64, by its formula and with no shortcut."""

import numpy as np


def blurred(plane: np.ndarray, sigma: float) -> np.ndarray:
    """Blur (H, W) with a Gaussian that ends at 6 sigma. Outside, the edge pixels repeat."""
    return _along_rows(_along_rows(plane.astype(np.float64), sigma).T, sigma).T


def _along_rows(plane: np.ndarray, sigma: float) -> np.ndarray:
    width = plane.shape[1]
    reach = int(6 * sigma) + 1
    weights = np.exp(-((np.arange(-reach, reach + 1.0)) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    # Each column of the matrix has the weights of all pixels of a row for one pixel of the result.
    matrix = np.zeros((width, width))
    for x in range(width):
        sources = np.clip(np.arange(x - reach, x + reach + 1), 0, width - 1)
        np.add.at(matrix[:, x], sources, weights)
    return plane @ matrix


def blurred_channels(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur (H, W) or (H, W, 3)."""
    if image.ndim == 2:
        return blurred(image, sigma)
    return np.dstack([blurred(plane, sigma) for plane in np.moveaxis(image, 2, 0)])


def blurred_with_alpha(image: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Blur (H, W, 4) with straight alpha: its colours weighted by alpha, and its alpha.

    The colours are not a number if there is no alpha within reach.
    """
    alpha = image[..., 3].astype(np.float64)
    weight = blurred(alpha, sigma)
    sums = blurred_channels(image[..., :3] * alpha[..., None], sigma)
    with np.errstate(invalid="ignore"):
        return sums / weight[..., None], weight
