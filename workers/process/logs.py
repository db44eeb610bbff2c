"""Removes control characters from log records: ids, names and errors in them come from anybody."""

import logging

from agewell.shared.text.printable import printable


class SafeRecord(logging.LogRecord):
    """A log record whose text cannot control a terminal or imitate another record."""

    def getMessage(self) -> str:  # noqa: N802  logging's own name
        """Return the text. Line breaks are kept, and each further line is indented."""
        return _safe(super().getMessage())

    @property
    def exc_text(self) -> str | None:
        """Return the record's traceback, as a formatter wrote it."""
        return self._exc_text

    @exc_text.setter
    def exc_text(self, text: str | None) -> None:
        self._exc_text = text and _safe(text)


def install() -> None:
    """Make every log record of this process a `SafeRecord`."""
    logging.setLogRecordFactory(SafeRecord)


def _safe(text: str) -> str:
    return "\n  ".join(map(printable, text.split("\n")))
