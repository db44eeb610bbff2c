"""Places in a queue's order: a number that counts up, in 14 digits, and the job's id."""

from typing import Final

SEQUENCE_DIGITS: Final = 14
"""As `order.lua` has it."""


def id_of(place: bytes) -> str:
    """The id of the job at a place."""
    return place[SEQUENCE_DIGITS:].decode()
