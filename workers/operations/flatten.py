"""Flatten an image with alpha onto a colour."""

from agewell.workers.imaging.channels import channels
from agewell.workers.imaging.colour import OpaqueColour, parse_colour
from agewell.workers.imaging.flattening import flatten_onto
from agewell.workers.imaging.image import Image
from agewell.workers.operations.declaration import operation


@operation
def flatten(image: Image, *, background: OpaqueColour = "#ffffff") -> Image:
    """Put a colour behind an image, so that it has no alpha any more.

    Each value v of each colour channel becomes (a * v + (255 - a) * b) / 255, with a the alpha,
    0..255, and b the background's value.

    Args:
        image: the image to flatten.
        background: the colour behind it, `#rrggbb`.

    Returns:
        (H, W, 3) uint8, BGR, rounded to nearest. An image without alpha is returned as it is, in
        gray if it is gray.

    Raises:
        ParameterError: background is no colour.
        UnsupportedPixelsError: the array is not an image.

    Source: Porter and Duff, "Compositing digital images", SIGGRAPH 1984 ("over").
    """
    if channels(image, "image") < 4:
        return image
    blue, green, red, _ = parse_colour(background, "background")
    return flatten_onto((blue, green, red), image)
