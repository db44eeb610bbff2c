"""What the colorizer trains on: views of photographs, each with a palette of its own.

A view is a crop of a photo at some scale, flipped and changed in colour by chance. All that is
random in a batch follows from (seed, step), so that a training that was stopped goes on as if it
had not been.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from agewell.workers.models.library.colorizer import palette as palettes
from agewell.workers.models.library.colorizer.palette import Floats, Image

SIZES = ((96, 128), (128, 96), (128, 128))
"""Height and width of the views of a batch, in pixels."""
_LEAST_AREA = 0.2
"""Of the photo, that a crop covers."""
_SAMPLE = 1_000
"""Pixels of a view that its palette is made from."""
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Views:
    """A batch to train on; every view of it has as many palette colours as the others."""

    luminance: Floats  # (B, 1, H, W) in [0, 1]
    palette: Floats  # (B, N, 4), see `palette.extract`
    colour: Floats  # (B, 2, H, W): a / 128, b / 128


def read_photos(directory: Path, longest_side: int = 1280) -> list[Image]:
    """Read the photographs of a directory, in order of their names: (H, W, 3) uint8 BGR.

    Raises:
        ValueError: none is there, or one cannot be read.
    """
    paths = sorted(p for p in directory.rglob("*") if p.suffix.lower() in _SUFFIXES)
    if not paths:
        raise ValueError(f"{directory}: no photographs ({', '.join(_SUFFIXES)}) in it")
    return [_read(path, longest_side) for path in paths]


def _read(path: Path, longest_side: int) -> Image:
    # A pipe would keep OpenCV waiting for ever.
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if photo is None:
        raise ValueError(f"{path}: not a photograph that OpenCV can read")
    scale = longest_side / max(photo.shape[:2])
    if scale < 1:
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return photo  # type: ignore[return-value]


def draw(
    photos: Sequence[Image],
    batch_size: int,
    seed: int,
    step: int,
    sizes: Sequence[tuple[int, int]] = SIZES,
) -> Views:
    """Draw the batch of one step of training.

    Args:
        photos: (H, W, 3) uint8 BGR, of any sizes.
        batch_size: how many views.
        seed: of the training.
        step: of the training.
        sizes: (height, width) of views to choose from, multiples of 32.
    """
    rng = np.random.default_rng([seed, step])
    height, width = sizes[int(rng.integers(len(sizes)))]
    colours = 0 if rng.random() < 0.03 else palettes.COLOURS
    if colours and rng.random() < 0.3:
        colours = int(rng.integers(3, 13))
    labs = [_view(photos, height, width, rng) for _ in range(batch_size)]
    luminance = np.stack([lab[..., 0] / 100 for lab in labs])[:, None]
    colour = np.stack([lab[..., 1:].transpose(2, 0, 1) / 128 for lab in labs])
    palette = np.stack([_palette(lab, colours, rng) for lab in labs])
    return Views(luminance.astype(np.float32), palette, colour.astype(np.float32))


def _view(photos: Sequence[Image], height: int, width: int, rng: np.random.Generator) -> Floats:
    """(height, width, 3) float32 CIE Lab."""
    view = _part(photos, height, width, rng)
    if rng.random() < 0.4:  # a busier scene than any single photo is
        view = _joined(view, _part(photos, height, width, rng), rng)
    lab = palettes.to_lab(view)
    if rng.random() < 0.5:  # another exposure
        lab[..., 0] = 100 * (lab[..., 0] / 100) ** np.exp(rng.normal(0, 0.3))
    if rng.random() < 0.5:  # another film
        lab[..., 1:] *= np.exp(rng.normal(0, 0.3))
    if rng.random() < 0.5:  # another world: only the palette can tell
        turn = rng.uniform(-np.pi, np.pi)
        cos, sin = np.cos(turn), np.sin(turn)
        lab[..., 1:] = lab[..., 1:] @ np.array([[cos, sin], [-sin, cos]], np.float32)
    return lab


def _part(photos: Sequence[Image], height: int, width: int, rng: np.random.Generator) -> Image:
    """A crop of one photo, flipped, its colours mixed: (height, width, 3) uint8 BGR."""
    crop = _crop(photos[int(rng.integers(len(photos)))], width / height, rng)
    part = cast(Image, cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA))
    if rng.random() < 0.5:
        part = part[:, ::-1]
    if rng.random() < 0.7:  # other dyes: what was light may be dark, and of another colour
        part = _redyed(part, rng)
    return np.ascontiguousarray(part)


def _joined(one: Image, other: Image, rng: np.random.Generator) -> Image:
    """One picture up to a line across it, another one beyond."""
    turn = rng.uniform(-np.pi, np.pi)
    rows, columns = np.mgrid[-1 : 1 : one.shape[0] * 1j, -1 : 1 : one.shape[1] * 1j]
    beyond = rows * np.sin(turn) + columns * np.cos(turn) > rng.uniform(-0.5, 0.5)
    return np.where(beyond[..., None], other, one)


def _redyed(view: Image, rng: np.random.Generator) -> Image:
    """Mix the channels anew, gray staying gray: a few photos cannot be learned by heart."""
    mix = np.eye(3)[rng.permutation(3)] + rng.normal(0, 0.15, (3, 3))
    mix /= mix.sum(axis=1, keepdims=True)
    return np.clip(view @ mix.T, 0, 255).astype(np.uint8)


def _crop(photo: Image, aspect: float, rng: np.random.Generator) -> Image:
    """Cut out a box of nearly that aspect, of a random size and place."""
    rows, columns = photo.shape[:2]
    aspect *= np.exp(rng.uniform(-0.15, 0.15))
    fit = min(columns / aspect, rows)  # the height of the largest such box
    height = fit * np.sqrt(np.exp(rng.uniform(np.log(_LEAST_AREA), 0)))
    high, wide = max(1, round(height)), max(1, min(columns, round(height * aspect)))
    top, left = rng.integers(rows - high + 1), rng.integers(columns - wide + 1)
    return photo[top : top + high, left : left + wide]


def _palette(lab: Floats, colours: int, rng: np.random.Generator) -> Floats:
    """(colours, 4); a view with fewer colours than that repeats what it has, in smaller shares."""
    if colours == 0:
        return np.zeros((0, 4), np.float32)
    seed = int(rng.integers(2**31))
    found = palettes.extract(lab, colours, sample=_SAMPLE, seed=seed)
    if len(found) == colours:
        return found
    repeated = found[np.arange(colours) % len(found)]
    repeated[:, 3] /= repeated[:, 3].sum()
    return repeated
