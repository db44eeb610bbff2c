"""Versions that failed to load, so that waiting jobs do not all try them again."""

from collections.abc import Callable

from agewell.shared.errors import ModelError
from agewell.workers.models.eviction import Id

FORGET_FAILURE_S = 10.0
"""Jobs do not load a version again within this time after it failed."""


class LoadFailures:
    """The last error of each version that failed to load."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._errors: dict[Id, tuple[float, ModelError]] = {}  # with the time of the failure

    def add(self, model_id: Id, error: ModelError) -> None:
        """Remember that a version failed now."""
        self._errors[model_id] = (self._clock(), error)

    def forget(self, model_id: Id) -> None:
        """Forget a version's failure, because it has loaded."""
        self._errors.pop(model_id, None)

    def reason(self, model_id: Id) -> str:
        """Return why a version failed last, or "" if it did not fail."""
        error = self._errors.get(model_id, (0.0, None))[1]
        return error.reason if error is not None else ""

    def raise_if_recent(self, model_id: Id) -> None:
        """Raise the error of a version that failed within the last FORGET_FAILURE_S seconds.

        Raises:
            ModelError: it did.
        """
        failed_at, error = self._errors.get(model_id, (float("-inf"), None))
        if error is not None and self._clock() - failed_at < FORGET_FAILURE_S:
            raise ModelError(error.model, error.version, error.reason)
