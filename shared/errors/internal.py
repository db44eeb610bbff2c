"""Faults of agewell or of its installation, and the error of a job that failed as a whole."""

from dataclasses import dataclass
from typing import Any

from agewell.shared.errors.base import AgewellError, InternalError


@dataclass(eq=False)
class IncompatibleError(InternalError):
    """The installed version of a package lacks a part that agewell overrides or calls."""

    package: str
    version: str
    hook: str
    tested: str

    def __str__(self) -> str:
        return (
            f"{self.package} {self.version} has no {self.hook}, which agewell needs. "
            f"Install a tested version: pip install '{self.package}{self.tested}'"
        )


@dataclass(eq=False)
class DeadJobError(InternalError):
    """Agewell gave up on the job and keeps it as a dead letter."""

    reason: str

    def __str__(self) -> str:
        return f"given up: {self.reason}"


@dataclass(eq=False)
class LostJobError(InternalError):
    """The job is in no queue and with no worker, because its message was removed from Redis."""

    reason: str = "its message is in no queue and with no worker"

    def __str__(self) -> str:
        return f"lost: {self.reason}"


@dataclass(eq=False)
class BackendError(InternalError):
    """A solver's backend failed, or none is usable."""

    backend: str
    reason: str

    def __str__(self) -> str:
        return f"backend {self.backend}: {self.reason}"


@dataclass(eq=False)
class JobMemoryError(InternalError):
    """An item needs more memory than a worker process may use. ``name`` is its image's name."""

    name: str
    limit_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.name}: not enough memory: a worker process may use {self.limit_bytes} "
            "bytes; raise AGEWELL_JOB_MEMORY_BYTES of the worker, or send a smaller image"
        )


@dataclass(eq=False)
class ThumbnailError(InternalError):
    """The dashboard cannot make a thumbnail of an image. ``name`` is the image's name."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: no thumbnail: {self.reason}"


@dataclass(eq=False)
class InferenceError(InternalError):
    """A model failed on one image. The other images of its batch are not affected."""

    name: str
    model: str
    version: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: model {self.model}/{self.version} failed: {self.reason}"


@dataclass(eq=False)
class OperationError(InternalError):
    """An operation raised an unexpected error. ``name`` is the name of the item's image."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: the operation failed: {self.reason}"


@dataclass(eq=False)
class AllItemsFailedError(AgewellError):
    """Every item of a job failed. ``errors`` holds their `ErrorInfo` documents, in order."""

    errors: list[dict[str, Any]]

    def __str__(self) -> str:
        return f"all {len(self.errors)} items failed; the first: {self.errors[0]['message']}"
