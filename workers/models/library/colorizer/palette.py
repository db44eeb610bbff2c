"""Palettes, which are the main colours of a photo, and conversions to and from CIE Lab."""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from agewell.workers.imaging.image import Image

COLOURS = 8
_SAMPLE = 20_000
"""Pixels of a photo from which its palette is computed."""
_SEED = 1
_LAB_SCALE = np.array([100, 128, 128], np.float32)
_APART = np.array([2, 1, 1], np.float32)
"""Weights of differences in L, a and b. L counts twice, because the network has only luminance to
tell colours apart."""

Floats = NDArray[np.float32]


def to_lab(image: Image) -> Floats:
    """Convert a picture to CIE Lab (D65).

    Args:
        image: (H, W, 3) uint8 BGR.

    Returns:
        (H, W, 3) float32: L in [0, 100], a and b in about [-128, 128].
    """
    return cast(Floats, cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2LAB))


def to_bgr(lab: Floats) -> Image:
    """Convert CIE Lab (D65) to a picture. Colours outside sRGB are clipped.

    Args:
        lab: (H, W, 3) float32.

    Returns:
        (H, W, 3) uint8 BGR, rounded to nearest.
    """
    bgr = cv2.cvtColor(lab, cv2.COLOR_LAB2BGR)  # (H, W, 3) float32, clipped to [0, 1]
    return cast(Image, cv2.convertScaleAbs(bgr, alpha=255))


def extract(
    lab: Floats, colours: int = COLOURS, sample: int = _SAMPLE, seed: int = _SEED
) -> Floats:
    """Find a photo's main colours by k-means of its pixels in CIE Lab, with L counted twice.

    Args:
        lab: (..., 3) float32 CIE Lab.
        colours: number of colours. Fewer are returned if the photo has fewer.
        sample: number of pixels to use, at most, drawn at random.
        seed: of the draw and of k-means. The same photo always has the same palette.

    Returns:
        (N, 4) float32, the largest share first: L / 100, a / 128, b / 128, share in (0, 1].
    """
    pixels = lab.reshape(-1, 3)
    if len(pixels) > sample:
        pixels = pixels[np.random.default_rng(seed).choice(len(pixels), sample, replace=False)]
    pixels = pixels.astype(np.float32) * _APART
    colours = min(colours, len(pixels))
    cv2.setRNGSeed(seed)
    stop = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 30, 0.1)
    labels = np.zeros((len(pixels), 1), np.int32)
    _, labels, centres = cv2.kmeans(  # type: ignore[assignment]
        pixels, colours, labels, stop, 1, cv2.KMEANS_PP_CENTERS
    )
    shares = np.bincount(labels.ravel(), minlength=colours) / len(pixels)
    order = np.argsort(-shares, kind="stable")
    order = order[shares[order] > 0]
    palette = np.concatenate([centres / (_APART * _LAB_SCALE), shares[:, None]], axis=1)
    return palette[order].astype(np.float32)


def from_rgb(colours: NDArray[np.uint8]) -> Floats:
    """Make a palette of colours, all with the same share.

    Args:
        colours: (N, 3) uint8 sRGB. N may be 0.

    Returns:
        (N, 4) float32, as `extract` returns it.
    """
    if len(colours) == 0:
        return np.zeros((0, 4), np.float32)
    lab = to_lab(np.ascontiguousarray(colours[None, :, ::-1]))[0]  # (N, 3)
    shares = np.full((len(lab), 1), 1 / len(lab), np.float32)
    return np.concatenate([lab / _LAB_SCALE, shares], axis=1).astype(np.float32)


def to_rgb(palette: Floats) -> NDArray[np.uint8]:
    """Convert a palette to colours for display: (N, 4) -> (N, 3) uint8 sRGB."""
    return np.ascontiguousarray(to_bgr(palette[None, :, :3] * _LAB_SCALE)[0, :, ::-1])
