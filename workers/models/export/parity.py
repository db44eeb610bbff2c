"""Compare an exported network with its original: outputs and speed."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agewell.workers.imaging.image import Image
from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.input_spec import InputSpec
from agewell.workers.models.kinds.network import Network
from agewell.workers.models.model import Model

MAX_ABS = 1e-4
"""The largest allowed difference between two outputs in float32."""
MAX_LEVELS = 1
"""The largest allowed difference between two pictures, of 255 gray levels."""
BATCHES = (1, 2, 8)
_SIDES = ((96, 128), (160, 96), (192, 192))
"""Sizes to compare if the picture's size is open: height and width, px."""
_TOKENS = (8, 3, 1)
_TIMED_BATCHES = (1, 4, 8)
_PASSES = 5
_LEAST_S = 0.5
"""Short passes are repeated for this long, up to ten times as many."""
_TOKENS_DIMS = 2


@dataclass(frozen=True)
class Case:
    """The comparison of both networks on one batch."""

    batch: int  # images
    height: int  # px
    width: int  # px
    real: bool  # a photo; otherwise noise
    max_abs: float  # the largest difference between the outputs
    largest: float  # the largest absolute output of the original
    max_levels: int | None  # the largest difference of pictures; None if the model makes none

    @property
    def holds(self) -> bool:
        """True if the two networks agree."""
        levels_hold = self.max_levels is None or self.max_levels <= MAX_LEVELS
        return self.max_abs <= MAX_ABS and levels_hold


@dataclass(frozen=True)
class Speed:
    """The time of one pass of each network."""

    batch: int  # images
    torch_ms: float
    onnx_ms: float  # of the graph that was made
    float32_ms: float | None  # of the same graph in float32; None if the graph made is that one


def compare(model: Model, original: Network, other: Network, photos: Sequence[Image]) -> list[Case]:
    """Run both on noise of several batch sizes, picture sizes and contexts, and on photos.

    Args:
        model: its preprocessing and postprocessing are used for both.
        original: the network that `other` was exported from.
        other: the exported network.
        photos: (H, W, 3) uint8 BGR, may be empty.

    Raises:
        ValueError: the two have different outputs, or outputs of different shapes.
    """
    cases = []
    rng = np.random.default_rng(0)
    for size, tokens in zip(_sizes(model.spec.input), _TOKENS, strict=False):
        for count in BATCHES:
            noise = [rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(count)]
            cases.append(_case(model, original, other, noise, tokens, real=False))
    real = [_case(model, original, other, [photo], _TOKENS[0], real=True) for photo in photos]
    return cases + real


def _sizes(spec: InputSpec) -> Sequence[tuple[int, int]]:
    return _SIDES if spec.size is None else (spec.size,)


def _case(
    model: Model,
    original: Network,
    other: Network,
    images: Sequence[Image],
    tokens: int,
    real: bool,
) -> Case:
    batch = stacked(model, images, tokens)
    expected, found = original.forward(batch), other.forward(batch)
    apart = [float(np.abs(a - b).max(initial=0)) for a, b in _pairs(expected, found)]
    levels = [_levels(model, image, expected, found, index) for index, image in enumerate(images)]
    return Case(
        batch=len(images),
        height=images[0].shape[0],
        width=images[0].shape[1],
        real=real,
        max_abs=max(apart),
        largest=max(float(np.abs(a).max(initial=0)) for a in expected.values()),
        max_levels=None if None in levels else max(each for each in levels if each is not None),
    )


def stacked(model: Model, images: Sequence[Image], tokens: int) -> dict[str, Array]:
    """Prepare images and stack them to a batch. Contexts are cut or repeated to `tokens` tokens."""
    items = [model.preprocess(image, {}) for image in images]
    return {
        name: np.stack([_with_tokens(item[name], tokens) for item in items]) for name in items[0]
    }


def _with_tokens(array: Array, tokens: int) -> Array:
    if array.ndim != _TOKENS_DIMS or len(array) == 0:
        return array
    return array[np.arange(tokens) % len(array)]


def _pairs(expected: Arrays, found: Arrays) -> Iterator[tuple[Array, Array]]:
    """Pair the outputs of both in order, because an exported graph may name them differently."""
    if len(expected) != len(found):
        raise ValueError(f"the graph has {len(found)} outputs, the original {len(expected)}")
    for a, b in zip(expected.values(), found.values(), strict=True):
        if a.shape != b.shape:
            raise ValueError(f"an output has shape {b.shape}, the original's has {a.shape}")
        yield a.astype(np.float64), b.astype(np.float64)


def _levels(model: Model, image: Image, expected: Arrays, found: Arrays, index: int) -> int | None:
    pictures = [
        model.postprocess({name: array[index] for name, array in outputs.items()}, image, {}).image
        for outputs in (expected, found)
    ]
    if pictures[0] is None or pictures[1] is None:
        return None
    return int(np.abs(pictures[0].astype(np.int16) - pictures[1]).max(initial=0))


def speeds(
    model: Model, original: Network, other: Network, float32: Network | None = None
) -> list[Speed]:
    """Time the networks in turns on the model's warm-up input. Returns the fastest pass of each.

    Args:
        model: makes the input. Batches larger than its `max_batch_size` are not timed.
        original: the torch network.
        other: the exported network.
        float32: the exported network in float32, if the other one is quantised.
    """
    networks = [each for each in (original, other, float32) if each is not None]
    item = model.example()
    found = []
    for count in (each for each in _TIMED_BATCHES if each <= model.spec.max_batch_size):
        batch = {name: np.stack([array] * count) for name, array in item.items()}
        found.append(Speed(count, *_fastest_ms(networks, batch)))
    return found


def _fastest_ms(networks: Sequence[Network], batch: Arrays) -> tuple[float, float, float | None]:
    times: dict[Network, list[float]] = {network: [] for network in networks}
    started = time.perf_counter()
    for number in range(10 * _PASSES + 1):
        for network, seconds in times.items():
            begun = time.perf_counter()
            network.forward(batch)
            seconds.append(time.perf_counter() - begun)
        if number >= _PASSES and time.perf_counter() - started > _LEAST_S:
            break
    fastest = [round(1e3 * min(seconds[1:]), 2) for seconds in times.values()]
    return fastest[0], fastest[1], fastest[2] if len(fastest) > 2 else None
