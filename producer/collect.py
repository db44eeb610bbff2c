"""Waiting for jobs to end, and writing what they made."""

import contextlib
import itertools
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import redis
from celery import Celery

from producer.forgotten import Forgotten, Known, ask
from producer.outcome import Outcome, read_outcome
from shared.blobs import Blobs
from shared.errors import BadFileError, BrokerUnreachableError
from shared.messages import ImageRef, ItemResult
from shared.redis_client import REDIS_ERRORS, is_loading, unreachable
from shared.settings import Settings

WINDOW_JOBS = 1000
"""Jobs asked about at a time. Each look is at the next ones, so none waits behind those ahead."""

AWAY_MAX_S = 60.0
"""How long a Redis that restarts or fails over is waited for; one that loads its data, longer."""

POLL_MIN_S, POLL_MAX_S = 0.01, 0.1
ROTATE_S = 0.05
"""The longest pause between two looks if there are more jobs than one look sees."""


class Collector:
    """Reads results, in the order in which jobs were sent as far as they end so."""

    def __init__(self, app: Celery, client: redis.Redis, settings: Settings) -> None:
        self._backend = app.backend
        self._client = client
        self._settings = settings
        self.known = Known()
        """Jobs that have been sent: if Redis forgets them, they are lost."""

    def outcomes(self, job_ids: Iterable[str], timeout_s: float | None = None) -> Iterator[Outcome]:
        """Wait for every job, and yield each as it ends.

        A job that Redis has forgotten ends as failed, with `LostJobError`.

        Args:
            job_ids: ids of jobs. One that nobody has sent yet is waited for while others are open.
            timeout_s: how long to wait for all of them; None: without a limit.

        Raises:
            TimeoutError: some have not ended by then.
            BrokerUnreachableError: Redis does not answer, and has not for a minute.
        """
        deadline = time.monotonic() + (math.inf if timeout_s is None else timeout_s)
        pending, forgotten = deque(job_ids), self.forgotten()
        pause_s = POLL_MIN_S
        answered_at = time.monotonic()
        while pending:
            ended = []
            try:
                ended = self._poll(pending, forgotten)
                answered_at = time.monotonic()
            except BrokerUnreachableError as error:
                if is_loading(error):
                    answered_at = time.monotonic()
                if time.monotonic() - answered_at > AWAY_MAX_S:
                    raise
            yield from ended
            if pending and time.monotonic() >= deadline:
                raise TimeoutError(f"{len(pending)} jobs have not ended in {timeout_s:g} s")
            longest_s = POLL_MAX_S if len(pending) <= WINDOW_JOBS else ROTATE_S
            pause_s = POLL_MIN_S if ended else min(2 * pause_s, longest_s)
            if pending and not ended:
                time.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))

    def get(self, job_id: str) -> Outcome | None:
        """A job's outcome, None while it has none."""
        return next(iter(self._poll(deque([job_id]), self.forgotten())), None)

    def forgotten(self) -> Forgotten:
        """Looks for jobs that Redis has forgotten, among those that somebody waits for."""
        return Forgotten(self._client, self._backend, self.known)

    def _poll(self, pending: deque[str], forgotten: Forgotten) -> list[Outcome]:
        """Ask about the next jobs; those that have not ended go to the end of `pending`."""
        window = list(itertools.islice(pending, WINDOW_JOBS))
        try:
            ended = self._ask(window, forgotten)
        except REDIS_ERRORS as error:
            raise unreachable(self._settings, error) from error
        have_ended = {outcome.job_id for outcome in ended}
        for _ in window:
            pending.popleft()
        pending.extend(job_id for job_id in window if job_id not in have_ended)
        return ended

    def _ask(self, window: list[str], forgotten: Forgotten) -> list[Outcome]:
        with self._client.pipeline(transaction=False) as pipe:
            ask(pipe, window)
            states, documents = pipe.execute()
        ended, open_states = [], {}
        for job_id, state, document in zip(window, states, documents, strict=True):
            outcome = read_outcome(self._backend, job_id, document)
            if outcome is None:
                open_states[job_id] = state
            else:
                ended.append(outcome)
        return ended + forgotten.judge(forgotten.due(open_states))


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
