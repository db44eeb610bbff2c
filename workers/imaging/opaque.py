"""Convert decoded images to BGR, with a colour behind transparent pixels, as networks get them."""

from agewell.workers.imaging.alpha import is_opaque
from agewell.workers.imaging.channels import channels, split_alpha
from agewell.workers.imaging.colour import parse_colour
from agewell.workers.imaging.flattening import flatten_onto
from agewell.workers.imaging.image import Image


def as_opaque(image: Image, name: str, background: str) -> tuple[Image, bool]:
    """Convert a decoded image to BGR. If a pixel is transparent, a colour is put behind it.

    Args:
        image: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8.
        name: the name of the image in error messages.
        background: the colour, `#rrggbb`.

    Returns:
        (H, W, 3) uint8 BGR, and True if the colour shows.

    Raises:
        UnsupportedPixelsError: the array is not such an image.
    """
    if channels(image, name) < 4 or is_opaque(image):
        return split_alpha(image, name)[0], False
    blue, green, red, _ = parse_colour(background, "input.background")
    return flatten_onto((blue, green, red), image), True
