"""Places in the repository that tests read from."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = ROOT / "examples" / "images"
