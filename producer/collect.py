"""Waiting for jobs to end, and writing what they made."""

import contextlib
import itertools
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import redis
from celery import Celery
from celery.exceptions import TaskRevokedError
from celery.states import READY_STATES, REVOKED, SUCCESS
from pydantic import ValidationError

from shared import keys
from shared.blobs import Blobs
from shared.entry import State
from shared.errors import (
    AgewellError,
    AllItemsFailedError,
    BadFileError,
    BrokerUnreachableError,
    DeadJobError,
)
from shared.messages import ErrorInfo, ImageRef, ItemResult, JobResult
from shared.problems import first_problem
from shared.redis_client import REDIS_ERRORS, unreachable
from shared.results import EXPIRED
from shared.settings import Settings

WINDOW_JOBS = 256
"""Jobs asked about at a time: the oldest ones, as they end first."""

AWAY_MAX_S = 60.0
"""A Redis that restarts or fails over while somebody waits is waited for as well."""

POLL_MIN_S, POLL_MAX_S = 0.01, 0.1


@dataclass(frozen=True)
class Outcome:
    """How a job ended: item by item, or, where it never came to items, by one error."""

    job_id: str
    state: State
    items: tuple[ItemResult, ...]
    error: ErrorInfo | None = None

    @property
    def images(self) -> list[ImageRef]:
        """The images that the job made, in the order of its items; failed ones have none."""
        return [item.image for item in self.items if item.image is not None]

    @property
    def errors(self) -> list[ErrorInfo]:
        """Everything that went wrong in it."""
        of_items = [item.error for item in self.items if item.error is not None]
        return of_items if self.error is None else [self.error]


class Collector:
    """Reads results, in the order in which jobs were sent as far as they end so."""

    def __init__(self, app: Celery, client: redis.Redis, settings: Settings) -> None:
        self._backend = app.backend
        self._client = client
        self._settings = settings

    def outcomes(self, job_ids: Iterable[str], timeout_s: float | None = None) -> Iterator[Outcome]:
        """Wait for every job, and yield each as it ends.

        Args:
            job_ids: ids of jobs; one that nobody sent is waited for as well.
            timeout_s: how long to wait for all of them; None: for ever.

        Raises:
            TimeoutError: some have not ended by then.
            BrokerUnreachableError: Redis does not answer, and has not for a minute.
        """
        deadline = time.monotonic() + (math.inf if timeout_s is None else timeout_s)
        pending = deque(job_ids)
        pause_s = POLL_MIN_S
        answered_at = time.monotonic()
        while pending:
            ended = []
            try:
                ended = self._poll(pending)
                answered_at = time.monotonic()
            except BrokerUnreachableError:
                if time.monotonic() - answered_at > AWAY_MAX_S:
                    raise
            yield from ended
            if pending and time.monotonic() >= deadline:
                raise TimeoutError(f"{len(pending)} jobs have not ended in {timeout_s:g} s")
            pause_s = POLL_MIN_S if ended else min(2 * pause_s, POLL_MAX_S)
            if not ended:
                time.sleep(pause_s)

    def get(self, job_id: str) -> Outcome | None:
        """A job's outcome, None while it has none."""
        return next(iter(self._poll(deque([job_id]))), None)

    def _poll(self, pending: deque[str]) -> list[Outcome]:
        """Ask about the oldest jobs; take those that have ended out of `pending`."""
        window = list(itertools.islice(pending, WINDOW_JOBS))
        try:
            raw = self._client.mget([keys.result(job_id) for job_id in window])
        except REDIS_ERRORS as error:
            raise unreachable(self._settings, error) from error
        found = [
            (job_id, read_outcome(self._backend, job_id, document))
            for job_id, document in zip(window, raw, strict=True)
        ]
        for _ in window:
            pending.popleft()
        pending.extendleft(job_id for job_id, outcome in reversed(found) if outcome is None)
        return [outcome for _, outcome in found if outcome is not None]


def read_outcome(backend: Any, job_id: str, document: bytes | str | None) -> Outcome | None:
    """Read what Celery's result backend keeps of a job; None while it has not ended."""
    if document is None:
        return None
    meta = backend.decode_result(document)
    if meta["status"] not in READY_STATES:
        return None
    if meta["status"] == SUCCESS:
        return _success(job_id, meta["result"])
    return _failure(job_id, meta)


def _success(job_id: str, result: Any) -> Outcome:
    try:
        items = JobResult.model_validate(result).items
    except ValidationError as error:
        reason = first_problem(error).line("the result")
        info = ErrorInfo(code="BadResult", message=f"not a result of ours: {reason}")
        return Outcome(job_id, State.FAILED, (), info)
    return Outcome(job_id, State.DONE, items)


def _failure(job_id: str, meta: dict[str, Any]) -> Outcome:
    error = meta["result"]
    if meta["status"] == REVOKED and EXPIRED in str(error):
        reason = "expired: its deadline passed before it could start"
        return Outcome(job_id, State.EXPIRED, (), ErrorInfo(code="Expired", message=reason))
    if isinstance(error, DeadJobError):
        return Outcome(job_id, State.DEAD, (), ErrorInfo.of(error))
    if meta["status"] == REVOKED or isinstance(error, TaskRevokedError):
        return Outcome(
            job_id, State.CANCELLED, (), ErrorInfo(code="Cancelled", message="cancelled")
        )
    if isinstance(error, AllItemsFailedError):
        return Outcome(job_id, State.FAILED, tuple(_failed_item(each) for each in error.errors))
    if isinstance(error, AgewellError):
        return Outcome(job_id, State.FAILED, (), ErrorInfo.of(error))
    info = ErrorInfo(code=type(error).__name__, message=str(error))
    return Outcome(job_id, State.FAILED, (), info)


def _failed_item(document: Any) -> ItemResult:
    try:
        return ItemResult(error=ErrorInfo.model_validate(document))
    except ValidationError as error:
        reason = first_problem(error).line("the error")
        info = ErrorInfo(code="BadResult", message=f"not an error of ours: {reason}")
        return ItemResult(error=info)


class ResultWriter:
    """Writes results below a folder; two of the same name get a file each."""

    def __init__(self, blobs: Blobs, out: Path) -> None:
        self._blobs = blobs
        self._out = out
        self._written: set[Path] = set()

    def write(self, items: Iterable[ItemResult]) -> list[Path]:
        """Write the files of each item that has some; the paths written.

        Raises:
            BlobMissingError: a result has expired.
            BadFileError: a file cannot be written.
        """
        files = [file for item in items for file in (item.image, *(item.extras or ())) if file]
        return [self._write(file) for file in files]

    def _write(self, image: ImageRef) -> Path:
        plain = confined(self._out, image.name)
        numbered = (plain.with_stem(f"{plain.stem}-{number}") for number in itertools.count(2))
        names = itertools.chain([plain], numbered)
        path = next(path for path in names if path not in self._written)
        self._written.add(path)
        return write_file(path, self._blobs.get(image))


def write_file(path: Path, data: bytes) -> Path:
    """Write a file whole or not at all, and its folder first; a device or a pipe is written to."""
    part = path.with_name(f".{path.name}.part")
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            path.write_bytes(data)
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise BadFileError(str(path), error.strerror or str(error)) from error
    return path


def confined(folder: Path, name: str) -> Path:
    """Where a result of this name goes: below the folder, whatever the name says."""
    # POSIX keeps two leading slashes apart from one: a root "//" is a root as well.
    parts = [part for part in PurePosixPath(name).parts if part.strip("/") not in ("", "..", ".")]
    return folder.joinpath(*parts or ["image"])
