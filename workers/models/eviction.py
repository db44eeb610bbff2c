"""Choose the versions to unload if memory is short."""

from collections.abc import Mapping
from dataclasses import dataclass

from agewell.workers.models.model import Model

Id = tuple[str, str]
"""(name, version) of a model."""


@dataclass(eq=False)
class Held:
    """A model in memory. Times are seconds of the registry's clock."""

    model: Model
    size_bytes: int
    last_used: float
    leases: int = 0  # jobs that use it now
    wanted_until: float = 0.0  # a command has loaded it: keep it until then if possible


def to_evict(held: Mapping[Id, Held], active: Mapping[str, str], over_bytes: int) -> list[Id]:
    """Choose versions to unload because memory is needed now, for a version that is being loaded.

    Versions in use stay. Active versions go last, and of the others the longest unused goes first.

    Args:
        held: the models in memory.
        active: the active version of each name.
        over_bytes: memory to free. Less is freed if too many versions are in use.
    """
    return _longest_unused(_idle(held), held, active, over_bytes)


def to_trim(
    held: Mapping[Id, Held], active: Mapping[str, str], over_bytes: int, now: float
) -> list[Id]:
    """Choose versions to unload after a job, while memory is over the budget but not needed yet.

    Versions in use and active versions stay. Versions that a command has just loaded stay as well:
    they may be activated soon, while jobs still end on the old version.

    Args:
        held: the models in memory.
        active: the active version of each name.
        over_bytes: memory to free. Less is freed if too few versions may be unloaded.
        now: seconds of the registry's clock.
    """
    spare = [
        each
        for each in _idle(held)
        if not _is_active(each, active) and held[each].wanted_until < now
    ]
    return _longest_unused(spare, held, active, over_bytes)


def _idle(held: Mapping[Id, Held]) -> list[Id]:
    return [model_id for model_id, each in held.items() if each.leases == 0]


def _is_active(model_id: Id, active: Mapping[str, str]) -> bool:
    return active.get(model_id[0]) == model_id[1]


def _longest_unused(
    candidates: list[Id], held: Mapping[Id, Held], active: Mapping[str, str], over_bytes: int
) -> list[Id]:
    """Take candidates until their sizes add up: active versions last, the longest unused first."""
    chosen = []
    for model_id in sorted(
        candidates, key=lambda each: (_is_active(each, active), held[each].last_used, each)
    ):
        if over_bytes <= 0:
            break
        over_bytes -= held[model_id].size_bytes
        chosen.append(model_id)
    return chosen
