"""Decode the pixels of a JPEG by libjpeg-turbo, with warnings of damage as errors.

libjpeg fills missing parts of a picture with gray and only prints a warning. OpenCV and Pillow
drop the warnings. simplejpeg raises the first warning as an error.
"""

import re
from typing import cast

import numpy as np
import numpy.typing as npt
import simplejpeg

_DAMAGE = re.compile("premature end|bad Huffman code|bad arithmetic code|instead of RST", re.I)
"""Warnings that mean wrong pixels. Other warnings are about parts that are ignored, such as the
bytes between two segments that many cameras write."""


def reduction(width: int, height: int, at_least: tuple[int, int]) -> int:
    """Choose how much smaller to decode a picture: 1, 2, 4 or 8 times.

    libjpeg then computes fewer pixels of each 8 x 8 block, which is faster than to decode all.

    Args:
        width: of the picture, px.
        height: of the picture, px.
        at_least: the width and the height, px, that suffice.

    Returns:
        The largest divisor that leaves both sides at least that long, or 1.
    """
    for divisor in (8, 4, 2):
        reduced = reduced_size(width, height, divisor)
        if reduced[0] >= at_least[0] and reduced[1] >= at_least[1]:
            return divisor
    return 1


def reduced_size(width: int, height: int, divisor: int) -> tuple[int, int]:
    """Return the width and the height of a picture that is decoded smaller. Both round up."""
    return -(-width // divisor), -(-height // divisor)


def decode(data: bytes, divisor: int = 1) -> npt.NDArray[np.uint8] | None:
    """Decode the pixels of a JPEG whose header has no refusal.

    Args:
        data: the file without its metadata.
        divisor: 1, or 2, 4 or 8 to decode it that many times smaller.

    Returns:
        (H, W) gray or (H, W, 3) BGR, uint8, as stored. None if the decoder warns of something
        other than damage, or does not know this kind of JPEG: use another decoder then.

    Raises:
        ValueError: the pixels are truncated or damaged.
    """
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        colours = "GRAY" if colours == "Gray" else "BGR"
        least_width, least_height = reduced_size(width, height, divisor)
        image = simplejpeg.decode_jpeg(
            data,
            colours,
            fastdct=False,
            fastupsample=False,
            min_width=least_width,
            min_height=least_height,
            min_factor=divisor,
        )
    except ValueError as error:
        if _DAMAGE.search(str(error)):
            raise ValueError(f"truncated or damaged: {error}") from None
        return None
    return cast(npt.NDArray[np.uint8], image[..., 0] if colours == "GRAY" else image)
