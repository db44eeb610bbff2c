"""Places in a queue's order. A place is a 14-digit number that counts up, and the job's id."""

from typing import Final

SEQUENCE_DIGITS: Final = 14
"""The same as in `order.lua`."""


def id_of(place: bytes) -> str:
    """Return the id of the job at a place."""
    return place[SEQUENCE_DIGITS:].decode()
