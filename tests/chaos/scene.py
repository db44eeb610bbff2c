"""A running stack on a Redis of its own, a stream of real jobs through it, and a count of ends."""

import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import redis
from celery import Celery
from PIL import Image as Pillow
from pydantic import SecretStr

from agewell.producer.sending.files import LocalFile
from agewell.producer.sending.plan import Planned
from agewell.producer.sending.submit import Submitter
from agewell.producer.session import Session, make_session
from agewell.producer.up.child_process import end_child, start_child
from agewell.producer.up.supervisor import celery
from agewell.shared.errors import BlobStoreError, BrokerFullError, BrokerUnreachableError
from agewell.shared.protocol.built_in_jobs import HsvItem, HsvJob
from agewell.shared.protocol.messages import ImageRef, InferItem, InferJob, Job
from agewell.shared.redis import keys
from agewell.shared.settings import Settings
from tests.chaos.brokers import Broker, one_redis
from tests.chaos.observer import ENDED, Observer
from tests.chaos.proxy import FaultProxy
from tests.chaos.redis_process import AWAY, RedisProcess
from tests.support.stack import Stack, started

ALL_END_S = 180.0


@dataclass(frozen=True)
class Work:
    """The jobs that a scene streams."""

    make: Callable[[list[dict[str, ImageRef]]], Job]
    images_per_job: int = 1


def _hsv(refs: list[dict[str, ImageRef]]) -> Job:
    return HsvJob(items=[HsvItem(**ref) for ref in refs])


def _digits(refs: list[dict[str, ImageRef]]) -> Job:
    return InferJob(model="digits", items=[InferItem(**ref) for ref in refs])


HSV = Work(_hsv)
DIGITS = Work(_digits, images_per_job=4)
"""Jobs for the model that ships with agewell. They have several images, so they take a while."""


@dataclass
class Scene:
    """A stack for faults to strike. Start one with `scene()`."""

    server: RedisProcess
    proxy: FaultProxy
    stack: Stack
    session: Session
    """The producer's. Like the workers it talks to Redis through the proxy."""
    client: redis.Redis
    """The onlooker's. It talks to Redis directly."""
    observer: Observer
    celery: Celery
    """A plain Celery program's. It talks to Redis directly."""
    photos: list[LocalFile]
    store: Path
    """The directory of the blob store, if that is not Redis."""
    acknowledged: list[str] = field(default_factory=list)
    """The jobs that the producer was told are enqueued: none of these may be lost."""
    refused: int = 0
    """Calls of the producer that ended in an error of ours. Their jobs may be lost."""

    sending: threading.Lock = field(default_factory=threading.Lock)
    """Held while jobs are published and noted as acknowledged."""
    found: dict[str, float] = field(default_factory=dict)
    """The jobs whose results were found by asking, and when: the observer can miss an end."""

    def ended_at(self, job_id: str) -> float | None:
        """When a job's end was first seen, by time.monotonic()."""
        seen = self.observer.ends.get(job_id)
        return seen[0] if seen else self.found.get(job_id)

    def unended(self) -> list[str]:
        """The acknowledged jobs whose end nobody has seen yet."""
        return [each for each in tuple(self.acknowledged) if self.ended_at(each) is None]

    def running(self) -> list[str]:
        """The acknowledged jobs that workers hold just now."""
        sent = self.unended()
        pipe = self.client.pipeline(transaction=False)
        for job_id in sent:
            pipe.hget(f"agewell:job:{job_id}", "state")
        return [j for j, state in zip(sent, pipe.execute(), strict=True) if state == b"running"]

    def done(self, jobs: Iterable[str]) -> set[str]:
        """Those of the jobs that have had a result."""
        return self.observer.done & set(jobs)

    def crashed(self) -> int:
        """How often a program of the stack ended of itself, and not well."""
        return len(re.findall(r"ended with status [^0]", self.stack.log))

    def record(self, job_id: str, *fields: str) -> list[str]:
        """Fields of a job's record in the ledger, "" for a missing one."""
        return [(each or b"").decode() for each in self.client.hmget(keys.job(job_id), fields)]

    def processes_of_jobs(self) -> dict[str, int]:
        """The number of the process that runs each job, as the cv worker says."""
        asked = self.celery.control.inspect(pattern="cv@*", matcher="glob", limit=1)
        answers = asked.active() or {}
        return {job["id"]: job["worker_pid"] for jobs in answers.values() for job in jobs}

    def forget(self, jobs: Iterable[str]) -> None:
        """Count these jobs no longer: the producer was told that they have no result."""
        for job_id in jobs:
            self.acknowledged.remove(job_id)

    def send(self, photos: list[LocalFile], work: Work, level: int = 5) -> list[str]:
        """Send jobs by agewell's own producer. Returns those that it was told are enqueued."""
        submitter = Submitter(self.session, make_job=work.make, level=level)
        items = (Planned({"image": photo}) for photo in photos)
        ids = []
        try:
            with self.sending:
                for sent in submitter.submit(items, work.images_per_job):
                    self.acknowledged.append(sent.job_id)
                    ids.append(sent.job_id)
        except (BrokerUnreachableError, BrokerFullError, BlobStoreError):
            self.refused += 1
            time.sleep(0.1)
        return ids

    def ask(self) -> list[str]:
        """Ask Redis for results. Returns the jobs that have none."""
        unseen = self.unended()
        try:
            raw = self.client.mget([keys.result(each) for each in unseen]) if unseen else []
        except AWAY:
            return unseen
        now = time.monotonic()
        for job_id, result in zip(unseen, raw, strict=True):
            if result is not None:
                self._note(job_id, json.loads(result)["status"], now)
        return self.unended()

    def _note(self, job_id: str, status: str, now: float) -> None:
        if status in ENDED:
            self.found[job_id] = now
        if status == "SUCCESS":
            self.observer.done.add(job_id)

    def wait_all(self, timeout_s: float = ALL_END_S) -> list[str]:
        """Wait for the result of every acknowledged job. Returns those without one in time."""
        deadline = time.monotonic() + timeout_s
        while (missing := self.ask()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return missing


def plain_celery(url: str) -> Celery:
    """A Celery app as a program of somebody else's would make it."""
    return Celery("somebody-else", broker=url, backend=url, set_as_current=False)


def _photos(folder: Path) -> list[LocalFile]:
    """Noise, which PNG cannot compress: some ten milliseconds of work each, no two alike."""
    files = []
    for number in range(16):
        pixels = np.random.default_rng(number).integers(0, 256, (400, 600, 3), np.uint8)
        path = folder / f"{number}.png"
        Pillow.fromarray(pixels).save(path, compress_level=1)
        files.append(LocalFile(path, path.name))
    return files


@contextmanager
def scene(
    broker: Callable[[Path], AbstractContextManager[Broker]] = one_redis,
    *,
    stores_files: bool = False,
    **settings: object,
) -> Iterator[Scene]:
    """A Redis, `agewell up` on it, and an onlooker.

    Args:
        broker: starts the Redis.
        stores_files: True to keep images in a directory instead of in Redis.
        settings: further settings of the stack, without AGEWELL_.
    """
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="aw-")))
        found = held.enter_context(broker(folder))
        store = folder / "blobs"
        blob_url = store.as_uri() if stores_files else "redis"
        ours = {"REDIS_URL": found.url, "BLOB_URL": blob_url, "CONCURRENCY": 2}
        ours |= {"LOG_LEVEL": "WARNING"} | settings
        stack = held.enter_context(started(folder / "state", **ours))
        observer = Observer(found.client())
        held.callback(observer.close)
        yield Scene(
            server=found.server,
            proxy=found.proxy,
            stack=stack,
            session=make_session(Settings(redis_url=SecretStr(found.url), blob_url=blob_url)),
            client=found.client(),
            observer=observer,
            celery=plain_celery(found.server.url),
            photos=_photos(folder),
            store=store,
        )


@contextmanager
def beside(scene: Scene, *options: str) -> Iterator[Callable[[], str]]:
    """Run another of Celery's programs on the stack's Redis. Yields a reader of its log."""
    with tempfile.TemporaryDirectory(prefix="aw-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as file:
            env = {**os.environ, **scene.stack.env}
            program = start_child(celery(*options), log=file, env=env)
        try:
            yield log.read_text
        finally:
            end_child(program, timeout_s=30)
