"""A hook of mkdocs that makes the documentation's gallery from the results of `make demo`."""

import itertools
from pathlib import Path
from typing import Any

import cv2
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "demo-output"
PHOTOS = ROOT / "examples" / "images"
WIDTH_PX, QUALITY = 480, 82

SECTIONS = {
    "hsv": ("BGR to HSV", "Hue, saturation and value, shown as if they were blue, green and red."),
    "blend": ("Alpha blending", "By the foreground's own alpha channel, and by a mask."),
    "poisson": ("Poisson blending", "The source's gradients, in the destination's colours."),
}


def on_files(files: Files, config: Any) -> Files:
    """Add small copies of the pictures to the site's files.

    Raises:
        PluginError: `make demo` has not run.
    """
    if not (OUTPUT / "contact-sheet.jpg").exists():
        raise PluginError(f"{OUTPUT} holds no demo: run `make demo` first")
    for folder in SECTIONS:
        for path in itertools.chain.from_iterable(_pictures(folder)):
            files.append(File.generated(config, _uri(path), content=_small(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Add the pictures to the gallery's page. Other pages stay unchanged."""
    if page.file.src_uri != "gallery.md":
        return markdown
    parts = [markdown]
    for folder, (title, text) in SECTIONS.items():
        parts += [f"## {title}", text]
        for row in _pictures(folder):
            name = row[-1].name.split(".")[0].replace("-", " ")
            parts.append("\n".join(f"![{name}]({_uri(path)}){{ loading=lazy }}" for path in row))
    return "\n\n".join(parts) + "\n"


def _pictures(folder: str) -> list[list[Path]]:
    """Return a list of pictures to show side by side, for each result."""
    rows = []
    for made in sorted((OUTPUT / folder).iterdir()):
        before = PHOTOS / f"{made.name.split('.')[0]}.jpg"
        rows.append([before, made] if folder == "hsv" and before.exists() else [made])
    return rows


def _uri(path: Path) -> str:
    return f"images/gallery/{path.stem}.jpg"


def _small(path: Path) -> bytes:
    image = cv2.imread(str(path))
    height = round(image.shape[0] * WIDTH_PX / image.shape[1])
    small = cv2.resize(image, (WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])
