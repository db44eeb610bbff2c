"""The colorizer's model class: it colours a photo from its luminance and a palette."""

import re
from typing import cast

import cv2
import numpy as np

from agewell.workers.imaging.image import Image
from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.input_spec import InputSpec
from agewell.workers.models.library.colorizer import palette as palettes
from agewell.workers.models.library.colorizer.palette import Floats
from agewell.workers.models.model import Model, Parameters, Prediction
from agewell.workers.models.preprocess import fitting_size

_ROWS = 32
"""Rows converted at a time, so that intermediate values stay in the cache."""
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


class ColorModel(Model):
    """Colours photos. Only the luminance of a photo is used, even if it has colours.

    The palette comes from the job: named colours, or those of a reference photo. The default is
    that of model.yaml: `options: {palette: ["#rrggbb", ...]}`.
    """

    parameters = frozenset({"palette", "reference"})

    def sample_parameters(self, image: Image) -> Parameters:
        """Return the photo itself as the reference of its palette."""
        return {"reference": image}

    def preprocess(self, image: Image, parameters: Parameters) -> dict[str, Array]:
        """Return `luminance`, (1, h, w) float32 in [0, 1], and `palette`, (N, 4) float32.

        See `palette.extract` for the palette.
        """
        luminance = shrink(palettes.to_lightness(image), self.spec.input)
        return {"luminance": luminance, "palette": self._palette(parameters)}

    def postprocess(self, output: Arrays, image: Image, parameters: Parameters) -> Prediction:
        """Return the coloured photo, with its own luminance at full resolution."""
        del parameters
        colour = next(iter(output.values()))  # (2, h, w)
        return Prediction(image=recolour(image, enlarge(colour, *image.shape[:2])))

    def _palette(self, parameters: Parameters) -> Floats:
        if (named := parameters.get("palette")) is not None and len(named):
            return palettes.from_rgb(named)
        if (reference := parameters.get("reference")) is not None:
            return palettes.of_photo(reference)
        return palettes.from_rgb(_rgb(self.spec.options.get("palette", ())))


def _rgb(colours: tuple[str, ...]) -> Image:
    """Convert texts like "#rrggbb" to colours, (N, 3) uint8 RGB."""
    for colour in colours:
        if not _HEX.fullmatch(colour):
            raise ValueError(f"options.palette: {colour!r} is not a colour such as #d08040")
    return np.array([list(bytes.fromhex(c[1:])) for c in colours], np.uint8).reshape(-1, 3)


def shrink(lightness: Floats, spec: InputSpec) -> Floats:
    """Resize luminance to the network's input size.

    Args:
        lightness: (H, W) float32, CIE L in [0, 100].
        spec: `max_side` and `multiple` are used.

    Returns:
        (1, h, w) float32 in [0, 1].
    """
    rows, columns = fitting_size(lightness.shape[0], lightness.shape[1], spec)
    small = cv2.resize(lightness, (columns, rows), interpolation=cv2.INTER_AREA)
    scaled: Floats = small.astype(np.float32) / np.float32(100)
    return scaled[None]


def enlarge(colour: Floats, height: int, width: int) -> Floats:
    """Resize the network's output to a photo's size, by bilinear interpolation.

    On the Kodak suite, bilinear interpolation from 192 pixels reaches 44 dB, and a guided filter
    that follows L reaches 41 dB, because edges of colour are often not edges of luminance.

    Args:
        colour: (2, h, w) float32, a / 128 and b / 128.
        height: px, of the photo.
        width: px, of the photo.

    Returns:
        (height, width, 2) float32, CIE a and b.
    """
    planes = np.ascontiguousarray(128 * colour.transpose(1, 2, 0))
    return cast(Floats, cv2.resize(planes, (width, height), interpolation=cv2.INTER_LINEAR))


def recolour(photo: Image, ab: Floats) -> Image:
    """Replace a photo's colours and keep its luminance.

    Args:
        photo: (H, W, 3) uint8 BGR.
        ab: (H, W, 2) float, CIE a and b.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    coloured = np.empty(photo.shape, np.uint8)
    for top in range(0, len(photo), _ROWS):
        rows = slice(top, top + _ROWS)
        colour = np.ascontiguousarray(ab[rows], np.float32)
        lab = cv2.merge([palettes.to_lightness(photo[rows]), colour])
        coloured[rows] = palettes.to_bgr(cast(Floats, lab))
    return coloured
