"""Make the pictures that show the demo's inputs and results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Size = tuple[int, int]  # width, height, px

WIDTH, MARGIN, GAP = 1440, 36, 12  # px
PAPER, INK, GRAY = (26, 22, 20), (240, 240, 240), (176, 168, 164)  # BGR
OUTLINE = (60, 220, 255)
TITLE, LABEL = 34, 19  # px
WIDE, PHOTO = 8 / 5, 3 / 2  # width to height
JPEG_QUALITY = 76
FONT = cv2.FontFace("sans")


@dataclass(frozen=True)
class Blend:
    """One blend: its input files, the position of its mask, and its result."""

    FIELDS: ClassVar = ("source", "foreground", "mask", "destination", "background")

    files: dict[str, Path]  # by field
    offset: tuple[int, int]  # x, y of the mask's top left corner, px
    result: Path

    def image(self, field: str) -> Image:
        """Read the file of a field."""
        return read(self.files[field])


def read(path: Path) -> Image:
    """Read an image: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with alpha, uint8.

    Raises:
        OSError: the file is missing, or OpenCV cannot read it.
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise OSError(f"{path}: OpenCV cannot read it")
    return cast(Image, image)


def save_jpeg(path: Path, image: Image) -> Path:
    """Write an image as JPEG, and return its path.

    Raises:
        OSError: the file cannot be written.
    """
    if not cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
        raise OSError(f"{path}: OpenCV cannot write it")
    return path


def contact_sheet(
    photos: Sequence[Path],
    of_each: Mapping[str, Sequence[Path]],
    alpha: Sequence[Blend],
    poisson: Sequence[Blend],
    coloured: Sequence[tuple[Path, Path, Path]],
) -> Image:
    """Make the contact sheet: a section for each operation, with inputs next to results.

    Args:
        photos: some photos.
        of_each: their results by operation: `hsv`, `pipeline` and `duotone`.
        alpha: the alpha blends.
        poisson: the Poisson blends.
        coloured: photos, the photos that gave the palettes, and the results.
    """
    size = panel_size(len(photos), PHOTO)

    def results(op: str, label: str) -> Image:
        return row([panel(read(result), size, label) for result in of_each[op]])

    return sheet(
        heading(
            "BGR to HSV", "shown as if it were BGR: hue in blue, saturation in green, value in red"
        ),
        row([panel(read(photo), size, photo.name) for photo in photos]),
        results("hsv", "HSV, shown as if it were BGR"),
        heading("A pipeline", "resized, adjusted, marked and sharpened in one job"),
        results("pipeline", "resize | adjust | watermark | sharpen"),
        heading("Your own operation", "ten lines of Python: examples/own_operations.py"),
        results("duotone", "duotone"),
        heading("Alpha blending", "by the foreground's own alpha, and by a mask"),
        *(row(alpha_panels(blend)) for blend in alpha),
        heading("Poisson blending", "the source's gradients, the colours of the place it comes to"),
        *(row(poisson_panels(blend)) for blend in poisson),
        heading(
            "Colouring", "from the photo's luminance and the eight main colours of a reference"
        ),
        *(row(coloured_panels(*files)) for files in coloured),
    )


def poisson_picture(blends: Sequence[Blend]) -> Image:
    """Make a picture with a row for each Poisson blend: outlined source, plain paste, blend."""
    return sheet(*(row(poisson_panels(blend)) for blend in blends))


def real_models_picture(classified: Sequence[tuple[Path, str]], texts: Sequence[Path]) -> Image:
    """Make a picture of what networks found that somebody else trained.

    Args:
        classified: photos, each with its class. May be empty.
        texts: an image with text, and the same with the boxes drawn on it. May be empty.
    """
    strips = []
    if classified:
        size = panel_size(len(classified), PHOTO)
        strips.append(heading("Classifying", "EfficientNet-Lite0, 1,000 classes of ImageNet"))
        strips.append(row([panel(read(photo), size, label) for photo, label in classified]))
    if texts:
        size, labels = panel_size(len(texts), WIDE), ("an image with text", "the text found")
        strips.append(heading("Finding text", "PaddleOCR's detector, an ONNX file"))
        shown = zip(texts, labels, strict=True)
        strips.append(row([panel(read(path), size, label) for path, label in shown]))
    return sheet(*strips)


def poster(photo: Path) -> Image:
    """Draw some lines of text on a photo."""
    image = read(photo)
    for text, at, size in (
        ("sunset by the pier", (90, 150), 96),
        ("from seven to nine", (90, 240), 60),
    ):
        write(image, text, at, size, INK, weight=600)
    return image


def alpha_panels(blend: Blend) -> list[Image]:
    """Make the panels of an alpha blend: foreground with its mask, background, blend."""
    size = panel_size(3, WIDE)
    foreground = over_checkerboard(widened(blend.image("foreground"), WIDE))
    shown = panel(foreground, size, "foreground")
    if "mask" in blend.files:
        shown = with_inset(shown, over_checkerboard(blend.image("mask")), "mask")
    background = panel(blend.image("background"), size, "background")
    return [shown, background, panel(read(blend.result), size, "blend")]


def poisson_panels(blend: Blend) -> list[Image]:
    """Make the panels of a Poisson blend: source with the mask's outline, plain paste, blend.

    The plain paste and the blend are cut to the surroundings of the mask.
    """
    size = panel_size(3, WIDE)
    source, mask = blend.image("source"), blend.image("mask")
    pasted = paste(source, mask, blend.image("destination"), blend.offset)
    view = surroundings(blend.offset, mask.shape, pasted.shape)
    return [
        panel(widened(outlined(source, mask), WIDE, PAPER), size, "source, mask outlined"),
        panel(pasted[view], size, "plain paste"),
        panel(read(blend.result)[view], size, "Poisson blend"),
    ]


def coloured_panels(photo: Path, reference: Path, result: Path) -> list[Image]:
    """Make the panels of a coloured photo: its luminance, the reference, the result."""
    size = panel_size(3, PHOTO)
    luminance = cv2.cvtColor(read(photo), cv2.COLOR_BGR2LAB)[..., 0]
    return [
        panel(over_checkerboard(luminance), size, f"luminance of {photo.name}"),
        panel(read(reference), size, f"palette of {reference.name}"),
        panel(read(result), size, "coloured"),
    ]


def paste(source: Image, mask: Image, destination: Image, offset: tuple[int, int]) -> Image:
    """Copy the selected pixels from source to destination, without blending."""
    pasted = destination.copy()
    (x, y), (height, width) = offset, mask.shape
    pasted[y : y + height, x : x + width][mask >= 128] = source[mask >= 128]
    return pasted


def outlined(image: Image, mask: Image) -> Image:
    """Draw the mask's outline on a copy of twice the size, so that the line is thin."""
    drawn = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    selected = cv2.resize(mask, None, fx=2, fy=2) >= 128
    contours, _ = cv2.findContours(
        selected.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    return cast(Image, cv2.drawContours(drawn, contours, -1, OUTLINE, 3, cv2.LINE_AA))


def surroundings(
    offset: tuple[int, int], mask: tuple[int, ...], image: tuple[int, ...]
) -> tuple[slice, slice]:
    """Return the rows and columns around a mask: about twice its size, within the image."""
    height = min(round(1.8 * max(mask[0], mask[1] / WIDE)), image[0])
    width = min(round(height * WIDE), image[1])
    left = min(max(offset[0] + mask[1] // 2 - width // 2, 0), image[1] - width)
    top = min(max(offset[1] + mask[0] // 2 - height // 2, 0), image[0] - height)
    return slice(top, top + height), slice(left, left + width)


def widened(image: Image, aspect: float, colour: Sequence[int] = (0, 0, 0, 0)) -> Image:
    """Add borders on the left and right, so that width / height is at least the aspect."""
    side = max(0, round((image.shape[0] * aspect - image.shape[1]) / 2))
    wider = cv2.copyMakeBorder(image, 0, 0, side, side, cv2.BORDER_CONSTANT, value=colour)
    return cast(Image, wider)


def over_checkerboard(image: Image) -> Image:
    """Convert any image to (H, W, 3) BGR. Transparent parts show a checkerboard."""
    if image.ndim == 2:
        return cast(Image, cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    if image.shape[2] == 3:
        return image
    rows, columns = np.indices(image.shape[:2]) // 16
    board = np.where((rows + columns) % 2, 62, 80)[..., None]
    alpha = image[..., 3:] / 255
    return np.rint(image[..., :3] * alpha + board * (1 - alpha)).astype(np.uint8)


def panel_size(panels: int, aspect: float) -> Size:
    """Return the size of each panel, if a row has this number of panels."""
    width = (WIDTH - 2 * MARGIN - (panels - 1) * GAP) // panels
    return width, round(width / aspect)


def panel(image: Image, size: Size, label: str) -> Image:
    """Make a panel: the middle of an image, cut to a size, with a label below."""
    width, height = size
    scale = max(width / image.shape[1], height / image.shape[0])
    scaled_size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(image, scaled_size, interpolation=way)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    caption = blank(LABEL + 12, width)
    write(caption, label, (0, LABEL + 4), LABEL, GRAY)
    return np.vstack([scaled[top : top + height, left : left + width], caption])


def with_inset(image: Image, small: Image, label: str) -> Image:
    """Draw a small framed picture with a label into the corner of a panel."""
    width = image.shape[1] // 4
    height = round(small.shape[0] * width / small.shape[1])
    inset = cast(Image, cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA))
    write(inset, label, (8, height - 10), LABEL, INK)
    framed = cv2.copyMakeBorder(inset, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=INK)
    out = image.copy()
    out[GAP : GAP + framed.shape[0], GAP : GAP + framed.shape[1]] = framed
    return out


def heading(title: str, text: str) -> Image:
    """Make the heading of a section: its title and a line of text."""
    strip = blank(TITLE + 38, WIDTH)
    end = write(strip, title, (MARGIN, TITLE + 12), TITLE, INK, weight=600)
    write(strip, text, (end + 20, TITLE + 12), LABEL, GRAY)
    return strip


def row(panels: Sequence[Image]) -> Image:
    """Put panels side by side."""
    height = panels[0].shape[0]
    strip = blank(height + GAP, WIDTH)
    left = MARGIN
    for each in panels:
        strip[:height, left : left + each.shape[1]] = each
        left += each.shape[1] + GAP
    return strip


def sheet(*strips: Image) -> Image:
    """Put strips one below the other, with a margin above and below."""
    edge = blank(MARGIN - GAP, WIDTH)
    return np.vstack([edge, *strips, edge])


def blank(height: int, width: int) -> Image:
    """Make an empty strip in the colour of the paper."""
    return np.full((height, width, 3), PAPER, np.uint8)


def write(
    image: Image,
    text: str,
    at: tuple[int, int],
    size: int,
    colour: Sequence[int],
    weight: int = 400,
) -> int:
    """Write text on an image, in place. Returns the x of its right end."""
    (end, _), _ = cv2.putText(image, text, at, colour, FONT, size, weight)
    return int(end)
