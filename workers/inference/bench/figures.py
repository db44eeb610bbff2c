"""The figures of one variant, as JSON values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Passes:
    """The time of passes of one batch size."""

    batch: int  # images
    ms: float  # the median of a pass
    spread_ms: float  # half of the range between the 25th and the 75th percentile
    images_per_s: float
    passes: int


@dataclass(frozen=True)
class Agreed:
    """The agreement with the float32 network of torch."""

    measure: str  # such as `same top class`
    unit: str  # `%`, with values from 0 to 1, or `dB`
    value: float
    images: int
    noise: bool  # the images are noise, not photos


@dataclass(frozen=True)
class Figures:
    """All figures of one variant."""

    runs_on: str  # library and device
    threads: int  # of one pass on the CPU
    batches: list[Passes]
    queue_images_per_s: float  # of a saturated device: the batcher is fed by threads
    queue_batch: int  # images in a full batch
    weights_bytes: int
    peak_bytes: int  # resident memory of the process, with the libraries; on a GPU, its memory
    agreement: Agreed
    refused: str  # why a worker would refuse it, or ""
