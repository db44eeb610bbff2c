"""The model card of a trained colorizer: its data, its training and its measurements."""

from pathlib import Path
from typing import Any

_ROWS = {
    "gray": "gray, the input",
    "mean colour": "one colour: the photo's mean",
    "network, constant palette": "**the network**, with one palette for all photos",
    "closed formula": "closed formula: softmax over log share - (L - Lᵢ)² / 2·8²",
    "best function of L": "the best that any function of L alone can do",
    "network": "**the network**, with the photo's own palette",
    "nearest palette colour (ceiling)": "nearest colour of the palette: the ceiling",
    "the photo itself": "the photo itself, through 32-bit Lab and back",
}


def write(directory: Path, figures: dict[str, Any]) -> None:
    """Write README.md next to the weights.

    Args:
        directory: of the version, `.../NAME/VERSION`.
        figures: as `Training.finish` returns them.
    """
    version = f"{directory.resolve().parent.name}/{directory.resolve().name}"
    text = f"""# {version}

Colours photos from their luminance and a palette.

| | |
| --- | --- |
| network | `workers/models/library/colorizer/network.py`, {figures["weights"]:,} weights |
| trained on | crops of {figures["photos"]} photographs, with random changes of colour |
| for how long | {figures["steps"]:,} steps of 8 crops, {figures["minutes"]:.0f} minutes |
| measured on | {figures["held_out_photos"]} other photographs, each with its own 8 colours |

{table(figures)}

Means over the photos. PSNR is over the a and b channels of OpenCV's 8-bit Lab together (peak 255);
colourfulness is Hasler and Süsstrunk's (0 gray, 15 slightly, 45 quite, 80 highly colourful).
"""
    (directory / "README.md").write_text(text)


def table(figures: dict[str, Any]) -> str:
    """Format the measured figures as a Markdown table, with the lowest PSNR first."""
    rows = sorted(figures["held_out"].items(), key=lambda row: row[1]["psnr_ab"])
    lines = ["| colours | PSNR over ab, dB | colourfulness |", "| --- | --- | --- |"]
    lines += [
        f"| {_ROWS[name]} | {row['psnr_ab']:.2f} | {row['colourfulness']:.1f} |"
        for name, row in rows
    ]
    return "\n".join(lines)
