"""Colours as parameters: `#rrggbb`, `#rrggbbaa` or `transparent`."""

import re
from typing import Annotated, Final

from pydantic import Field

from agewell.shared.errors import ParameterError

_PATTERN: Final = r"^(#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?|transparent)$"
_OPAQUE_PATTERN: Final = r"^#[0-9a-fA-F]{6}$"

Colour = Annotated[str, Field(pattern=_PATTERN)]
"""A colour as HTML writes it: `#rrggbb`, `#rrggbbaa` with its alpha, or `transparent`."""

OpaqueColour = Annotated[str, Field(pattern=_OPAQUE_PATTERN)]
"""A colour without alpha: `#rrggbb`."""


def parse_colour(text: str, parameter: str) -> tuple[int, int, int, int]:
    """Read a colour.

    Args:
        text: `#rrggbb`, `#rrggbbaa` or `transparent`. Capital digits are allowed.
        parameter: the name of the parameter, for the error message.

    Returns:
        Blue, green, red and straight alpha, 0..255. `transparent` is all zeros, and a colour
        without alpha is opaque: 255.

    Raises:
        ParameterError: it is no such colour.
    """
    if not re.fullmatch(_PATTERN, text):
        allowed = "#rrggbb, #rrggbbaa or transparent, such as #ff0000 for red"
        raise ParameterError(parameter, repr(text), allowed)
    if text == "transparent":
        return 0, 0, 0, 0
    red, green, blue, alpha = bytes.fromhex(text[1:].ljust(8, "f"))
    return blue, green, red, alpha
