"""Batches of crops of photographs to train the colorizer on, each crop with its own palette.

A crop is a part of a photo at a random scale, with random flips and colour changes. All random
numbers of a batch are derived from (seed, step), so a resumed training has the same batches as one
that was never stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from agewell.shared.protocol.formats import IMAGE_SUFFIXES
from agewell.workers.imaging.image import Image
from agewell.workers.models.library.colorizer import palette as palettes
from agewell.workers.models.library.colorizer.palette import Floats

SIZES = ((96, 128), (128, 96), (128, 128))
"""Sizes of the crops of a batch: height and width, px."""
_LEAST_AREA = 0.2
"""The smallest share of the photo that a crop covers."""
_SAMPLE = 1_000
"""Pixels of a crop from which its palette is computed."""


@dataclass(frozen=True)
class Batch:
    """A batch to train on. All crops have the same number of palette colours."""

    luminance: Floats  # (B, 1, H, W) in [0, 1]
    palette: Floats  # (B, N, 4), see `palette.extract`
    colour: Floats  # (B, 2, H, W): a / 128, b / 128


def read_photos(directory: Path, longest_side: int = 1280) -> list[Image]:
    """Read the photographs of a directory and its folders, in order of their paths.

    Args:
        directory: with JPEG, PNG, WebP, BMP or TIFF files.
        longest_side: larger photos are scaled down to this, px.

    Returns:
        The photos, each (H, W, 3) uint8 BGR.

    Raises:
        ValueError: there is no photograph, or one cannot be read.
    """
    paths = sorted(p for p in directory.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        raise ValueError(f"{directory}: no photographs ({suffixes}) in it")
    return [_read(path, longest_side) for path in paths]


def _read(path: Path, longest_side: int) -> Image:
    # OpenCV would wait forever for a pipe.
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
) -> Batch:
    """Draw the batch of one step of training.

    Args:
        photos: (H, W, 3) uint8 BGR, of any sizes.
        batch_size: number of crops.
        seed: of the training.
        step: of the training.
        sizes: (height, width) of crops to choose from, px, multiples of 32.
    """
    rng = np.random.default_rng([seed, step])
    height, width = sizes[int(rng.integers(len(sizes)))]
    colours = 0 if rng.random() < 0.03 else palettes.COLOURS
    if colours and rng.random() < 0.3:
        colours = int(rng.integers(3, 13))
    labs = [_changed_crop(photos, height, width, rng) for _ in range(batch_size)]
    luminance = np.stack([lab[..., 0] / 100 for lab in labs])[:, None]
    colour = np.stack([lab[..., 1:].transpose(2, 0, 1) / 128 for lab in labs])
    palette = np.stack([_palette(lab, colours, rng) for lab in labs])
    return Batch(luminance.astype(np.float32), palette, colour.astype(np.float32))


def _changed_crop(
    photos: Sequence[Image], height: int, width: int, rng: np.random.Generator
) -> Floats:
    """Draw a crop and change its colours: (height, width, 3) float32 CIE Lab."""
    crop = _part(photos, height, width, rng)
    if rng.random() < 0.4:  # a scene with more in it than a single photo
        crop = _joined(crop, _part(photos, height, width, rng), rng)
    lab = palettes.to_lab(crop)
    if rng.random() < 0.5:  # another exposure
        lab[..., 0] = 100 * (lab[..., 0] / 100) ** np.exp(rng.normal(0, 0.3))
    if rng.random() < 0.5:  # another saturation
        lab[..., 1:] *= np.exp(rng.normal(0, 0.3))
    if rng.random() < 0.5:  # all hues turned: only the palette tells the colours
        turn = rng.uniform(-np.pi, np.pi)
        cos, sin = np.cos(turn), np.sin(turn)
        lab[..., 1:] = lab[..., 1:] @ np.array([[cos, sin], [-sin, cos]], np.float32)
    return lab


def _part(photos: Sequence[Image], height: int, width: int, rng: np.random.Generator) -> Image:
    """Cut a crop from a photo, flip it and mix its channels: (height, width, 3) uint8 BGR."""
    crop = _crop(photos[int(rng.integers(len(photos)))], width / height, rng)
    part = cast(Image, cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA))
    if rng.random() < 0.5:
        part = part[:, ::-1]
    if rng.random() < 0.7:  # light parts may become dark, and of another colour
        part = _mixed(part, rng)
    return np.ascontiguousarray(part)


def _joined(one: Image, other: Image, rng: np.random.Generator) -> Image:
    """Join two pictures of one size along a random line."""
    turn = rng.uniform(-np.pi, np.pi)
    rows, columns = np.mgrid[-1 : 1 : one.shape[0] * 1j, -1 : 1 : one.shape[1] * 1j]
    beyond = rows * np.sin(turn) + columns * np.cos(turn) > rng.uniform(-0.5, 0.5)
    return np.where(beyond[..., None], other, one)


def _mixed(crop: Image, rng: np.random.Generator) -> Image:
    """Mix the channels at random and keep gray. This keeps a network from memorising photos."""
    mix = np.eye(3)[rng.permutation(3)] + rng.normal(0, 0.15, (3, 3))
    mix /= mix.sum(axis=1, keepdims=True)
    return np.clip(crop @ mix.T, 0, 255).astype(np.uint8)


def _crop(photo: Image, aspect: float, rng: np.random.Generator) -> Image:
    """Cut out a box of about that aspect (width / height), of random size and place."""
    rows, columns = photo.shape[:2]
    aspect *= np.exp(rng.uniform(-0.15, 0.15))
    fit = min(columns / aspect, rows)  # the height of the largest such box
    height = fit * np.sqrt(np.exp(rng.uniform(np.log(_LEAST_AREA), 0)))
    high, wide = max(1, round(height)), max(1, min(columns, round(height * aspect)))
    top, left = rng.integers(rows - high + 1), rng.integers(columns - wide + 1)
    return photo[top : top + high, left : left + wide]


def _palette(lab: Floats, colours: int, rng: np.random.Generator) -> Floats:
    """Compute a crop's palette, (colours, 4). If it has fewer colours, they are repeated."""
    if colours == 0:
        return np.zeros((0, 4), np.float32)
    seed = int(rng.integers(2**31))
    found = palettes.extract(lab, colours, sample=_SAMPLE, seed=seed)
    if len(found) == colours:
        return found
    repeated = found[np.arange(colours) % len(found)]
    repeated[:, 3] /= repeated[:, 3].sum()
    return repeated
