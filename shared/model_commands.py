"""Commands to infer workers and their replies, over Redis.

Each run of a worker reads its commands from one list, and replies to a command on that command's
list. A worker that is loading a model replies late. The status of a worker that has died expires.
A hash keeps the active version of each model for workers that start later.
"""

import uuid
from typing import Any, Final, Literal, cast

import redis
from pydantic import Field, ValidationError

from agewell.shared.protocol.messages import ErrorInfo, Message
from agewell.shared.redis import keys
from agewell.shared.redis.living import statuses_of_living

BEAT_S: Final = 2.0
DEAD_AFTER_S: Final = 15
"""Seven beats, because Python code of a model may hold the interpreter lock for seconds."""

REPLY_TTL_S: Final = 3600


class VersionStatus(Message):
    """One version of a model, as one worker sees it."""

    name: str
    version: str
    task: str = ""
    kind: str = ""
    description: str = ""
    active: bool = False
    loaded: bool = False
    size_bytes: int = 0
    jobs: int = Field(default=0, description="number of jobs that use it now")
    problem: str = Field(default="", description="why it cannot be used")
    runs_on: str = Field(default="", description="library and device, if it is loaded")
    warning: str = Field(default="", description="what is wrong with how it runs")


class WorkerStatus(Message):
    """The models and the device of one infer worker."""

    run: str
    worker: str
    device: str = Field(default="", description="empty until the first model is loaded")
    versions: tuple[VersionStatus, ...] = ()


class Command(Message):
    """One command about a model."""

    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    action: Literal["load", "unload", "activate", "info"]
    name: str
    version: str | None = None


class Reply(Message):
    """One worker's reply to a command."""

    worker: str
    version: str = Field(default="", description="the version used, if the command named none")
    details: dict[str, Any] = Field(default_factory=dict)
    error: ErrorInfo | None = None


class ModelControl:
    """Sends and receives commands, replies and worker statuses in Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def workers(self) -> list[WorkerStatus]:
        """Return the status of each infer worker that is alive."""
        found = statuses_of_living(self._client, keys.INFER_WORKERS, keys.infer_worker)
        return [status for each in found if (status := _status(each))]

    def announce(self, status: WorkerStatus) -> None:
        """Publish a worker's status. It expires after `DEAD_AFTER_S` seconds."""
        pipe = self._client.pipeline()
        pipe.sadd(keys.INFER_WORKERS, status.run)
        pipe.set(keys.infer_worker(status.run), status.model_dump_json(), ex=DEAD_AFTER_S)
        pipe.execute()

    def take_over(self, run: str, worker: str) -> None:
        """Remove the earlier runs of a worker that has restarted after a crash."""
        for each in self.workers():
            if each.worker == worker and each.run != run:
                self.withdraw(each.run)

    def withdraw(self, run: str) -> None:
        """Remove a run of a worker that has ended."""
        pipe = self._client.pipeline()
        pipe.srem(keys.INFER_WORKERS, run)
        pipe.delete(keys.infer_worker(run), keys.infer_commands(run))
        pipe.execute()

    def send(self, command: Command, runs: list[str]) -> None:
        """Send a command to runs of workers."""
        pipe = self._client.pipeline()
        for run in runs:
            pipe.lpush(keys.infer_commands(run), command.model_dump_json())
            pipe.expire(keys.infer_commands(run), REPLY_TTL_S)
        pipe.execute()

    def next_command(self, run: str, timeout_s: float) -> Command | None:
        """Wait for the next command to a run of a worker. Returns None after the time-out.

        A command that cannot be parsed also returns None.
        """
        found = cast(
            "tuple[bytes, bytes] | None",
            self._client.brpop([keys.infer_commands(run)], timeout=timeout_s),
        )
        if found is None:
            return None
        try:
            return Command.model_validate_json(found[1])
        except ValidationError:
            return None  # without an id there is no list to reply on

    def reply(self, command: Command, reply: Reply) -> None:
        """Send a worker's reply to a command."""
        key = keys.infer_replies(command.id)
        pipe = self._client.pipeline()
        pipe.lpush(key, reply.model_dump_json())
        pipe.expire(key, REPLY_TTL_S)
        pipe.execute()

    def next_reply(self, command: Command, timeout_s: float) -> Reply | None:
        """Wait for the next reply to a command. Returns None after the time-out.

        A reply that cannot be parsed also returns None.
        """
        found = cast(
            "tuple[bytes, bytes] | None",
            self._client.brpop([keys.infer_replies(command.id)], timeout=timeout_s),
        )
        if found is None:
            return None
        try:
            return Reply.model_validate_json(found[1])
        except ValidationError:
            return None  # perhaps from another version of agewell: treat its worker as silent

    def set_active(self, name: str, version: str) -> None:
        """Store the active version of a model, for workers that start later."""
        self._client.hset(keys.ACTIVE_MODELS, name, version)

    def actives(self) -> dict[str, str]:
        """Return the active version of each model that has one."""
        raw = cast("dict[bytes, bytes]", self._client.hgetall(keys.ACTIVE_MODELS))
        return {name.decode(): version.decode() for name, version in raw.items()}


def _status(document: Any) -> WorkerStatus | None:
    try:
        return WorkerStatus.model_validate_json(document)
    except ValidationError:
        return None  # perhaps from another version of agewell
