"""Rotation by the formulas of cubic convolution, in float64."""

import math

import numpy as np

CUBIC = -0.75
"""The free number of Keys' cubic convolution. OpenCV has chosen this one."""


def rotated(plane: np.ndarray, angle: float, size: tuple[int, int], fill: float) -> np.ndarray:
    """Rotate one plane clockwise about its middle.

    Args:
        plane: (H, W).
        angle: degrees.
        size: width and height of the result. Its middle is that of the plane.
        fill: the value of all pixels outside of the plane.

    Returns:
        Float64, neither rounded nor clipped.
    """
    height, width = plane.shape
    rows, columns = np.mgrid[: size[1], : size[0]].astype(float)
    right, down = columns - (size[0] - 1) / 2, rows - (size[1] - 1) / 2
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    # Turned back, counterclockwise. y points down.
    x = cosine * right + sine * down + (width - 1) / 2
    y = -sine * right + cosine * down + (height - 1) / 2
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    result = np.zeros(x.shape)
    for row in range(-1, 3):
        for column in range(-1, 3):
            inside = (top + row >= 0) & (top + row < height)
            inside &= (left + column >= 0) & (left + column < width)
            at = np.clip(top + row, 0, height - 1), np.clip(left + column, 0, width - 1)
            value = np.where(inside, plane[at], fill)
            result += value * cubic(x - left - column) * cubic(y - top - row)
    return result


def cubic(distance: np.ndarray) -> np.ndarray:
    """The kernel of cubic convolution. Source: Keys 1981, equation 15 with a free number."""
    d = np.abs(distance)
    near = (CUBIC + 2) * d**3 - (CUBIC + 3) * d**2 + 1
    far = CUBIC * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0))
