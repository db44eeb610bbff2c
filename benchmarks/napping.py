"""An operation that only waits, so that a benchmark's load does not depend on the processor."""

import time

from agewell import Image, operation


@operation
def nap(image: Image, *, seconds: float = 0.1) -> Image:
    """Wait for some time, and return the image as it is.

    Args:
        image: the images.
        seconds: how long to wait for each.
    """
    time.sleep(seconds)
    return image
