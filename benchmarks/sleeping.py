"""An operation that sleeps: workers are busy, and the processor is not."""

import time

from agewell import Image, operation


@operation
def rest(image: Image, *, seconds: float = 0.1) -> Image:
    """Keep a worker busy without using the processor.

    Args:
        image: returned as it is.
        seconds: how long to sleep.
    """
    time.sleep(max(0.0, min(60.0, seconds)))
    return image
