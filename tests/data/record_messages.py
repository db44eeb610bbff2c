"""Records the messages in `messages-0.1.0` and their results. Run it with the code of 0.1.0:

git worktree add /tmp/agewell-0.1.0 8b03265
cp tests/data/record_messages.py /tmp/agewell-0.1.0
cd /tmp/agewell-0.1.0
PYTHONPATH=. python record_messages.py OUT
"""

import base64
import hashlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from agewell.shared.errors import AgewellError
from agewell.shared.protocol.messages import (
    AlphaBlendItem,
    AlphaBlendJob,
    HsvItem,
    HsvJob,
    ImageRef,
    Job,
    Output,
    PoissonBlendItem,
    PoissonBlendJob,
)
from agewell.shared.settings import Settings
from agewell.workers.jobs.run import run_job
from tests.support.image_files import file_of, picture

TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "BMP": "image/bmp"}


class Memory:
    """A blob store in memory, which also reads the images inside messages."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    def put(self, images: Iterable[tuple[str, str, bytes]]) -> list[ImageRef]:
        return [self._put(*each) for each in images]

    def _put(self, name: str, media_type: str, data: bytes) -> ImageRef:
        sha256 = hashlib.sha256(data).hexdigest()
        self.data[sha256] = data
        uri = f"redis:{sha256}"
        return ImageRef(
            uri=uri, sha256=sha256, size_bytes=len(data), media_type=media_type, name=name
        )

    def get(self, ref: ImageRef) -> bytes:
        if ref.uri.startswith("data:"):
            return base64.b64decode(ref.uri.partition(",")[2])
        return self.data[ref.sha256]


def inline(
    name: str, image: Pillow.Image, image_format: str = "PNG", **options: object
) -> ImageRef:
    data = file_of(image_format, image, **options)
    return ImageRef(
        uri=f"data:{TYPES[image_format]};base64,{base64.b64encode(data).decode()}",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        media_type=TYPES[image_format],
        name=name,
    )


def disc(width: int, height: int) -> Pillow.Image:
    """A soft disc: 255 in the middle, 0 at the border."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot((x - width / 2) / width, (y - height / 2) / height)
    return Pillow.fromarray(np.clip(255 * (4 - 10 * distance), 0, 255).astype(np.uint8))


def texture(seed: int, width: int, height: int) -> Pillow.Image:
    """A photo-like picture: coarse colours, with finer ones over them."""
    chance = np.random.default_rng(seed)
    coarse, fine = (
        Pillow.fromarray(chance.integers(0, 256, (*size, 3), np.uint8)).resize((width, height))
        for size in ((4, 5), (11, 16))
    )
    return Pillow.blend(coarse, fine, 0.4)


def jobs() -> Iterator[tuple[str, Job]]:
    photo, cutout = picture(), picture("RGBA")
    turned = photo.transpose(Pillow.Transpose.ROTATE_180)
    colour = inline("photo.jpg", photo, "JPEG", quality=90)
    items = [
        colour,
        inline("cutout.png", cutout),
        inline("gray.png", picture("L")),
        inline("palette.png", picture("P")),
        inline("写真.webp", turned, "WEBP", lossless=True),
        inline("bitmap.bmp", photo, "BMP"),
    ]
    yield "hsv", HsvJob(items=[HsvItem(image=each) for each in items])
    yield (
        "hsv-full-range",
        HsvJob(
            items=[HsvItem(image=colour, output_name="trip/named.jpeg")],
            full_range=True,
            output=Output(format="jpeg", quality=80),
        ),
    )
    yield "hsv-webp", HsvJob(items=[HsvItem(image=items[1])], output=Output(format="webp"))
    front, back = (inline("front.png", texture(1, 48, 32)), inline("back.png", texture(2, 48, 32)))
    large = texture(3, 70, 50)
    own = inline("cutout.png", cutout)
    yield "alpha-blend", AlphaBlendJob(items=[AlphaBlendItem(foreground=own, background=back)])
    yield (
        "alpha-blend-mask",
        AlphaBlendJob(
            items=[
                AlphaBlendItem(
                    foreground=front, background=back, mask=inline("m.png", disc(48, 32))
                ),
                AlphaBlendItem(foreground=own, background=back, mask=inline("m.png", disc(48, 32))),
            ],
            alpha=0.7,
        ),
    )
    yield (
        "alpha-blend-offset",
        AlphaBlendJob(
            items=[AlphaBlendItem(foreground=own, background=inline("large.png", large))],
            alpha=0.3,
            offset=(-9, 25),
            output=Output(format="tiff"),
        ),
    )
    mask = inline("mask.png", disc(48, 32))
    for gradient in ("src", "max", "avg"):
        yield (
            f"poisson-blend-{gradient}",
            PoissonBlendJob(
                items=[
                    PoissonBlendItem(source=front, mask=mask, destination=inline("d.png", large))
                ],
                gradient=gradient,
                mask_on_destination=(11, 7),
            ),
        )
    yield (
        "poisson-blend",
        PoissonBlendJob(items=[PoissonBlendItem(source=front, mask=mask, destination=back)]),
    )
    yield (
        "poisson-blend-places",
        PoissonBlendJob(
            items=[
                PoissonBlendItem(
                    source=front, mask=inline("small.png", disc(20, 16)), destination=back
                )
            ],
            mask_on_source=(5, 8),
            mask_on_destination=(-4, 3),
        ),
    )


def main(out: Path) -> None:
    settings = Settings(redis_url="redis://127.0.0.1:1")
    for name, job in jobs():
        blobs = Memory()
        (out / f"{name}.json").write_text(
            job.model_dump_json(exclude_none=True, indent=1, ensure_ascii=False) + "\n"
        )
        result = run_job(job, blobs, settings)
        for number, item in enumerate(result.items, 1):
            if item.image is None:
                raise AgewellError(f"{name}: {item.error}")
            suffix = item.image.media_type.partition("/")[2]
            (out / f"{name}.{number}.{suffix}").write_bytes(blobs.get(item.image))


main(Path(sys.argv[1]))
