"""Log records without control characters: ids, names and errors in them come from anybody."""

import logging

from agewell.shared.text.printable import printable


class SafeRecord(logging.LogRecord):
    """A record whose text does nothing to a terminal, and cannot pass for a record of its own."""

    def getMessage(self) -> str:  # noqa: N802  logging's own name
        """The text, its line breaks kept, each further line indented."""
        return _safe(super().getMessage())

    @property
    def exc_text(self) -> str | None:
        """The traceback that belongs to the record, as a formatter wrote it."""
        return self._exc_text

    @exc_text.setter
    def exc_text(self, text: str | None) -> None:
        self._exc_text = text and _safe(text)


def install() -> None:
    """Make every log record of this process a safe one."""
    logging.setLogRecordFactory(SafeRecord)


def _safe(text: str) -> str:
    return "\n  ".join(map(printable, text.split("\n")))
