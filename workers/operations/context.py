"""The surroundings of an operation that runs: settings, checkpoint and progress."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agewell.shared.settings import Settings


@dataclass(frozen=True)
class JobContext:
    """The surroundings of one item of a job.

    Attributes:
        settings: the worker's settings, with the limits of images and the threads of one job.
        checkpoint: call it between the steps of long work. It raises to end a cancelled job, so
            let its errors pass.
        progress: call it with the part of this item that is done, 0 to 1. The job's page and
            `agewell status` tell it. Calls are cheap: it is stored twice a second at most.
        files: the encoded bytes of the images by role, as they were sent.
        original: returns the encoded bytes of the item's main image, as it was sent. Unlike
            `files`, it also does in the later steps of a pipeline. It is empty in plain calls.
    """

    settings: Settings
    checkpoint: Callable[[], None] = lambda: None
    progress: Callable[[float], None] = lambda _done: None
    files: Mapping[str, bytes] = field(default_factory=dict)
    original: Callable[[], bytes] = lambda: b""
