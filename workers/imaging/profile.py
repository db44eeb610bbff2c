"""Convert images to sRGB by their ICC profiles, with LittleCMS.

Sources: ICC.1:2022; IEC 61966-2-1 (sRGB).
"""

import io
from typing import Final, NamedTuple, cast

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms

from agewell.workers.imaging.image import Image

MOST_PROFILE_BYTES: Final = 4 * 2**20
"""Larger profiles are ignored. Profiles of cameras and screens have 0.5 to 500 KiB."""

_MODES = {"RGB": "RGB", "GRAY": "L"}  # of Pillow, by the profile's colour space
_BLOCK_PIXELS = 2**18
_STEPS = 17  # of each channel, to compare a profile with sRGB


class Converted(NamedTuple):
    """An image in sRGB, and the way in which its profile was used, for people."""

    image: Image
    outcome: str


def to_srgb(image: Image, profile: bytes) -> Converted:
    """Convert an image from the colours of a profile to sRGB, with perceptual intent.

    Pixels are unchanged if the profile is sRGB itself: if it changes no colour by more than one
    level.

    Args:
        image: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8.
        profile: the ICC profile. It is ignored if it is empty, larger than 4 MiB, damaged, or
            neither for RGB nor for gray pixels as the image has.

    Returns:
        An image of the same shape. Alpha is unchanged.
    """
    if not profile:
        return Converted(image, "none")
    if len(profile) > MOST_PROFILE_BYTES:
        return Converted(image, f"ignored: larger than {MOST_PROFILE_BYTES:,} bytes")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(source.profile.xcolor_space.strip())
        if mode is None:
            return Converted(image, "ignored: it is neither for RGB nor for gray")
        if mode == "L" and image.ndim == 3:
            return Converted(image, "ignored: it is for gray, but the image has colours")
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        if _keeps_colours(transform, mode):
            return Converted(image, "sRGB")
        return Converted(_convert(image, transform, mode), "converted to sRGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return Converted(image, "ignored: it is damaged")


def _keeps_colours(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    levels = np.linspace(0, 255, _STEPS).astype(np.uint8)
    if mode == "L":
        colours = np.tile(levels, (_STEPS, 1))
        difference = cv2.absdiff(np.dstack([colours] * 3), _apply(transform, colours))
    else:
        colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(_STEPS, -1, 3)
        difference = cv2.absdiff(colours, _apply(transform, colours))
    return bool(difference.max() <= 1)


def _apply(transform: ImageCms.ImageCmsTransform, pixels: Image) -> Image:
    """Convert (H, W) gray or (H, W, 3) RGB to (H, W, 3) RGB."""
    converted = transform.apply(Pillow.fromarray(pixels))
    return np.asarray(converted)


def _convert(image: Image, transform: ImageCms.ImageCmsTransform, mode: str) -> Image:
    if image.ndim == 2:
        return cast(Image, cv2.LUT(image, _gray_levels(transform, mode)))
    result = image.copy()
    rows = max(1, _BLOCK_PIXELS // image.shape[1])
    for top in range(0, len(image), rows):
        block = np.ascontiguousarray(image[top : top + rows, :, :3])
        converted = _apply(transform, cast(Image, cv2.cvtColor(block, cv2.COLOR_BGR2RGB)))
        result[top : top + rows, :, :3] = cv2.cvtColor(converted, cv2.COLOR_RGB2BGR)
    return result


def _gray_levels(transform: ImageCms.ImageCmsTransform, mode: str) -> cv2.typing.MatLike:
    """Return the level in sRGB of each level of gray, (1, 256) uint8."""
    levels = np.arange(256, dtype=np.uint8).reshape(1, 256)
    colours = _apply(transform, levels if mode == "L" else np.dstack([levels] * 3))
    return cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)
