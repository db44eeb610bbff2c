"""Errors that may pass by themselves. They are retried."""

from dataclasses import dataclass

from agewell.shared.errors.base import PassingError


@dataclass(eq=False)
class BrokerUnreachableError(PassingError):
    """Redis does not answer."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"Redis cannot be reached at {self.url}: {self.reason}"


@dataclass(eq=False)
class BrokerFullError(PassingError):
    """Redis refused to write: its maxmemory is reached, or its disk is full."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"Redis at {self.url} is full: {self.reason}"


@dataclass(eq=False)
class ScriptsMissingError(PassingError):
    """Redis does not have agewell's scripts, and this Redis user may not load them."""

    def __str__(self) -> str:
        return (
            "Redis does not have agewell's scripts, and this Redis user may not load them "
            "(SCRIPT LOAD): start upkeep or a worker of this version, which loads them, "
            "and try again"
        )


@dataclass(eq=False)
class QueueFullError(PassingError):
    """A queue already holds AGEWELL_MAX_WAITING waiting jobs."""

    queue: str
    waiting: int
    limit: int

    def __str__(self) -> str:
        return f"queue {self.queue} is full: {self.waiting} jobs wait, {self.limit} may"


@dataclass(eq=False)
class BlobStoreError(PassingError):
    """The blob store cannot be read or written, for example because of missing rights."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"blob store {self.url}: {self.reason}"


class BlobStoreFullError(BlobStoreError):
    """The blob store has no room left: a full disk, or a quota."""
