"""Priority levels: numbers, names, and how they are read."""

from agewell.shared.errors import ParameterError

LEVELS = tuple(range(10))
"""Priority levels; 0 is the most urgent, as Celery on Redis has it."""

LEVEL_OF_NAME = {"urgent": 0, "high": 2, "normal": 5, "low": 7, "bulk": 9}
NAME_OF_LEVEL = {level: name for name, level in LEVEL_OF_NAME.items()}
DEFAULT_LEVEL = LEVEL_OF_NAME["normal"]


def level_label(level: int | None) -> str:
    """A level as people read it: `5 normal`; `-` if it is unknown."""
    if level is None:
        return "-"
    return f"{level} {NAME_OF_LEVEL.get(level, '')}".rstrip()


def level_from(text: str) -> int:
    """Read a priority level from its name or its digit.

    Raises:
        ParameterError: the text is neither.
    """
    if text in LEVEL_OF_NAME:
        return LEVEL_OF_NAME[text]
    if len(text) == 1 and text.isdecimal() and int(text) in LEVELS:
        return int(text)
    raise ParameterError("priority", text, f"0 to 9, or one of {', '.join(LEVEL_OF_NAME)}")
