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


def decode(data: bytes) -> npt.NDArray[np.uint8] | None:
    """Decode the pixels of a JPEG whose header has no refusal.

    Args:
        data: the file without its metadata.

    Returns:
        (H, W) gray or (H, W, 3) BGR, uint8, as stored. None if the decoder warns of something
        other than damage, or does not know this kind of JPEG: use another decoder then.

    Raises:
        ValueError: the pixels are truncated or damaged.
    """
    try:
        _, _, colours, _ = simplejpeg.decode_jpeg_header(data)
        colours = "GRAY" if colours == "Gray" else "BGR"
        image = simplejpeg.decode_jpeg(data, colours, fastdct=False, fastupsample=False)
    except ValueError as error:
        if _DAMAGE.search(str(error)):
            raise ValueError(f"truncated or damaged: {error}") from None
        return None
    return cast(npt.NDArray[np.uint8], image[..., 0] if colours == "GRAY" else image)
