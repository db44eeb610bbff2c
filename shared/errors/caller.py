"""Errors that are the caller's fault. They are never retried."""

from dataclasses import dataclass

from agewell.shared.errors.base import CallerError


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
