"""Thumbnails of a job's images, made on request in a separate process.

A decoder may need much time and memory for an image that somebody has sent. The separate process
has limits for both, so Flower is not affected. Only that process imports OpenCV, in one thread,
because two threads that import it at the same time break each other's import.
"""

import asyncio
import multiprocessing
import signal
from typing import cast

from pebble import ProcessExpired, ProcessPool

from agewell.shared.errors import ThumbnailError
from agewell.shared.protocol.messages import ImageRef
from agewell.shared.settings import Settings
from agewell.workers.process.memory import limit_this_process, thumbnail_limit

LONGEST_SIDE = 320  # px
"""Pixels of the longer side."""
MEDIA_TYPE = "image/webp"
TIME_S = 20.0
"""Time limit of one thumbnail in seconds. An image of 50 megapixels takes two seconds."""

RENEWED_AFTER = 500
"""The process is replaced after this many thumbnails, so that its memory does not grow."""


class Thumbnails:
    """Makes thumbnails, one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._limit_bytes = thumbnail_limit(settings)
        self._pool = self._start()

    def _start(self) -> ProcessPool:
        return ProcessPool(
            max_workers=1,
            max_tasks=RENEWED_AFTER,
            initializer=_limit_process,
            initargs=(self._limit_bytes,),
            context=multiprocessing.get_context("spawn"),
        )

    async def make(self, ref: ImageRef) -> bytes:
        """Return an image as WebP, at most LONGEST_SIDE pixels per side. Alpha is kept.

        Raises:
            BlobMissingError: its bytes have expired.
            BlobDamagedError: its bytes do not match the reference.
            BadImageError: its bytes are not an image within the limits.
            ThumbnailError: it takes too much time or memory, or crashes the process.
            BlobStoreError: the store does not answer.
            BrokerUnreachableError: Redis does not answer.
        """
        pool = self._pool
        try:
            return await _make_in_pool(pool, ref)
        except RuntimeError:  # the idle process was killed, perhaps because memory ran out
            if self._pool is pool:
                self._pool = self._start()
        try:
            return await _make_in_pool(self._pool, ref)
        except RuntimeError as error:
            raise ThumbnailError(ref.name, str(error)) from None

    def stop(self) -> None:
        """Stop the process."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


async def _make_in_pool(pool: ProcessPool, ref: ImageRef) -> bytes:
    """Make one thumbnail in a pool.

    Raises:
        ThumbnailError: it takes too long, or crashes the process.
        RuntimeError: the pool is broken.
    """
    try:
        return await asyncio.wrap_future(pool.schedule(_thumbnail, args=(ref,), timeout=TIME_S))
    except TimeoutError:
        raise ThumbnailError(ref.name, f"not made within {TIME_S:g} s") from None
    except ProcessExpired as error:
        raise ThumbnailError(ref.name, f"its process ended: {error}") from None


def _limit_process(limit_bytes: int) -> None:
    """Limit the process before it imports OpenCV."""
    limit_this_process(limit_bytes)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C, Flower stops this process


def _thumbnail(ref: ImageRef) -> bytes:
    import cv2

    from agewell.workers.imaging.codec import decode, encode
    from agewell.workers.imaging.image import Image
    from agewell.workers.jobs.images import limits_of
    from agewell.workers.process import memory
    from agewell.workers.process.context import context

    settings = context().settings
    data = context().blobs.get(ref)
    try:
        image = decode(data, ref.name, limits_of(settings))
        scale = LONGEST_SIDE / max(image.shape[:2])
        if scale < 1:
            height, width = (max(1, round(side * scale)) for side in image.shape[:2])
            small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            image = cast(Image, small)
        return encode(image, "webp", 85, ref.name)
    except Exception as error:
        if memory.is_exhausted(error):
            raise ThumbnailError(ref.name, "it needs too much memory") from None
        raise
