"""The agent of an infer worker: it executes commands to models and announces its versions.

It has separate threads, because loading a model can take a minute and must not block Celery's main
loop.
"""

import logging
import threading
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import redis
from celery import signals

from agewell.shared.errors import AgewellError
from agewell.shared.model_commands import (
    BEAT_S,
    Command,
    ModelControl,
    Reply,
    VersionStatus,
    WorkerStatus,
)
from agewell.shared.protocol.messages import ErrorInfo
from agewell.shared.redis.connection import REDIS_ERRORS
from agewell.workers.models.catalogue import Catalogue, Found
from agewell.workers.process.context import context

if TYPE_CHECKING:
    from agewell.workers.inference.engine import Engine

log = logging.getLogger(__name__)


def install() -> None:
    """Start the agent when the worker of this process is ready."""
    signals.worker_ready.connect(_start, weak=False)


def _start(sender: Any, **_: Any) -> None:
    from agewell.workers.inference.tasks import engine, engine_if_built

    agent = Agent(context().client, sender.hostname, Catalogue(*context().settings.model_dirs))
    agent.start(engine, engine_if_built)
    signals.worker_shutting_down.connect(lambda **_: agent.stop(), weak=False)


class Agent:
    """Executes commands one after the other, and announces this worker's status regularly."""

    def __init__(self, client: redis.Redis, worker: str, catalogue: Catalogue) -> None:
        self._control = ModelControl(client)
        self._worker = worker
        self._run = f"{worker}:{uuid.uuid4().hex}"
        self._catalogue = catalogue
        self._stopped = threading.Event()
        self._first = True  # the next catch-up is the first: no active version is loaded yet
        self._refused: set[tuple[str, str]] = set()

    def start(
        self, engine: "Callable[[], Engine]", engine_if_built: "Callable[[], Engine | None]"
    ) -> None:
        """Start the threads.

        Args:
            engine: returns the engine, and builds it if needed.
            engine_if_built: returns the engine, or None if it is not built yet.
        """
        self._engine, self._engine_if_built = engine, engine_if_built
        for each in (self._announce, self._serve):
            threading.Thread(target=each, name=each.__name__, daemon=True).start()

    def stop(self) -> None:
        """Stop the threads, and withdraw the announcement of this worker."""
        self._stopped.set()
        try:
            self._control.withdraw(self._run)
        except REDIS_ERRORS as error:
            log.info("cannot withdraw the announcement of this worker's models: %s", error)

    def _announce(self) -> None:
        alone = False
        while not self._stopped.is_set():
            try:
                if not alone:
                    self._control.take_over(self._run, self._worker)
                    alone = True
                self._control.announce(self.status())
            except REDIS_ERRORS as error:
                log.warning("cannot announce this worker's models: %s", error)
            except Exception:
                log.exception("cannot announce this worker's models")
            self._stopped.wait(BEAT_S)

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                self._catch_up()
                command = self._control.next_command(self._run, BEAT_S)
                if command is not None:
                    self._control.reply(command, self.obey(command))
                    self._control.announce(self.status())
            except REDIS_ERRORS as error:
                log.warning("cannot read commands to models: %s", error)
                self._stopped.wait(BEAT_S)
            except Exception:
                log.exception("a command to a model failed")
                self._stopped.wait(BEAT_S)

    def _catch_up(self) -> None:
        """Activate the versions that were activated while this worker was not running."""
        wanted = self._control.actives()
        if not wanted:
            return
        registry = self._engine().registry
        here = {} if self._first else registry.actives()
        self._first = False
        for model_id in wanted.items():
            if here.get(model_id[0]) != model_id[1] and model_id not in self._refused:
                try:
                    registry.activate(*model_id)
                except AgewellError as error:
                    self._refused.add(model_id)
                    log.error("cannot activate %s/%s: %s", *model_id, error)

    def obey(self, command: Command) -> Reply:
        """Execute a command. The reply says what was done, or why it failed."""
        try:
            return self._do(command)
        except AgewellError as error:
            log.warning("cannot %s %s: %s", command.action, command.name, error)
            return Reply(worker=self._worker, error=ErrorInfo.of(error))

    def _do(self, command: Command) -> Reply:
        registry, name, version = self._engine().registry, command.name, command.version
        match command.action:
            case "load":
                return self._reply(registry.load(name, version))
            case "activate":
                chosen = registry.load(name, version)
                registry.activate(name, chosen)
                self._refused.discard((name, chosen))
                return self._reply(chosen)
            case "unload":
                return self._reply(version or "", unloaded=registry.unload(name, version))
            case "info":
                with registry.lease(name, version) as model:
                    spec = model.spec
                    return self._reply(
                        spec.version,
                        spec=spec.model_dump(mode="json", exclude_defaults=True),
                        directory=str(model.directory),
                        size_bytes=model.size_bytes(),
                        runs_on=model.runs_on(),
                        **({"warning": model.warning()} if model.warning() else {}),
                        tap_points=model.tap_points(),
                        parameters=sorted(model.parameters),
                    )

    def _reply(self, version: str, **details: Any) -> Reply:
        return Reply(worker=self._worker, version=version, details=details)

    def status(self) -> WorkerStatus:
        """Return the versions on disk, with those in memory and those in use marked."""
        engine = self._engine_if_built()
        versions = tuple(self._version(found, engine) for found in self._catalogue.versions())
        device = engine.device if engine else ""
        return WorkerStatus(run=self._run, worker=self._worker, device=device, versions=versions)

    def _version(self, found: Found, engine: "Engine | None") -> VersionStatus:
        held = engine.registry.held().get((found.name, found.version)) if engine else None
        actives = engine.registry.actives() if engine else {}
        failed = engine.registry.failure(found.name, found.version) if engine and not held else ""
        return VersionStatus(
            name=found.name,
            version=found.version,
            task=found.spec.task if found.spec else "",
            kind=found.spec.kind if found.spec else "",
            description=found.spec.description if found.spec else "",
            active=actives.get(found.name) == found.version,
            loaded=held is not None,
            size_bytes=held.size_bytes if held else 0,
            jobs=held.leases if held else 0,
            problem=found.problem or failed,
            runs_on=held.model.runs_on() if held else "",
            warning=held.model.warning() if held else "",
        )
