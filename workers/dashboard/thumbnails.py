"""Small pictures of a job's images, made on request."""

import threading
from typing import cast

from shared.messages import ImageRef
from workers.context import Context

LONGEST_SIDE = 320  # px
MEDIA_TYPE = "image/webp"

_ONE_AT_A_TIME = threading.Lock()
"""A decoded image may take a quarter of a gigabyte."""


def thumbnail(context: Context, ref: ImageRef) -> bytes:
    """A WebP of an image, at most LONGEST_SIDE px a side; alpha is kept.

    Raises:
        BlobMissingError: its bytes have expired.
        BlobDamagedError: they are others than the reference says.
        BadImageError: they are no image within the limits.
        BlobStoreError: the store does not give them.
        BrokerUnreachableError: Redis does not answer.
    """
    # Here, when the first is asked for: OpenCV costs a process that shows queues 50 MB.
    import cv2

    from workers.images import Image, decode, encode
    from workers.jobs import limits_of

    data = context.blobs.get(ref)
    with _ONE_AT_A_TIME:
        image = decode(data, ref.name, limits_of(context.settings))
        scale = LONGEST_SIDE / max(image.shape[:2])
        if scale < 1:
            height, width = (max(1, round(side * scale)) for side in image.shape[:2])
            small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            image = cast(Image, small)
        return encode(image, "webp", 85, ref.name)
