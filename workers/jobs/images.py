"""The images of one job: fetched from the blob store, decoded within limits, and cached."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

from agewell.shared.blobs.blobs import Blobs
from agewell.shared.protocol.messages import ImageRef
from agewell.shared.settings import Settings
from agewell.workers.imaging.codec import Limits, decode
from agewell.workers.imaging.image import Image
from agewell.workers.imaging.shrunk import upright_size


def limits_of(settings: Settings) -> Limits:
    """Return the limits of one image."""
    return Limits(
        max_file_bytes=settings.max_file_bytes,
        max_pixels=settings.max_pixels,
        max_side=settings.max_side,
    )


Needs = Callable[[tuple[int, int]], tuple[int, int] | None]
"""From the size of an image, width and height in px, to the size that suffices. None: all of it."""


class Images:
    """Files and decoded images of one job. The last few are cached for items that share them."""

    _KEPT = 2
    _KEPT_BYTES = 64 * 2**20

    def __init__(self, blobs: Blobs, settings: Settings, shared: int = 1) -> None:
        """Prepare to read images.

        Args:
            blobs: the store.
            settings: the limits of an image.
            shared: how many images go with every item, as those of a pipeline's steps do. All of
                them are cached if they are small enough together.
        """
        self._most = max(self._KEPT, 1 + shared)
        self._blobs = blobs
        self._limits = limits_of(settings)
        self._recent: OrderedDict[tuple[str, bool], Image] = OrderedDict()
        self._last_file: tuple[str, bytes] = ("", b"")

    def get(self, ref: ImageRef, needs: Needs | None = None) -> Image:
        """Fetch and decode an image. The array is shared and read-only.

        Args:
            ref: the image.
            needs: the size that suffices. It must be the same function for all items of a job.
        """
        key = ref.sha256, needs is None
        image = self._recent.pop(key, None)
        if image is None:
            data = self.file(ref)
            at_least = needs(upright_size(data, ref.name)) if needs else None
            image = decode(data, ref.name, self._limits, at_least)
            image.flags.writeable = False
        self._recent[key] = image
        while len(self._recent) > (self._most if self._are_small() else self._KEPT):
            self._recent.popitem(last=False)
        return image

    def _are_small(self) -> bool:
        return sum(each.nbytes for each in self._recent.values()) <= self._KEPT_BYTES

    def file(self, ref: ImageRef) -> bytes:
        """Fetch the encoded bytes of an image. The last ones are kept."""
        if self._last_file[0] != ref.sha256:
            self._last_file = ref.sha256, self._blobs.get(ref)
        return self._last_file[1]


class Files(Mapping[str, bytes]):
    """The encoded bytes of an item's images by role, fetched if an operation asks for them."""

    def __init__(self, images: Images, references: Mapping[str, ImageRef]) -> None:
        self._images = images
        self._references = references

    def __getitem__(self, role: str) -> bytes:
        return self._images.file(self._references[role])

    def __iter__(self) -> Iterator[str]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)
