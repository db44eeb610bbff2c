"""The pixels of a JPEG, decoded by libjpeg-turbo with its warnings heard.

libjpeg fills with gray what a file lacks and only warns of it. OpenCV and Pillow drop the
warnings. simplejpeg can make the first warning an error.
"""

import re
from typing import cast

import numpy as np
import numpy.typing as npt
import simplejpeg

_DAMAGE = re.compile("premature end|bad Huffman code|bad arithmetic code|instead of RST", re.I)
"""Warnings after which pixels are wrong. Others are of parts that are ignored, such as bytes
between two segments, which many cameras write."""


def decode(data: bytes) -> npt.NDArray[np.uint8] | None:
    """The pixels of a JPEG whose header is not refused.

    Args:
        data: the file without its metadata.

    Returns:
        (H, W) gray or (H, W, 3) BGR, as stored; None if there is a warning, but of no damage,
        or the file is of a kind that this decoder does not know.

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
