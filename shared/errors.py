"""Every error of ours, in the order of where a job can meet it.

AgewellError
├── CallerError                the caller's fault: never retried
│   ├── SettingsError          a setting has a bad value
│   ├── BadJobError            a message is no job of ours
│   ├── MessageTooLargeError   a job's message is larger than AGEWELL_MAX_MESSAGE_BYTES
│   ├── ParameterError         a parameter is outside its range
│   ├── BadFileError           a file cannot be enqueued
│   ├── BadImageError          bytes are no image that we take
│   │   ├── UnknownFormatError     by their first bytes
│   │   ├── ImageTooLargeError     in bytes, in pixels or on a side
│   │   ├── MultiFrameError        an animation, or several pages
│   │   ├── UndecodableError       truncated or damaged
│   │   └── UnsupportedPixelsError a depth or a colour model that the operation does not take
│   ├── ShapeError             the sizes or positions of several images do not fit
│   ├── MaskError              a mask selects nothing that can be blended
│   ├── BlobMissingError       a blob has expired or was never stored
│   ├── BlobDamagedError       a blob's bytes are not those of its name
│   ├── UnknownModelError      no model of this name, or no such version of it
│   ├── ModelError             a model cannot be loaded, or is not what its model.yaml says
│   ├── CancelledError         the job was cancelled while it ran
│   └── JobTimeoutError        the job ran for longer than it may
├── PassingError               may pass: retried
│   ├── BrokerUnreachableError Redis does not answer
│   ├── BrokerFullError        Redis has no memory left for it
│   ├── ScriptsMissingError    Redis has not been given agewell's scripts
│   ├── QueueFullError         as many jobs wait in a queue as may
│   └── BlobStoreError         the blob store does not take or give what it should
│       └── BlobStoreFullError     it has no room left
├── AllItemsFailedError        every item of a job failed, each with an error of its own
└── InternalError              ours to mend
    ├── IncompatibleError      a part of Celery, kombu or redis-py is not what agewell needs
    ├── DeadJobError           the job is given up, and kept among the dead letters
    ├── LostJobError           the job is in no queue and with no worker
    ├── BackendError           a solver's backend failed, or none is usable
    ├── JobMemoryError         an item needs more memory than a worker process may take
    ├── ThumbnailError         the dashboard cannot make a small picture
    ├── InferenceError         a model failed on one image: it raised, or gave no numbers
    └── OperationError         an operation failed in a way that nobody foresaw

Every leaf is a dataclass whose fields are JSON values, in the order of ``args``; so Celery's
JSON result backend carries it to the caller whole, and raises the same error there.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

STORED_MODULE: Final = "shared.errors"
"""The module that stored results name for these errors: this one's name in agewell 0.1.

It stays, so that clients of 0.1 read the results of today's workers, and today's those of 0.1.
"""


def stored_module(error: BaseException) -> str:
    """The module that a stored result names for an error."""
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
        """Keep the values in ``args``, from which Celery and pickle build the error again."""
        self.args = tuple(getattr(self, field.name) for field in fields(self))

    @property
    def code(self) -> str:
        """The class's name: what programs compare."""
        return type(self).__name__


class CallerError(AgewellError):
    """The caller's fault: trying again would fail again."""


class PassingError(AgewellError):
    """May pass by itself: worth another try."""


class InternalError(AgewellError):
    """A fault of agewell or of its installation."""


@dataclass(eq=False)
class SettingsError(CallerError):
    """A setting has a bad value; ``setting`` is the environment variable."""

    setting: str
    reason: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.reason}"


@dataclass(eq=False)
class BadJobError(CallerError):
    """A message is no job of ours."""

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
            f"{self.limit_bytes:,}. Put fewer images into one job, or store them first instead of "
            "sending them inside the message"
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
    """Bytes are no image that agewell takes; ``name`` is the caller's name for them."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class UnknownFormatError(BadImageError):
    """The first bytes are those of no format that agewell takes."""


class ImageTooLargeError(BadImageError):
    """More bytes, more pixels or a longer side than the settings allow."""


class MultiFrameError(BadImageError):
    """An animation, or several pages."""


class UndecodableError(BadImageError):
    """Truncated or damaged."""


class UnsupportedPixelsError(BadImageError):
    """A depth or a colour model that the operation does not take."""


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
        return f"{self.name}: no such blob, expired or never stored: {self.uri}"


@dataclass(eq=False)
class BlobDamagedError(CallerError):
    """A blob's bytes are not those of its name."""

    name: str
    uri: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: damaged blob {self.uri}: {self.reason}"


@dataclass(eq=False)
class UnknownModelError(CallerError):
    """No model of this name, or no such version of it; ``known`` are those that there are."""

    model: str
    known: str

    def __str__(self) -> str:
        return f"no model {self.model}; there are: {self.known or 'none'}"


@dataclass(eq=False)
class ModelError(CallerError):
    """A version of a model cannot be loaded, or is not what its model.yaml says."""

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
    """The job ran for longer than it may; AGEWELL_JOB_TIME_LIMIT_S on the worker."""

    limit_s: float

    def __str__(self) -> str:
        return f"ran for longer than {self.limit_s} s, and was ended"


@dataclass(eq=False)
class BrokerUnreachableError(PassingError):
    """Redis does not answer."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"Redis cannot be reached at {self.url}: {self.reason}"


@dataclass(eq=False)
class BrokerFullError(PassingError):
    """Redis has no memory left for it (maxmemory, noeviction)."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"Redis at {self.url} is full: {self.reason}"


@dataclass(eq=False)
class ScriptsMissingError(PassingError):
    """Redis does not know agewell's scripts, and this user may not give it any."""

    def __str__(self) -> str:
        return (
            "Redis has not been given agewell's scripts since it started, and this Redis user may "
            "not give it any (SCRIPT LOAD): start upkeep or a worker, which do, and try again"
        )


@dataclass(eq=False)
class QueueFullError(PassingError):
    """As many jobs wait in a queue as may; AGEWELL_MAX_WAITING."""

    queue: str
    waiting: int
    limit: int

    def __str__(self) -> str:
        return f"queue {self.queue} is full: {self.waiting} jobs wait, {self.limit} may"


@dataclass(eq=False)
class BlobStoreError(PassingError):
    """The blob store does not take or give what it should: a full disk, missing rights."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"blob store {self.url}: {self.reason}"


class BlobStoreFullError(BlobStoreError):
    """The blob store has no room left: a full disk, or a quota."""


@dataclass(eq=False)
class IncompatibleError(InternalError):
    """A part of another package that agewell overrides or calls is missing in this version."""

    package: str
    version: str
    hook: str
    tested: str

    def __str__(self) -> str:
        return (
            f"{self.package} {self.version} has no {self.hook}, which agewell builds on. "
            f"Install a version that it is tested with: pip install '{self.package}{self.tested}'"
        )


@dataclass(eq=False)
class DeadJobError(InternalError):
    """The job is given up, and kept among the dead letters."""

    reason: str

    def __str__(self) -> str:
        return f"given up: {self.reason}"


@dataclass(eq=False)
class LostJobError(InternalError):
    """The job is in no queue and with no worker: somebody took its message away."""

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
    """An item needs more memory than a worker process may take; ``name`` is its image."""

    name: str
    limit_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.name}: not enough memory: a worker process may take {self.limit_bytes} "
            "bytes; raise AGEWELL_JOB_MEMORY_BYTES there, or send a smaller image"
        )


@dataclass(eq=False)
class ThumbnailError(InternalError):
    """The dashboard cannot make a small picture of an image; ``name`` is the image's."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: no thumbnail: {self.reason}"


@dataclass(eq=False)
class InferenceError(InternalError):
    """A model failed on one image; its neighbours in the batch did not."""

    name: str
    model: str
    version: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: model {self.model}/{self.version} failed: {self.reason}"


@dataclass(eq=False)
class OperationError(InternalError):
    """An operation failed in a way that nobody foresaw; ``name`` is the item's image."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: the operation failed: {self.reason}"


@dataclass(eq=False)
class AllItemsFailedError(AgewellError):
    """Every item of a job failed; ``errors`` are their `ErrorInfo` documents, in order."""

    errors: list[dict[str, Any]]

    def __str__(self) -> str:
        return f"all {len(self.errors)} items failed; the first: {self.errors[0]['message']}"
