"""The models that this process holds: loaded, switched, and unloaded, while jobs use them.

A job leases a version for as long as it runs: what is switched or unloaded meanwhile ends with its
last lease. A version serves only once it is loaded, warmed up and verified; one that fails in any
of these is refused, and whatever was active goes on.
"""

import gc
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agewell.shared.errors import ModelError
from agewell.workers.models.catalogue import Catalogue
from agewell.workers.models.eviction import Held, Id, to_drop
from agewell.workers.models.model import Model

log = logging.getLogger(__name__)

KEEP_LOADED_S = 10.0
"""A version loaded by command stays so long, if need be beyond the budget, to be activated."""

FORGET_FAILURE_S = 10.0
"""A version that failed is not tried again for each waiting job."""


@dataclass
class _Failures:
    """Versions that failed lately, and how."""

    clock: Callable[[], float]
    known: dict[Id, tuple[float, ModelError]] = field(default_factory=dict)

    def reason(self, model_id: Id) -> str:
        """Say why a version failed last; empty if it has not failed."""
        error = self.known.get(model_id, (0.0, None))[1]
        return error.reason if error is not None else ""

    def raise_if_recent(self, model_id: Id) -> None:
        failed_at, error = self.known.get(model_id, (float("-inf"), None))
        if error is not None and self.clock() - failed_at < FORGET_FAILURE_S:
            raise ModelError(error.model, error.version, error.reason)


class Registry:
    """Models by name and version, within a budget of memory."""

    def __init__(
        self,
        root: Path,
        load: Callable[[Path], Model],
        budget_bytes: int,
        *,
        release: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Hold nothing yet.

        Args:
            root: the models' directory.
            load: makes of a version's directory a model that is fit to serve.
            budget_bytes: what the weights in memory may take together.
            release: called when some were dropped: returns memory to the system.
            clock: seconds.
        """
        self.catalogue = Catalogue(root)
        self._load = load
        self._budget_bytes = budget_bytes
        self._release = release
        self._clock = clock
        self._lock = threading.Lock()
        self._loading: defaultdict[Id, threading.Lock] = defaultdict(threading.Lock)
        self._held: dict[Id, Held] = {}
        self._active: dict[str, str] = {}
        self._failures = _Failures(clock)

    @contextmanager
    def lease(self, name: str, version: str | None = None) -> Iterator[Model]:
        """Use a version, by default the active one; it is loaded first where it is not.

        Raises:
            UnknownModelError: there is no such model or version.
            ModelError: it cannot be loaded.
        """
        held = self._lease_held(name, version)
        if held is None:
            held = self._borrow((name, version or self.active(name)), again=False)
        try:
            yield held.model
        finally:
            with self._lock:
                held.leases -= 1
                held.last_used = self._clock()
            self._make_room(0, hurry=False)

    def prefer(self, actives: Mapping[str, str]) -> None:
        """Have versions serve from now on, each loaded when it is first used."""
        with self._lock:
            self._active.update(actives)

    def active(self, name: str) -> str:
        """The version that jobs get which name none: the activated one, else the highest.

        The highest is looked for once: a directory that comes later must be activated.

        Raises:
            UnknownModelError: there is no model of this name.
        """
        with self._lock:
            chosen = self._active.get(name)
        if chosen is None:
            latest = self.catalogue.latest(name)
            with self._lock:
                chosen = self._active.setdefault(name, latest)
        return chosen

    def load(self, name: str, version: str | None = None) -> str:
        """Have a version in memory, warm; which one it is.

        Raises:
            UnknownModelError: there is no such model or version.
            ModelError: it cannot be loaded, or fails its warm-up or its verification.
        """
        version = version or self.active(name)
        held = self._borrow((name, version), again=True)
        with self._lock:
            held.leases -= 1
            held.wanted_until = self._clock() + KEEP_LOADED_S
        return version

    def activate(self, name: str, version: str) -> None:
        """Switch a name to a version, which is loaded first; jobs under way end on the old one.

        Raises:
            UnknownModelError: there is no such version.
            ModelError: it is refused; the old one stays active.
        """
        held = self._borrow((name, version), again=True)
        with self._lock:
            self._active[name] = version
            held.leases -= 1

    def unload(self, name: str, version: str | None = None) -> list[str]:
        """Drop versions from memory, by default all of a name; which were there.

        A job that uses one goes on with it; a later job loads it again.
        """
        with self._lock:
            wanted = [each for each in self._held if each[0] == name and version in (None, each[1])]
            for each in wanted:
                del self._held[each]
        self._free()
        return [each[1] for each in wanted]

    def held(self) -> dict[Id, Held]:
        """What is in memory now."""
        with self._lock:
            return dict(self._held)

    def failure(self, name: str, version: str) -> str:
        """Say why a version was refused when it was loaded last; empty if it was not."""
        return self._failures.reason((name, version))

    def actives(self) -> dict[str, str]:
        """The names that were used or activated, each with its active version."""
        with self._lock:
            return dict(self._active)

    def _borrow(self, model_id: Id, *, again: bool) -> Held:
        """A lease on a version; `again`: try it even if it has just failed."""
        with self._loading[model_id]:  # several jobs wait for one loading
            if held := self._lease_held(*model_id):
                return held
            if not again:
                self._failures.raise_if_recent(model_id)
            return self._load_and_lease(model_id)

    def _lease_held(self, name: str, version: str | None) -> Held | None:
        """A lease on a version in memory; by default on the one that is active at this instant."""
        with self._lock:
            held = self._held.get((name, version or self._active.get(name, "")))
            if held is not None:
                held.leases += 1
                held.last_used = self._clock()
            return held

    def _load_and_lease(self, model_id: Id) -> Held:
        directory = self.catalogue.directory(*model_id)
        self._make_room(_size_on_disk(directory))
        try:
            model = self._load(directory)
            size_bytes = model.size_bytes()
            if size_bytes > self._budget_bytes:
                reason = f"takes {size_bytes:,} bytes; the budget is {self._budget_bytes:,}"
                raise ModelError(*model_id, reason)
        except Exception as error:
            refusal = _as_model_error(model_id, error)
            self._failures.known[model_id] = (self._clock(), refusal)
            self._free()
            raise refusal from error
        self._failures.known.pop(model_id, None)
        held = Held(model, size_bytes, self._clock(), leases=1)
        with self._lock:
            self._held[model_id] = held
        self._make_room(0)
        return held

    def _make_room(self, coming_bytes: int, *, hurry: bool = True) -> None:
        with self._lock:
            over = sum(each.size_bytes for each in self._held.values())
            over += coming_bytes - self._budget_bytes
            dropped = to_drop(self._held, self._active, over, None if hurry else self._clock())
            for model_id in dropped:
                del self._held[model_id]
        if dropped:
            names = ", ".join("/".join(each) for each in dropped)
            log.info("unloaded to stay within the budget: %s", names)
            self._free()

    def _free(self) -> None:
        gc.collect()  # modules are full of cycles
        self._release()


def _size_on_disk(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir() if path.is_file())


def _as_model_error(model_id: Id, error: Exception) -> ModelError:
    if isinstance(error, ModelError):
        return error
    log.error("model %s/%s failed to load", *model_id, exc_info=error)
    return ModelError(*model_id, f"{type(error).__name__}: {error}")
