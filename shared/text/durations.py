"""Parser of times as people write them: `90`, `90s`, `5m`, `1h30m`, `2d`.

All options and settings in seconds use it, so they all accept the same forms.
"""

import math
import re
from typing import Any, Final

SECONDS_OF: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
"""Seconds of each unit. `min` is read as `m`, because the commands print minutes that way."""

EXAMPLES: Final = "90, 90s, 5m, 1h30m, 2d"

LONGEST_S: Final = 100 * 365 * SECONDS_OF["d"]
"""A hundred years. A longer time is surely a mistake, and may overflow Redis's clock."""

_PARTS = re.compile(r"(-?)((?:[0-9]+(?:\.[0-9]+)?\s*(?:ms|min|[smhdw])\s*)+)")
_PART = re.compile(r"([0-9.]+)\s*(ms|min|[smhdw])")


def parse_duration(text: str) -> float:
    """Parse a time.

    Args:
        text: a number of seconds, or numbers with the units ms, s, m (or min), h, d, w.

    Returns:
        Seconds, 0 or more and finite.

    Raises:
        ValueError: the text is not a time, is negative, or is longer than a hundred years. The
            error shows the accepted forms.
    """
    seconds = _plain(text)
    if seconds is None:
        seconds = _with_units(text)
    if seconds is None or math.isnan(seconds):
        raise ValueError(f"not a time: write {EXAMPLES}")
    if seconds < 0:
        raise ValueError(f"negative: write {EXAMPLES}")
    if seconds > LONGEST_S:
        raise ValueError("longer than a hundred years, the most that is allowed")
    return seconds


def _plain(text: str) -> float | None:
    """Parse a number without a unit."""
    try:
        return float(text)
    except ValueError:
        return None


def _with_units(text: str) -> float | None:
    """Parse numbers with units. Each unit may occur once."""
    found = _PARTS.fullmatch(text.strip())
    if found is None:
        return None
    parts = [(number, unit.replace("min", "m")) for number, unit in _PART.findall(found[2])]
    if len({unit for _, unit in parts}) < len(parts):
        return None
    seconds = math.fsum(float(number) * SECONDS_OF[unit] for number, unit in parts)
    return -seconds if found[1] else seconds


def read_seconds(value: Any) -> Any:
    """Parse a setting's text as seconds. Other values are left to pydantic."""
    return parse_duration(value) if isinstance(value, str) else value
