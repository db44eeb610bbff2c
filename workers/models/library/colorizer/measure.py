"""Measures of coloured photos: PSNR over a and b, colourfulness, and simpler methods to compare.

PSNR compares with OpenCV's 8-bit Lab: 10 log10(255^2 / mean squared error), over a and b together,
at the photo's full size.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from agewell.workers.imaging.image import Image
from agewell.workers.models.library.colorizer import palette as palettes
from agewell.workers.models.library.colorizer.model import recolour
from agewell.workers.models.library.colorizer.palette import Floats

_SIGMA = 8.0
"""Sigma of the closed formula, in units of CIE L."""

Colour = Callable[[Floats, Floats], Floats]
"""A method to colour photos: L (H, W) in [0, 100] and a palette (N, 4) -> a and b, (H, W, 2)."""


def psnr_ab(photo: Image, ab: Floats) -> float:
    """Compute the PSNR of colours, compared with a photo's own colours.

    Args:
        photo: (H, W, 3) uint8 BGR.
        ab: (H, W, 2) float, CIE a and b.

    Returns:
        dB; infinite if all colours are equal.
    """
    own = cv2.cvtColor(photo, cv2.COLOR_BGR2LAB)[..., 1:].astype(np.float64) - 128
    error = float(np.mean((own - ab) ** 2))
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def colourfulness(image: Image) -> float:
    """Compute how colourful a picture looks.

    Args:
        image: (H, W, 3) uint8 BGR.

    Returns:
        0 for a gray picture, about 15 for slightly, 45 for quite and 80 for highly colourful.

    Source: Hasler and Süsstrunk, "Measuring colourfulness in natural images", SPIE 5007, 2003.
    """
    blue, green, red = np.moveaxis(image.astype(np.float64), -1, 0)
    rg, yb = red - green, (red + green) / 2 - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def mean_psnr(photos: Sequence[Image], network: Colour) -> float:
    """Return a network's mean PSNR over photos in dB. Each photo is given its own palette.

    Args:
        photos: (H, W, 3) uint8 BGR, at least one.
        network: the method to measure.
    """
    reached = []
    for photo in photos:
        lab = palettes.to_lab(photo)
        reached.append(psnr_ab(photo, network(lab[..., 0], palettes.extract(lab))))
    return round(sum(reached) / len(reached), 3)


def table(
    photos: Sequence[Image], network: Colour, constant: Floats
) -> dict[str, dict[str, float]]:
    """Compare a network with simpler methods, and with the best result that a palette allows.

    Args:
        photos: (H, W, 3) uint8 BGR. Each photo is given its own palette.
        network: the method to measure.
        constant: (N, 4), one palette for all photos. The network is measured with it as well.

    Returns:
        Means over the photos: {method: {"psnr_ab", "colourfulness"}}.
    """
    rows: dict[str, list[tuple[float, float]]] = {}
    for photo in photos:
        lab = palettes.to_lab(photo)
        palette = palettes.extract(lab)
        ways = {
            **_simpler(lab, palette),
            "network, constant palette": network(lab[..., 0], constant),
            "network": network(lab[..., 0], palette),
            "nearest palette colour (ceiling)": _nearest(lab, palette),
            "the photo itself": lab[..., 1:],
        }
        for name, ab in ways.items():
            measured = (psnr_ab(photo, ab), colourfulness(recolour(photo, ab)))
            rows.setdefault(name, []).append(measured)
    means = {name: np.mean(values, axis=0) for name, values in rows.items()}
    return {
        name: {"psnr_ab": round(float(psnr), 2), "colourfulness": round(float(colour), 1)}
        for name, (psnr, colour) in means.items()
    }


def _simpler(lab: Floats, palette: Floats) -> dict[str, Floats]:
    """Colour a photo by methods without a network: (H, W, 2) each."""
    ab = lab[..., 1:]
    return {
        "gray": np.zeros_like(ab),
        "mean colour": np.broadcast_to(ab.mean(axis=(0, 1)), ab.shape),
        "closed formula": closed_formula(lab[..., 0], palette),
        "best function of L": _best_function_of_luminance(lab),
    }


def closed_formula(lightness: Floats, palette: Floats) -> Floats:
    """Mix the palette by luminance: softmax of log share - (L - L_i)^2 / (2 * 8^2).

    Args:
        lightness: (H, W), L in [0, 100].
        palette: (N, 4), see `palette.extract`.

    Returns:
        (H, W, 2), CIE a and b.
    """
    apart = lightness[..., None] - 100 * palette[:, 0]  # (H, W, N)
    logits = np.log(palette[:, 3]) - apart**2 / (2 * _SIGMA**2)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights @ (128 * palette[:, 1:3])  # type: ignore[no-any-return]


def _best_function_of_luminance(lab: Floats) -> Floats:
    """Colour pixels by the mean colour of all pixels with the same 8-bit L.

    No other function of L alone has a smaller squared error.
    """
    level = np.rint(lab[..., 0] * 2.55).astype(np.intp)
    counts = np.maximum(np.bincount(level.ravel(), minlength=256), 1)
    means = [
        np.bincount(level.ravel(), lab[..., channel].ravel(), minlength=256) / counts
        for channel in (1, 2)
    ]
    return np.stack([mean[level] for mean in means], axis=-1).astype(np.float32)


def _nearest(lab: Floats, palette: Floats) -> Floats:
    colours = 128 * palette[:, 1:3]  # (N, 2)
    apart = ((lab[..., None, 1:] - colours) ** 2).sum(axis=-1)  # (H, W, N)
    nearest: Floats = colours[apart.argmin(axis=-1)]
    return nearest
