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
│   ├── BrokerFullError        Redis has reached its maxmemory, or its disk is full
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

from typing import Final

from agewell.shared.errors.base import (
    AgewellError,
    CallerError,
    InternalError,
    PassingError,
)
from agewell.shared.errors.caller import (
    BadFileError,
    BadImageError,
    BadJobError,
    BlobDamagedError,
    BlobMissingError,
    CancelledError,
    ImageTooLargeError,
    JobTimeoutError,
    MaskError,
    MessageTooLargeError,
    ModelError,
    MultiFrameError,
    ParameterError,
    SettingsError,
    ShapeError,
    UndecodableError,
    UnknownFormatError,
    UnknownModelError,
    UnsupportedPixelsError,
)
from agewell.shared.errors.internal import (
    AllItemsFailedError,
    BackendError,
    DeadJobError,
    IncompatibleError,
    InferenceError,
    JobMemoryError,
    LostJobError,
    OperationError,
    ThumbnailError,
)
from agewell.shared.errors.passing import (
    BlobStoreError,
    BlobStoreFullError,
    BrokerFullError,
    BrokerUnreachableError,
    QueueFullError,
    ScriptsMissingError,
)

__all__ = [  # noqa: RUF022 - in the order of the tree
    "STORED_MODULE",
    "stored_module",
    "is_ours",
    "AgewellError",
    "CallerError",
    "SettingsError",
    "BadJobError",
    "MessageTooLargeError",
    "ParameterError",
    "BadFileError",
    "BadImageError",
    "UnknownFormatError",
    "ImageTooLargeError",
    "MultiFrameError",
    "UndecodableError",
    "UnsupportedPixelsError",
    "ShapeError",
    "MaskError",
    "BlobMissingError",
    "BlobDamagedError",
    "UnknownModelError",
    "ModelError",
    "CancelledError",
    "JobTimeoutError",
    "PassingError",
    "BrokerUnreachableError",
    "BrokerFullError",
    "ScriptsMissingError",
    "QueueFullError",
    "BlobStoreError",
    "BlobStoreFullError",
    "AllItemsFailedError",
    "InternalError",
    "IncompatibleError",
    "DeadJobError",
    "LostJobError",
    "BackendError",
    "JobMemoryError",
    "ThumbnailError",
    "InferenceError",
    "OperationError",
]

STORED_MODULE: Final = "shared.errors"
"""The module name that stored results give for these errors: their module in agewell 0.1.

It never changes, so clients and workers of different versions can read each other's results.
"""


def stored_module(error: BaseException) -> str:
    """Return the module name to store for an error in a result."""
    return STORED_MODULE if isinstance(error, AgewellError) else type(error).__module__


def is_ours(stored_module: object, stored_type: object) -> bool:
    """True if a stored result's module and type name an error of this package."""
    found = globals().get(str(stored_type))
    return (
        stored_module in (STORED_MODULE, __name__)
        and isinstance(found, type)
        and issubclass(found, AgewellError)
    )
