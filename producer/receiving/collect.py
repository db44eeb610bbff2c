"""Waits for jobs to end, and reads their results."""

import itertools
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator

import redis
from celery import Celery

from agewell.producer.receiving.lost_jobs import KnownJobs, LostJobFinder, read_states_and_results
from agewell.producer.receiving.outcome import Outcome, read_outcome
from agewell.shared.errors import BrokerFullError, BrokerUnreachableError
from agewell.shared.redis.connection import REDIS_ERRORS, is_loading, unreachable
from agewell.shared.settings import Settings

WINDOW_JOBS = 1000
"""Jobs to ask about in one look. Each look takes the next ones, so every job has its turn."""

AWAY_MAX_S = 60.0
"""How long to wait for a Redis that restarts or fails over. Time to load its data is extra."""

POLL_MIN_S, POLL_MAX_S = 0.01, 0.1
ROTATE_S = 0.05
"""The longest pause between two looks if one look does not see all jobs."""


class Collector:
    """Waits for the results of jobs by looking at Redis again and again."""

    def __init__(self, app: Celery, client: redis.Redis, settings: Settings) -> None:
        self._backend = app.backend
        self._client = client
        self._settings = settings
        self.known = KnownJobs()
        """Ids of jobs that were in Redis. If Redis has no record of one now, the job is lost."""

    def outcomes(self, job_ids: Iterable[str], timeout_s: float | None = None) -> Iterator[Outcome]:
        """Wait for every job, and yield the outcome of each when it has ended.

        A job that Redis has lost ends as failed, with `LostJobError`.

        Args:
            job_ids: ids of jobs. The wait for an id that nobody has sent goes on while any job in
                Redis is open, as that job may send it.
            timeout_s: the longest wait for all of them together, in seconds. None: no limit.

        Raises:
            TimeoutError: some jobs have not ended in time.
            BrokerUnreachableError, BrokerFullError: Redis has not answered for a minute, or could
                not write to its disk for as long.
        """
        deadline = time.monotonic() + (math.inf if timeout_s is None else timeout_s)
        pending, finder = deque(job_ids), self.lost_job_finder()
        pause_s = POLL_MIN_S
        answered_at = time.monotonic()
        while pending:
            ended = []
            try:
                ended = self._poll(pending, finder)
                answered_at = time.monotonic()
            except (BrokerUnreachableError, BrokerFullError) as error:  # a full disk refuses PING
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
        """Return the outcome of a job, or None if it has not ended."""
        return next(iter(self._poll(deque([job_id]), self.lost_job_finder())), None)

    def lost_job_finder(self) -> LostJobFinder:
        """Make a finder of lost jobs for one wait."""
        return LostJobFinder(self._client, self._backend, self.known)

    def _poll(self, pending: deque[str], finder: LostJobFinder) -> list[Outcome]:
        """Ask about the next jobs. Those that have not ended go to the end of `pending`."""
        window = list(itertools.islice(pending, WINDOW_JOBS))
        try:
            ended = self._ask(window, finder)
        except REDIS_ERRORS as error:
            raise unreachable(self._settings, error) from error
        have_ended = {outcome.job_id for outcome in ended}
        for _ in window:
            pending.popleft()
        pending.extend(job_id for job_id in window if job_id not in have_ended)
        return ended

    def _ask(self, window: list[str], finder: LostJobFinder) -> list[Outcome]:
        with self._client.pipeline(transaction=False) as pipe:
            read_states_and_results(pipe, window)
            *states, documents = pipe.execute()
        ended, open_states = [], {}
        for job_id, state, document in zip(window, states, documents, strict=True):
            outcome = read_outcome(self._backend, job_id, document)
            if outcome is None:
                open_states[job_id] = state
            else:
                ended.append(outcome)
        return ended + finder.outcomes(finder.missing_again(open_states))
