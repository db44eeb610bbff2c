"""Read the values of a job's parameters, which are JSON values."""

from collections.abc import Mapping, Sequence
from typing import Any

from agewell.shared.errors import ParameterError
from agewell.shared.text.problems import shortened


def fraction(given: Mapping[str, Any], name: str, default: float) -> float:
    """Return a number of 0 to 1.

    Raises:
        ParameterError: the value is another one.
    """
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ParameterError(name, shortened(value), "a number, 0 to 1")
    return float(value)


def whole(given: Mapping[str, Any], name: str, default: int, most: int) -> int:
    """Return a whole number of 1 to `most`.

    Raises:
        ParameterError: the value is another one.
    """
    value = given.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ParameterError(name, shortened(value), f"1 to {most}, a whole number")
    return value


def flag(given: Mapping[str, Any], name: str, default: bool) -> bool:
    """Return True or False.

    Raises:
        ParameterError: the value is another one.
    """
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise ParameterError(name, shortened(value), "true or false")
    return value


class Classes:
    """The classes of a network: their number, if it is known, and their names."""

    def __init__(self, labels: Sequence[str], count: int | None) -> None:
        """Name the classes.

        Args:
            labels: the first names. A class beyond them is named by its number.
            count: the number of classes. None: that of the labels, or unknown without labels.
        """
        self._labels = labels
        self.count = count or len(labels) or None

    def name(self, number: int) -> str:
        """Return the name of a class."""
        return self._labels[number] if number < len(self._labels) else str(number)

    def chosen(self, given: Mapping[str, Any], name: str) -> tuple[int, ...]:
        """Return the classes that a parameter names, by labels or numbers with commas between.

        Args:
            given: the job's parameters.
            name: the parameter. Without it, no class is chosen.

        Raises:
            ParameterError: there is no such class.
        """
        value = given.get(name)
        if value is None:
            return ()
        text = str(value)
        parts = [text] if text in self._labels else [each.strip() for each in text.split(",")]
        if isinstance(value, bool | float) or not all(parts):
            raise ParameterError(name, shortened(value), self._allowed())
        return tuple(number for each in parts for number in self._numbers(name, each))

    def _numbers(self, name: str, text: str) -> list[int]:
        named = [number for number, label in enumerate(self._labels) if label == text]
        if named:
            return named
        if text.isascii() and text.isdigit() and (self.count is None or int(text) < self.count):
            return [int(text)]
        raise ParameterError(name, shortened(text), self._allowed())

    def _allowed(self) -> str:
        shown = ", ".join(self._labels[:20])
        more = f" and {len(self._labels) - 20} more" if len(self._labels) > 20 else ""
        numbers = "a number from 0" if self.count is None else f"a number, 0 to {self.count - 1}"
        return f"{shown}{more}, or {numbers}" if shown else numbers
