"""Images of another size, by Pillow and by formulas in float64."""

import numpy as np
from PIL import Image as Pillow

FILTERS = {
    "lanczos": Pillow.Resampling.LANCZOS,
    "linear": Pillow.Resampling.BILINEAR,
    "nearest": Pillow.Resampling.NEAREST,
}


def by_pillow(image: np.ndarray, size: tuple[int, int], by: str) -> np.ndarray:
    """Resample (H, W) or (H, W, 3) uint8 to a width and a height. The result is uint8."""
    return np.asarray(Pillow.fromarray(image).resize(size, FILTERS[by]))


def by_coverage(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mean of the area that each pixel of the result covers, in float64."""
    rows = coverage(len(image), size[1])
    columns = coverage(image.shape[1], size[0])
    return np.einsum("yh,hw...,xw->yx...", rows, image.astype(float), columns)


def coverage(given: int, wanted: int) -> np.ndarray:
    """(wanted, given): the part of each pixel of the result that a given pixel covers."""
    edges = np.arange(wanted + 1) * given / wanted
    starts, ends = edges[:-1, None], edges[1:, None]
    pixels = np.arange(given)
    overlap = np.minimum(ends, pixels + 1) - np.maximum(starts, pixels)
    return np.clip(overlap, 0, None) * wanted / given


def with_alpha(image: np.ndarray, resampled) -> tuple[np.ndarray, np.ndarray]:
    """Apply a function to the premultiplied planes of (H, W, 4) BGR with straight alpha.

    Args:
        image: uint8.
        resampled: takes a (H, W) float32 plane and returns another.

    Returns:
        (H', W', 3) colours, not rounded, and (H', W') alpha, not rounded. If alpha is 0,
        the colours have no meaning.
    """
    weight = image[..., 3] / 255
    planes = [resampled((image[..., i] * weight).astype(np.float32)) for i in range(3)]
    alpha = resampled(image[..., 3].astype(np.float32)).astype(float)
    with np.errstate(all="ignore"):
        return np.dstack(planes).astype(float) * 255 / alpha[..., None], alpha


def plane_by_pillow(size: tuple[int, int], by: str):
    """Return a function that resamples one plane of float32."""
    return lambda plane: np.asarray(Pillow.fromarray(plane, "F").resize(size, FILTERS[by]))


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of two images of uint8, in dB."""
    return 10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2))
