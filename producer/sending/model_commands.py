"""Sends commands about models to the infer workers, and collects their replies."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from agewell.producer.session import Session
from agewell.shared.errors import BackendError
from agewell.shared.model_commands import Command, ModelControl, Reply, VersionStatus, WorkerStatus
from agewell.shared.protocol.messages import ErrorInfo

LOOK_S = 1.0
"""How often to check that the workers that have not answered are still alive."""


@dataclass(frozen=True)
class VersionOnWorkers:
    """The state of one version of a model on all workers."""

    status: VersionStatus
    loaded_on: int
    active_on: int
    workers: int


class Models:
    """Sends commands to every running infer worker."""

    def __init__(self, session: Session) -> None:
        self._control = ModelControl(session.client)

    def workers(self) -> list[WorkerStatus]:
        """Return the infer workers that are running.

        Raises:
            BackendError: no infer worker is running.
        """
        found = self._control.workers()
        if not found:
            raise BackendError("infer", "no infer worker runs; `agewell up` starts one")
        return found

    def versions(self) -> list[VersionOnWorkers]:
        """Return every version that a worker knows, with a problem if any worker has one."""
        by_id: dict[tuple[str, str], list[VersionStatus]] = {}
        workers = self.workers()
        for worker in workers:
            for each in worker.versions:
                by_id.setdefault((each.name, each.version), []).append(each)
        return [
            VersionOnWorkers(
                status=_merged(found),
                loaded_on=sum(each.loaded for each in found),
                active_on=sum(each.active for each in found),
                workers=len(workers),
            )
            for found in by_id.values()
        ]

    def problems(self, name: str, version: str | None = None) -> dict[str, str]:
        """Return why versions of a name cannot be loaded, by version, as the workers know it.

        Args:
            name: of the model.
            version: the only one to look at. Default: all versions.

        Returns:
            Nothing if no infer worker is running.
        """
        return {
            each.version: each.problem
            for worker in self._control.workers()
            for each in worker.versions
            if each.name == name and each.problem and version in (None, each.version)
        }

    def call(self, command: Command, timeout_s: float) -> Iterator[Reply]:
        """Send a command to every worker, and yield each reply when it arrives.

        A worker that ends before it answers, or not in time, gets a reply with an error.
        """
        return self._call(command, {each.run: each.worker for each in self.workers()}, timeout_s)

    def ask_one(self, command: Command, timeout_s: float) -> Reply:
        """Send a command to one worker, to ask something that all workers would answer alike."""
        worker = self.workers()[0]
        return next(self._call(command, {worker.run: worker.worker}, timeout_s))

    def activate(self, name: str, version: str | None, timeout_s: float) -> list[Reply]:
        """Switch a model to a version on all workers, or on none if one worker refuses it.

        Every worker first loads the version and warms it up. Then all workers are told to switch,
        and the choice is kept for workers that start later.
        """
        command = Command(action="load", name=name, version=version)
        loaded = list(self.call(command, timeout_s))
        versions = {each.version for each in loaded if each.error is None}
        if any(each.error for each in loaded) or len(versions) != 1:
            return loaded
        chosen = versions.pop()
        self._control.set_active(name, chosen)
        return list(self.call(Command(action="activate", name=name, version=chosen), timeout_s))

    def _call(self, command: Command, pending: dict[str, str], timeout_s: float) -> Iterator[Reply]:
        self._control.send(command, list(pending))
        deadline = time.monotonic() + timeout_s
        waiting = list(pending.values())
        while waiting and time.monotonic() < deadline:
            reply = self._control.next_reply(command, LOOK_S)
            if reply is not None:
                if reply.worker in waiting:  # else its error was yielded already
                    waiting.remove(reply.worker)
                    yield reply
                continue
            alive = {each.run for each in self._control.workers()}
            for run, worker in pending.items():
                if worker in waiting and run not in alive:
                    waiting.remove(worker)
                    yield _silent(worker, "it ended before it answered")
        for worker in waiting:
            yield _silent(worker, f"no answer within {timeout_s:g} s")


def _merged(found: list[VersionStatus]) -> VersionStatus:
    """Return the status with a problem or a warning, if there is one, and all that run it."""
    worst = max(found, key=lambda each: (each.problem, each.warning, each.size_bytes))
    runs_on = sorted({each.runs_on for each in found} - {""})
    return worst.model_copy(update={"runs_on": " or ".join(runs_on)})


def _silent(worker: str, reason: str) -> Reply:
    return Reply(worker=worker, error=ErrorInfo(code="NoReply", message=reason))
