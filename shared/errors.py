"""All errors of agewell, in the order in which a job can meet them.

AgewellError
├── CallerError                the caller's fault: never retried
│   ├── SettingsError          a setting has a bad value
│   ├── BadJobError            a message is not a valid job
│   ├── MessageTooLargeError   a job's message is larger than AGEWELL_MAX_MESSAGE_BYTES
│   ├── ParameterError         a parameter is outside its range
│   ├── BadFileError           a file cannot be enqueued
│   ├── BadImageError          an image cannot be used
│   │   ├── UnknownFormatError     the first bytes belong to no supported format
│   │   ├── ImageTooLargeError     too many bytes or pixels, or a side is too long
│   │   ├── MultiFrameError        an animation, or several pages
│   │   ├── UndecodableError       truncated or damaged
│   │   └── UnsupportedPixelsError the operation does not support the depth or colour model
│   ├── ShapeError             the sizes or positions of several images do not fit
│   ├── MaskError              a mask selects nothing that can be blended
│   ├── BlobMissingError       a blob has expired or was never stored
│   ├── BlobDamagedError       a blob's bytes do not match its reference
│   ├── UnknownModelError      no model has this name, or it has no such version
│   ├── ModelError             a model cannot be loaded, or does not match its model.yaml
│   ├── CancelledError         the job was cancelled
│   └── JobTimeoutError        the job exceeded AGEWELL_JOB_TIME_LIMIT_S
├── PassingError               may pass by itself: retried
│   ├── BrokerUnreachableError Redis does not answer
│   ├── BrokerFullError        Redis has reached its maxmemory
│   ├── ScriptsMissingError    Redis does not have agewell's Lua scripts
│   ├── QueueFullError         a queue already holds AGEWELL_MAX_WAITING jobs
│   └── BlobStoreError         the blob store cannot be read or written
│       └── BlobStoreFullError     the blob store has no room left
├── AllItemsFailedError        every item of a job failed, each with its own error
└── InternalError              a fault of agewell or of its installation
    ├── IncompatibleError      the installed Celery, kombu or redis-py does not fit
    ├── DeadJobError           agewell gave up on the job; it is a dead letter now
    ├── LostJobError           the job is in no queue and with no worker
    ├── BackendError           a solver's backend failed, or none is usable
    ├── JobMemoryError         an item needs more memory than a worker process may use
    ├── ThumbnailError         the dashboard cannot make a thumbnail
    ├── InferenceError         a model failed on one image: it raised, or gave NaN
    └── OperationError         an operation raised an unexpected error

Every leaf is a dataclass. Its fields are JSON values in the order of ``args``, so Celery's JSON
result backend carries the whole error, and the caller gets the same error raised.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

STORED_MODULE: Final = "shared.errors"
"""The module name that stored results give for these errors: this module's name in agewell 0.1.

It never changes, so clients and workers of different versions can read each other's results.
"""


def stored_module(error: BaseException) -> str:
    """Return the module name to store for an error in a result."""
    return STORED_MODULE if isinstance(error, AgewellError) else type(error).__module__


def is_ours(stored_module: object, stored_type: object) -> bool:
    """True if a stored result's module and type name an error of this module."""
    found = globals().get(str(stored_type))
    return (
        stored_module in (STORED_MODULE, __name__)
        and isinstance(found, type)
        and issubclass(found, AgewellError)
    )


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


@dataclass(eq=False)
class SettingsError(CallerError):
    """A setting has a bad value. ``setting`` is the name of the environment variable."""

    setting: str
    reason: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.reason}"


@dataclass(eq=False)
class BadJobError(CallerError):
    """A message is not a valid agewell job."""

    reason: str

    def __str__(self) -> str:
        return f"not a valid job: {self.reason}"


@dataclass(eq=False)
class MessageTooLargeError(CallerError):
    """A job's message is larger than AGEWELL_MAX_MESSAGE_BYTES."""

    size_bytes: int
    limit_bytes: int

    def __str__(self) -> str:
        return (
            f"the job's message has {self.size_bytes:,} bytes; AGEWELL_MAX_MESSAGE_BYTES is "
            f"{self.limit_bytes:,}. Put fewer images into one job, or put them into the blob store "
            "instead of the message"
        )


@dataclass(eq=False)
class ParameterError(CallerError):
    """A parameter is outside its range."""

    parameter: str
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.parameter} is {self.found}; allowed: {self.allowed}"


@dataclass(eq=False)
class BadFileError(CallerError):
    """A file cannot be enqueued."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(eq=False)
class BadImageError(CallerError):
    """An image cannot be used. ``name`` is the caller's name for it."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class UnknownFormatError(BadImageError):
    """The first bytes belong to no image format that agewell supports."""


class ImageTooLargeError(BadImageError):
    """The image has more bytes, more pixels or a longer side than the settings allow."""


class MultiFrameError(BadImageError):
    """The image is an animation, or has several pages."""


class UndecodableError(BadImageError):
    """The image is truncated or damaged."""


class UnsupportedPixelsError(BadImageError):
    """The operation does not support the image's bit depth or colour model."""


@dataclass(eq=False)
class ShapeError(CallerError):
    """The sizes or positions of several images do not fit together."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class MaskError(CallerError):
    """A mask selects nothing that can be blended."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(eq=False)
class BlobMissingError(CallerError):
    """A blob has expired, or was never stored."""

    name: str
    uri: str

    def __str__(self) -> str:
        return (
            f"{self.name}: no such blob, expired or never stored: {self.uri}; send the image again"
        )


@dataclass(eq=False)
class BlobDamagedError(CallerError):
    """A blob's bytes do not match its reference, or the reference names no readable store."""

    name: str
    uri: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: damaged blob {self.uri}: {self.reason}"


@dataclass(eq=False)
class UnknownModelError(CallerError):
    """No model has this name, or it has no such version. ``known`` lists the existing ones."""

    model: str
    known: str

    def __str__(self) -> str:
        return f"no model {self.model}; there are: {self.known or 'none'}"


@dataclass(eq=False)
class ModelError(CallerError):
    """A version of a model cannot be loaded, or does not match its model.yaml."""

    model: str
    version: str
    reason: str

    def __str__(self) -> str:
        return f"model {self.model}/{self.version}: {self.reason}"


@dataclass(eq=False)
class CancelledError(CallerError):
    """The job was cancelled."""

    reason: str = "cancelled by the caller"

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class JobTimeoutError(CallerError):
    """The job ran for longer than ``limit_s``, the AGEWELL_JOB_TIME_LIMIT_S of its worker."""

    limit_s: float

    def __str__(self) -> str:
        return (
            f"ran for longer than {self.limit_s} s, and was ended; put fewer images into a job, or "
            "raise AGEWELL_JOB_TIME_LIMIT_S of the worker"
        )


@dataclass(eq=False)
class BrokerUnreachableError(PassingError):
    """Redis does not answer."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"Redis cannot be reached at {self.url}: {self.reason}"


@dataclass(eq=False)
class BrokerFullError(PassingError):
    """Redis refused to write because it has reached its maxmemory."""

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
            "(SCRIPT LOAD): start upkeep or a worker, which load them, and try again"
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
