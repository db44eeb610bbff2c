"""The registry of a process's models: load, switch and unload versions while jobs use them.

A job leases a version while it runs. A version that is switched or unloaded in the meantime stays
usable until its last lease ends. A version must be loaded, warmed up and verified before a job
gets it. If one of these steps fails, the version is refused, and the active version stays.
"""

import gc
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agewell.shared.errors import ModelError
from agewell.workers.models.catalogue import Catalogue
from agewell.workers.models.eviction import Held, Id, to_evict, to_trim
from agewell.workers.models.load_failures import LoadFailures
from agewell.workers.models.model import Model

log = logging.getLogger(__name__)

KEEP_LOADED_S = 10.0
"""A version loaded by a command stays in memory this long, even over the budget, so that it can be
activated."""


class Registry:
    """Models by name and version, within a memory budget."""

    def __init__(
        self,
        catalogue: Catalogue,
        load: Callable[[Path], Model],
        budget_bytes: int,
        *,
        release: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make an empty registry.

        Args:
            catalogue: the versions on disk.
            load: loads, warms up and verifies the model of a version's directory.
            budget_bytes: limit of the memory of all weights.
            release: called after models were unloaded, to return memory to the system.
            clock: returns seconds.
        """
        self.catalogue = catalogue
        self._load = load
        self._budget_bytes = budget_bytes
        self._release = release
        self._clock = clock
        self._lock = threading.Lock()
        self._loading: defaultdict[Id, threading.Lock] = defaultdict(threading.Lock)
        self._held: dict[Id, Held] = {}
        self._active: dict[str, str] = {}
        self._failures = LoadFailures(clock)

    @contextmanager
    def lease(self, name: str, version: str | None = None) -> Iterator[Model]:
        """Use a version within this block, by default the active one. It is loaded if needed.

        Raises:
            UnknownModelError: there is no such model or version.
            ModelError: it cannot be loaded.
        """
        held = self._lease_held(name, version)
        if held is None:
            held = self._lease_for_job((name, version or self.active(name)))
        try:
            yield held.model
        finally:
            with self._lock:
                held.leases -= 1
                held.last_used = self._clock()
            self._trim_idle()

    def prefer(self, actives: Mapping[str, str]) -> None:
        """Activate versions without loading them. Each is loaded when it is first used.

        Args:
            actives: the version of each name.
        """
        with self._lock:
            self._active.update(actives)

    def active(self, name: str) -> str:
        """Return the version for jobs that do not name one: the activated one, or the highest.

        The highest version (`Catalogue.latest`) is determined once. If you add a higher one later,
        activate it.

        Raises:
            UnknownModelError: there is no model of this name.
            ModelError: no version of this name serves without being activated.
        """
        with self._lock:
            chosen = self._active.get(name)
        if chosen is None:
            latest = self.catalogue.latest(name)
            with self._lock:
                chosen = self._active.setdefault(name, latest)
        return chosen

    def load(self, name: str, version: str | None = None) -> str:
        """Load a version, by default the active one, and return its name.

        Raises:
            UnknownModelError: there is no such model or version.
            ModelError: it cannot be loaded, or fails its warm-up or its verification.
        """
        version = version or self.active(name)
        held = self._lease_for_command((name, version))
        with self._lock:
            held.leases -= 1
            held.wanted_until = self._clock() + KEEP_LOADED_S
        return version

    def activate(self, name: str, version: str) -> None:
        """Load a version and make it the active one. Running jobs end on the old version.

        Raises:
            UnknownModelError: there is no such version.
            ModelError: the version is refused. The old one stays active.
        """
        held = self._lease_for_command((name, version))
        with self._lock:
            self._active[name] = version
            held.leases -= 1

    def unload(self, name: str, version: str | None = None) -> list[str]:
        """Unload versions, by default all of a name, and return those that were loaded.

        A running job can use its version to the end. A later job loads it again.
        """
        with self._lock:
            wanted = [each for each in self._held if each[0] == name and version in (None, each[1])]
            for each in wanted:
                del self._held[each]
        self._free()
        return [each[1] for each in wanted]

    def held(self) -> dict[Id, Held]:
        """Return the models in memory."""
        with self._lock:
            return dict(self._held)

    def failure(self, name: str, version: str) -> str:
        """Return why the last attempt to load a version failed, or "" if it did not."""
        return self._failures.reason((name, version))

    def actives(self) -> dict[str, str]:
        """Return the active version of each name that was used or activated."""
        with self._lock:
            return dict(self._active)

    def _lease_for_job(self, model_id: Id) -> Held:
        """Lease a version, and load it if needed. If it failed recently, do not try again."""
        with self._loading[model_id]:  # several jobs wait for the same load
            if held := self._lease_held(*model_id):
                return held
            self._failures.raise_if_recent(model_id)
            return self._load_and_lease(model_id)

    def _lease_for_command(self, model_id: Id) -> Held:
        """Lease a version, and load it if needed, even if it has just failed."""
        with self._loading[model_id]:
            return self._lease_held(*model_id) or self._load_and_lease(model_id)

    def _lease_held(self, name: str, version: str | None) -> Held | None:
        """Lease a version in memory, by default the active one. Returns None if it is not there."""
        with self._lock:
            held = self._held.get((name, version or self._active.get(name, "")))
            if held is not None:
                held.leases += 1
                held.last_used = self._clock()
            return held

    def _load_and_lease(self, model_id: Id) -> Held:
        directory = self.catalogue.directory(*model_id)
        self._evict_to_fit(_size_on_disk(directory))
        try:
            model = self._load(directory)
            size_bytes = model.size_bytes()
            if size_bytes > self._budget_bytes:
                reason = f"takes {size_bytes:,} bytes; the budget is {self._budget_bytes:,}"
                raise ModelError(*model_id, reason)
        except Exception as error:
            refusal = _as_model_error(model_id, error)
            self._failures.add(model_id, refusal)
            self._free()
            raise refusal from error
        self._failures.forget(model_id)
        held = Held(model, size_bytes, self._clock(), leases=1)
        with self._lock:
            self._held[model_id] = held
        self._evict_to_fit(0)
        return held

    def _evict_to_fit(self, coming_bytes: int) -> None:
        """Unload versions until the budget has room for the loaded ones and a coming one."""
        with self._lock:
            over_bytes = self._over_budget_bytes() + coming_bytes
            dropped = to_evict(self._held, self._active, over_bytes)
            self._drop(dropped)
        if dropped:
            self._free()

    def _trim_idle(self) -> None:
        """Unload versions that are not needed, if the loaded ones are over the budget."""
        with self._lock:
            over_bytes = self._over_budget_bytes()
            dropped = to_trim(self._held, self._active, over_bytes, self._clock())
            self._drop(dropped)
        if dropped:
            self._free()

    def _over_budget_bytes(self) -> int:
        """Return the memory of all models above the budget. It is negative below the budget."""
        return sum(each.size_bytes for each in self._held.values()) - self._budget_bytes

    def _drop(self, model_ids: list[Id]) -> None:
        """Forget models. The caller holds the lock."""
        for model_id in model_ids:
            del self._held[model_id]
        if model_ids:
            names = ", ".join("/".join(each) for each in model_ids)
            log.info("unloaded to stay within the budget: %s", names)

    def _free(self) -> None:
        gc.collect()  # modules are full of reference cycles
        self._release()


def _size_on_disk(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir() if path.is_file())


def _as_model_error(model_id: Id, error: Exception) -> ModelError:
    if isinstance(error, ModelError):
        return error
    log.error("model %s/%s failed to load", *model_id, exc_info=error)
    return ModelError(*model_id, f"{type(error).__name__}: {error}")
