"""Priority levels: their numbers and names, and how to parse and show them."""

from agewell.shared.errors import ParameterError

LEVELS = tuple(range(10))
"""All priority levels. 0 is the most urgent, as in Celery on Redis."""

LEVEL_OF_NAME = {"urgent": 0, "high": 2, "normal": 5, "low": 7, "bulk": 9}
NAME_OF_LEVEL = {level: name for name, level in LEVEL_OF_NAME.items()}
DEFAULT_LEVEL = LEVEL_OF_NAME["normal"]


def level_label(level: int | None) -> str:
    """Return a level as people read it, such as `5 normal`. None becomes `-`."""
    if level is None:
        return "-"
    return f"{level} {NAME_OF_LEVEL.get(level, '')}".rstrip()


def level_from(text: str) -> int:
    """Parse a priority level: its name or its digit.

    Raises:
        ParameterError: the text is neither.
    """
    if text in LEVEL_OF_NAME:
        return LEVEL_OF_NAME[text]
    if len(text) == 1 and text.isdecimal() and int(text) in LEVELS:
        return int(text)
    raise ParameterError("priority", text, f"0 to 9, or one of {', '.join(LEVEL_OF_NAME)}")
