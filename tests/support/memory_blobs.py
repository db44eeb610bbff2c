"""A blob store in memory, for tests that run jobs in their own process."""

import base64
import hashlib
from collections.abc import Iterable
from typing import Any

from agewell.shared.protocol.messages import ImageRef


class MemoryBlobs:
    """Stands in for `Blobs`. It also reads the images inside messages, and counts its reads."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.reads: list[str] = []

    def put(self, images: Iterable[tuple[str, Any, bytes]]) -> list[ImageRef]:
        return [self._put(*each) for each in images]

    def _put(self, name: str, media_type: Any, data: bytes) -> ImageRef:
        sha256 = hashlib.sha256(data).hexdigest()
        self.data[sha256] = data
        return ImageRef(
            uri=f"redis:{sha256}",
            sha256=sha256,
            size_bytes=len(data),
            media_type=media_type,
            name=name,
        )

    def get(self, ref: ImageRef) -> bytes:
        self.reads.append(ref.name)
        if ref.uri.startswith("data:"):
            return base64.b64decode(ref.uri.partition(",")[2])
        return self.data[ref.sha256]
