"""What `agewell doctor` finds: one thing looked at, how it stands, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a thing stands."""

    OK = "ok"
    NOTE = "note"
    """Works, but may surprise."""
    PROBLEM = "problem"
    """Does not work, or loses jobs one day."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    check: str
    verdict: Verdict
    found: str
    do: str = ""
    """What mends it; empty where nothing need be mended."""


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, Verdict.OK, found)


def note(check: str, found: str, do: str) -> Finding:
    """Works, but may surprise."""
    return Finding(check, Verdict.NOTE, found, do)


def problem(check: str, found: str, do: str) -> Finding:
    """Must be mended."""
    return Finding(check, Verdict.PROBLEM, found, do)
