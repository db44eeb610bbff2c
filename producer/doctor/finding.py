"""The result of one check of `agewell doctor`, with advice on how to fix a problem."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The result of a check in one word."""

    OK = "ok"
    NOTE = "note"
    """It works, but may surprise you."""
    PROBLEM = "problem"
    """It does not work, or may lose jobs later."""


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    verdict: Verdict
    found: str
    do: str = ""
    """How to fix it. Empty if nothing needs fixing."""


def ok(check: str, found: str) -> Finding:
    """Report that all is well."""
    return Finding(check, Verdict.OK, found)


def note(check: str, found: str, do: str) -> Finding:
    """Report something that works, but may surprise you."""
    return Finding(check, Verdict.NOTE, found, do)


def problem(check: str, found: str, do: str) -> Finding:
    """Report something that must be fixed."""
    return Finding(check, Verdict.PROBLEM, found, do)
