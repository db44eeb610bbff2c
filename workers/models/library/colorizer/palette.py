"""Palettes, which are the main colours of a photo, and conversions to and from CIE Lab."""

from functools import cache
from typing import TypeVar, cast

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

_BGR_SHARES = (0.072169, 0.715160, 0.212671)
"""Shares of linear blue, green and red in the luminance Y, as in OpenCV's Lab."""
_WHITE = 65535
"""The luminance of white in tables of uint16."""

Floats = NDArray[np.float32]
_Value = TypeVar("_Value", np.uint8, np.float32)


def to_lab(image: Image) -> Floats:
    """Convert a picture to CIE Lab (D65).

    Args:
        image: (H, W, 3) uint8 BGR.

    Returns:
        (H, W, 3) float32: L in [0, 100], a and b in about [-128, 128].
    """
    return cast(Floats, cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2LAB))


def to_lightness(image: Image) -> Floats:
    """Compute only the L of `to_lab`, in a quarter of the time and a third of the memory.

    L depends only on the luminance Y, which is a sum over the channels, so tables are enough. They
    are made from `to_lab`: grays have the same L, and colours differ by less than 0.17.

    Args:
        image: (H, W, 3) uint8 BGR.

    Returns:
        (H, W) float32, L in [0, 100].
    """
    luminance, lightness = _tables()
    blue, green, red = map(cv2.LUT, cv2.split(image), luminance)
    return cast(Floats, cv2.LUT(cv2.add(cv2.add(blue, green), red), lightness))


@cache
def _tables() -> tuple[list[NDArray[np.uint16]], Floats]:
    """Make the tables of `to_lightness`.

    OpenCV rounds sRGB values to 14 bits and cuts them to 9 before it computes L. The colorizer was
    trained with that L, so the tables do the same. An exact L would colour a few pixels of a photo
    differently, by up to 7 gray levels.

    Returns:
        For blue, green and red: value -> its share of Y, (256,) uint16. For white, the shares add
        up to 65,535. Then Y -> L, (65536,) float32.

    Source: IEC 61966-2-1 (sRGB).
    """
    cut = np.rint(np.arange(256) / 255 * 2**14) // 2**5 / 2**9
    linear = np.where(cut <= 0.04045, cut / 12.92, ((cut + 0.055) / 1.055) ** 2.4)
    shares = [np.rint(_WHITE * share * linear).astype(np.uint16) for share in _BGR_SHARES]
    grays = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3)
    of_grays = to_lab(grays)[0, :, 0]
    lightness = np.interp(np.arange(_WHITE + 1), sum(shares), of_grays)
    return shares, lightness.astype(np.float32)


def to_bgr(lab: Floats) -> Image:
    """Convert CIE Lab (D65) to a picture. Colours outside sRGB are clipped.

    Args:
        lab: (H, W, 3) float32.

    Returns:
        (H, W, 3) uint8 BGR, rounded to nearest.
    """
    bgr = cv2.cvtColor(lab, cv2.COLOR_LAB2BGR)  # (H, W, 3) float32, clipped to [0, 1]
    return cast(Image, cv2.convertScaleAbs(bgr, alpha=255))


def of_photo(photo: Image) -> Floats:
    """Find a photo's main colours: `extract` of its Lab, but converts only the pixels drawn.

    Args:
        photo: (H, W, 3) uint8 BGR.

    Returns:
        (N, 4) float32, as `extract` returns it.
    """
    return extract(to_lab(_draw(photo.reshape(-1, 3), _SAMPLE, _SEED)[None]))


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
    pixels = _draw(lab.reshape(-1, 3), sample, seed).astype(np.float32) * _APART
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


def _draw(pixels: NDArray[_Value], sample: int, seed: int) -> NDArray[_Value]:
    """Draw at most `sample` rows of (N, 3) pixels. The draw depends only on N and the seed."""
    if len(pixels) <= sample:
        return pixels
    return pixels[np.random.default_rng(seed).choice(len(pixels), sample, replace=False)]


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
