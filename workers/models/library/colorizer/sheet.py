"""Sheets of photos, each in gray, coloured, and as it is."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from agewell.workers.imaging.image import Image
from agewell.workers.models.library.colorizer import palette as palettes
from agewell.workers.models.library.colorizer.measure import Colour
from agewell.workers.models.library.colorizer.model import recolour
from agewell.workers.models.library.colorizer.palette import Floats

_CELL_WIDTH, _GAP, _SWATCH = 300, 6, 18


def save(photos: Sequence[Image], network: Colour, path: Path, pairs_a_row: int = 2) -> None:
    """Write a sheet as JPEG: each photo in gray, coloured by its own palette, and as it is.

    The palette is drawn below the coloured photo.

    Args:
        photos: (H, W, 3) uint8 BGR, at least one.
        network: the method to colour them.
        path: of the JPEG.
        pairs_a_row: number of photos in a row.
    """
    cells = [_row(photo, network) for photo in photos]
    height = max(cell.shape[0] for cell in cells)
    cells = [_padded(cell, height - cell.shape[0], 3 * _GAP) for cell in cells]
    while len(cells) % pairs_a_row:
        cells.append(np.full_like(cells[0], 255))
    rows = [
        np.hstack(cells[start : start + pairs_a_row]) for start in range(0, len(cells), pairs_a_row)
    ]
    cv2.imwrite(str(path), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 75])


def _row(photo: Image, network: Colour) -> Image:
    lab = palettes.to_lab(photo)
    palette = palettes.extract(lab)
    gray = recolour(photo, np.zeros_like(lab[..., 1:]))
    coloured = recolour(photo, network(lab[..., 0], palette))
    pictures = [_fit(picture) for picture in (gray, coloured, photo)]
    blank = np.full((_SWATCH, _CELL_WIDTH, 3), 255, np.uint8)
    below = [blank, _swatches(palette), blank]
    columns = [np.vstack(pair) for pair in zip(pictures, below, strict=True)]
    return np.hstack([_padded(column, _GAP, _GAP) for column in columns])


def _padded(picture: Image, below: int, right: int) -> Image:
    return np.pad(picture, ((0, below), (0, right), (0, 0)), constant_values=255)


def _fit(picture: Image) -> Image:
    height = round(picture.shape[0] * _CELL_WIDTH / picture.shape[1])
    cell = cv2.resize(picture, (_CELL_WIDTH, height), interpolation=cv2.INTER_AREA)
    landscape = round(_CELL_WIDTH * 2 / 3)
    if height <= landscape:
        return cell  # type: ignore[return-value]
    top = (height - landscape) // 3  # of a portrait, keep more of the upper part
    return cell[top : top + landscape]  # type: ignore[return-value]


def _swatches(palette: Floats) -> Image:
    colours = palettes.to_rgb(palette)[:, ::-1]
    edges = np.linspace(0, _CELL_WIDTH, len(colours) + 1).astype(int)
    strip = np.empty((_SWATCH, _CELL_WIDTH, 3), np.uint8)
    for colour, left, right in zip(colours, edges[:-1], edges[1:], strict=True):
        strip[:, left:right] = colour
    return strip
