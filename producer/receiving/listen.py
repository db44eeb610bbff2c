"""Wakes coroutines when their jobs end. One connection serves any number of them.

Celery's Redis backend publishes each result on a channel named like its key. The listener also
reads the keys themselves, when a wait begins and every few seconds after that, to find results
published while the connection was away.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable

import redis.asyncio
from redis.asyncio.client import PubSub

from agewell.producer.receiving.collect import AWAY_MAX_S, WINDOW_JOBS
from agewell.producer.receiving.lost_jobs import LostJobFinder, read_states_and_results
from agewell.producer.receiving.outcome import Outcome
from agewell.shared.redis import keys
from agewell.shared.redis.connection import REDIS_ERRORS, is_loading

LOOK_EVERY_S = 5.0
CONNECT_AGAIN_S = 0.2


class Listener:
    """Waits for outcomes. It needs two asyncio tasks for any number of jobs."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        read: Callable[[str, bytes | str | None], Outcome | None],
        as_error: Callable[[Exception], Exception],
        lost_jobs: LostJobFinder,
    ) -> None:
        """Make a listener. It connects when the first wait begins.

        Args:
            client: a client of the broker's Redis.
            read: reads the document of a result.
            as_error: turns an error of Redis into one of agewell's.
            lost_jobs: finds jobs that Redis has lost. It blocks, so a thread calls it.
        """
        self._client = client
        self._read = read
        self._as_error = as_error
        self._lost_jobs = lost_jobs
        self._waiters: dict[str, set[asyncio.Future[Outcome]]] = {}
        """The coroutines that wait for each job. A job that nobody waits for is not in it."""
        self._changed_ids: set[str] = set()
        """Jobs that somebody began or ceased to wait for since the subscriptions were updated."""
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._answered_at = time.monotonic()

    async def outcome(self, job_id: str) -> Outcome:
        """Wait until a job has ended, and return its outcome.

        Raises:
            UnicodeEncodeError: the id is not valid UTF-8. The other waits go on.
            BrokerUnreachableError: Redis has not answered for a minute.
        """
        job_id.encode()
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(job_id, set())
        waiters.add(future)
        self._note_change(job_id)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            return await future
        finally:
            waiters.discard(future)
            if not waiters:
                del self._waiters[job_id]
                self._note_change(job_id)

    def _note_change(self, job_id: str) -> None:
        self._changed_ids.add(job_id)
        self._changed.set()

    async def close(self) -> None:
        """Stop listening, and cancel the coroutines that still wait."""
        # Python 3.11's wait_for, which redis-py calls, can lose a cancellation.
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for future in itertools.chain.from_iterable(self._waiters.values()):
            future.cancel()

    async def _run(self) -> None:
        """Listen, and connect again after errors. If Redis stays away, all waits get the error."""
        away_since: float | None = None
        while not self._closed:
            heard_at = time.monotonic()
            try:
                await self._listen()
                return
            except ExceptionGroup as errors:
                error = _first(errors)
            except Exception as found:  # noqa: BLE001  any error must end the waits
                error = found
            if is_loading(error) or self._answered_at > heard_at:
                away_since = None
            away_since = away_since or time.monotonic()
            away_s = time.monotonic() - away_since
            if not isinstance(error, REDIS_ERRORS) or away_s > AWAY_MAX_S:
                self._fail(error)
                return
            await asyncio.sleep(CONNECT_AGAIN_S)

    async def _listen(self) -> None:
        self._changed_ids.update(self._waiters)  # a new connection has no subscriptions
        async with self._client.pubsub(ignore_subscribe_messages=True) as pubsub:
            await self._follow_changes(pubsub)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hear(pubsub))
                tasks.create_task(self._follow(pubsub))

    async def _hear(self, pubsub: PubSub) -> None:
        while not self._closed:
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=None)
            if message is not None and message["type"] == "message":
                job_id = message["channel"].decode().removeprefix(keys.RESULT_PREFIX)
                self._settle(job_id, message["data"])

    async def _follow(self, pubsub: PubSub) -> None:
        """Update the subscriptions when waits begin or end, and look for missed results."""
        loop = asyncio.get_running_loop()
        look_at = loop.time() + LOOK_EVERY_S
        while not self._closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(look_at):
                    await self._changed.wait()
            if loop.time() >= look_at:  # even if changes never stop coming
                await self._look(list(self._waiters))
                look_at = loop.time() + LOOK_EVERY_S
            await self._follow_changes(pubsub)

    async def _follow_changes(self, pubsub: PubSub) -> None:
        self._changed.clear()
        changed, self._changed_ids = self._changed_ids, set()
        wanted = [job_id for job_id in changed if job_id in self._waiters]
        unwanted = [job_id for job_id in changed if job_id not in self._waiters]
        # Subscribe first, then look. Otherwise a result published between the two is missed.
        if wanted:
            await pubsub.subscribe(*map(keys.result, wanted))
        if unwanted:
            await pubsub.unsubscribe(*map(keys.result, unwanted))
        await self._look(wanted)

    async def _look(self, job_ids: list[str]) -> None:
        for start in range(0, len(job_ids), WINDOW_JOBS):
            window = job_ids[start : start + WINDOW_JOBS]
            async with self._client.pipeline(transaction=False) as pipe:
                read_states_and_results(pipe, window)
                *states, documents = await pipe.execute()
            self._answered_at = time.monotonic()
            without = {
                job_id: state
                for job_id, state, document in zip(window, states, documents, strict=True)
                if not self._settle(job_id, document)
            }
            if due := self._lost_jobs.missing_again(without):
                for outcome in await asyncio.to_thread(self._lost_jobs.outcomes, due):
                    self._tell(outcome)

    def _settle(self, job_id: str, document: bytes | str | None) -> bool:
        """Hand a result to the waits for its job. Returns False if the job has not ended."""
        outcome = self._read(job_id, document)
        if outcome is not None:
            self._tell(outcome)
        return outcome is not None

    def _tell(self, outcome: Outcome) -> None:
        for future in self._waiters.get(outcome.job_id, ()):
            if not future.done():
                future.set_result(outcome)

    def _fail(self, found: Exception) -> None:
        error = self._as_error(found) if isinstance(found, REDIS_ERRORS) else found
        for future in itertools.chain.from_iterable(self._waiters.values()):
            if not future.done():
                future.set_exception(error)


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    """Return the first error of a group, or of a group inside it."""
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
