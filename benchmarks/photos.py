"""The pictures that benchmarks work on: cut from the example photos, so that all are different."""

from pathlib import Path

import cv2
import numpy as np

PHOTOS = Path(__file__).parent.parent / "examples" / "images"
QUALITY = 92


def make_images(folder: Path, size: tuple[int, int], count: int) -> list[Path]:
    """Write different JPEGs of one size (width, height), cut from the example photos."""
    photos = [cv2.imread(str(path)) for path in sorted(PHOTOS.glob("*.jpg"))]
    random = np.random.default_rng(1)
    paths = []
    for number in range(count):
        photo = photos[number % len(photos)]
        height, width = photo.shape[:2]
        x, y = (int(random.integers(0, side // 4)) for side in (width, height))
        image = cv2.resize(photo[y:, x:], size, interpolation=cv2.INTER_CUBIC)
        paths.append(folder / f"{number:05}.jpg")
        cv2.imwrite(str(paths[-1]), image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return paths
