"""The base of all errors, and its branches."""

from dataclasses import dataclass, fields


@dataclass(eq=False)
class AgewellError(Exception):
    """The base of every error that agewell raises on purpose."""

    def __post_init__(self) -> None:
        """Copy the fields to ``args``, from which Celery and pickle rebuild the error."""
        self.args = tuple(getattr(self, field.name) for field in fields(self))

    @property
    def code(self) -> str:
        """The name of the class, for programs to compare."""
        return type(self).__name__


class CallerError(AgewellError):
    """The caller's fault. It is never retried, because it would fail again."""


class PassingError(AgewellError):
    """A fault that may pass by itself, so the job or request is retried."""


class InternalError(AgewellError):
    """A fault of agewell or of its installation."""
