"""The photos of a folder, read one at a time, as an infer worker reads them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from agewell.shared.errors import AgewellError
from agewell.shared.protocol.formats import IMAGE_SUFFIXES
from agewell.workers.imaging.codec import Limits, decode
from agewell.workers.imaging.flattening import as_opaque
from agewell.workers.imaging.image import Image

Prepared = TypeVar("Prepared")

HELD_OUT_EVERY = 5
"""Every fifth photo is not calibrated on, but measured on."""
LEAST_PHOTOS = 10


@dataclass
class Folder:
    """Paths of photos. A photo that cannot be read is reported, and then left out."""

    path: Path
    files: tuple[Path, ...]
    say: Callable[[str], None]
    background: str  # the colour behind transparent pixels, `#rrggbb`
    skipped: dict[Path, str] = field(default_factory=dict)

    def calibration(self) -> tuple[Path, ...]:
        """Return the files to calibrate on: all that are not held out."""
        return tuple(each for at, each in enumerate(self.files, 1) if at % HELD_OUT_EVERY)

    def held_out(self) -> tuple[Path, ...]:
        """Return the files to measure on: every fifth."""
        return self.files[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]

    def prepare(
        self, files: Sequence[Path], prepare: Callable[[Image], Prepared]
    ) -> Iterator[tuple[Image, Prepared]]:
        """Read photos one after the other, and prepare them for a network. None is kept in memory.

        Args:
            files: of this folder.
            prepare: gets a photo, (H, W, 3) uint8 BGR.

        Returns:
            Each photo, and what `prepare` made of it. Photos that cannot be read or prepared are
            left out.
        """
        for file in files:
            if file in self.skipped:
                continue
            try:
                image = self._read(file)
                prepared = prepare(image)
            except (AgewellError, OSError) as error:
                self.skipped[file] = str(error)
                self.say(f"skipped {file}: {error}")
                continue
            yield image, prepared

    def check(self) -> None:
        """Check that enough photos are left.

        Raises:
            ValueError: there are fewer than 10 that can be read, or none of the held-out ones.
        """
        left = len(self.files) - len(self.skipped)
        unread = f", and {len(self.skipped)} that cannot be read" if self.skipped else ""
        if left < LEAST_PHOTOS:
            found = f"{self.path} has {left} images{unread}"
            raise ValueError(f"{found}; calibration needs at least {LEAST_PHOTOS}, better 100")
        if set(self.held_out()) <= self.skipped.keys():
            raise ValueError(f"{self.path}: none of the held-out images can be read")

    def _read(self, file: Path) -> Image:
        image = decode(file.read_bytes(), file.name, Limits())
        return as_opaque(image, file.name, self.background)[0]


def open_folder(path: Path, say: Callable[[str], None], background: str = "#ffffff") -> Folder:
    """List the photos of a folder and its folders, in the order of their paths.

    Args:
        path: of the folder.
        say: gets a line about each photo that cannot be read.
        background: the colour behind transparent pixels, `#rrggbb`.

    Raises:
        ValueError: there is no such folder, or it has no photos.
    """
    if not path.is_dir():
        raise ValueError(f"{path} is {'no folder' if path.exists() else 'missing'}")
    found = (each for each in path.rglob("*") if each.suffix.lower() in IMAGE_SUFFIXES)
    files = tuple(sorted(each for each in found if each.is_file()))
    if not files:
        raise ValueError(f"{path}: no images ({', '.join(sorted(IMAGE_SUFFIXES))}) in it")
    return Folder(path, files, say, background)
