"""Convert images to another format, with the right colours, and with their metadata if you want."""

from typing import Literal

from agewell.workers.imaging.channels import channels
from agewell.workers.imaging.image import Image
from agewell.workers.imaging.metadata import upright
from agewell.workers.imaging.metadata_io import read_embedded
from agewell.workers.imaging.profile import to_srgb
from agewell.workers.operations.context import JobContext
from agewell.workers.operations.declaration import operation
from agewell.workers.operations.result import Result


@operation(example="photos/ --format webp --metadata keep")
def convert(
    image: Image,
    context: JobContext,
    *,
    profile: Literal["srgb", "ignore"] = "srgb",
    metadata: Literal["strip", "keep"] = "strip",
) -> Result:
    """Convert an image to another format.

    The job's output says the format and the quality. Profile and metadata are those of the file
    that was sent, also in a later step of a pipeline. Results have no profile, which means sRGB.

    Args:
        image: the image to convert.
        context: the surroundings of the job, with the file that was sent.
        profile: `srgb` converts the colours by the file's ICC profile. `ignore` keeps the numbers
            of the pixels as they are.
        metadata: `keep` writes EXIF and XMP into the result, if its format can hold them. The
            orientation becomes 1, since pixels are upright, and thumbnails are removed.

    Returns:
        The image with the same shape. Facts: `profile` says if it was `converted to sRGB`, or was
        `sRGB` already, or why not; `metadata` names the parts that were found intact.

    Raises:
        UnsupportedPixelsError: the array is not an image.
    """
    channels(image, "image")
    embedded = read_embedded(context.original())
    outcome = "ignored: as asked" if embedded.profile else "none"
    if profile == "srgb":
        image, outcome = to_srgb(image, embedded.profile)
    if metadata == "strip":
        return Result(image, {"profile": outcome, "metadata": "stripped"})
    kept = upright(embedded)
    return Result(image, {"profile": outcome, "metadata": str(kept)}, kept)
