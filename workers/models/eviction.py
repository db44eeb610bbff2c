"""Which versions leave memory when it is short."""

from collections.abc import Mapping
from dataclasses import dataclass

from agewell.workers.models.model import Model

Id = tuple[str, str]
"""(name, version)."""


@dataclass(eq=False)
class Held:
    """A model in memory; times are of the registry's clock, in seconds."""

    model: Model
    size_bytes: int
    last_used: float
    leases: int = 0
    wanted_until: float = 0.0


def to_drop(
    held: Mapping[Id, Held], active: Mapping[str, str], over_bytes: int, patient_at: float | None
) -> list[Id]:
    """What to drop so that the rest fits the budget: what is not in use, the longest unused first.

    Args:
        held: what is in memory.
        active: the active version of each name; those go last.
        over_bytes: what is to be freed; where nothing more may go, less is.
        patient_at: the time, where there is time: then no active version goes, nor one that a
            command has just loaded; its first job may be on its way, while those of the old
            version still end. None: something is to be loaded now.
    """
    idle = [
        (active.get(model_id[0]) == model_id[1], each.last_used, model_id)
        for model_id, each in held.items()
        if each.leases == 0
    ]
    if patient_at is not None:
        idle = [each for each in idle if not each[0] and held[each[2]].wanted_until < patient_at]
    dropped = []
    for _, _, model_id in sorted(idle):
        if over_bytes <= 0:
            break
        over_bytes -= held[model_id].size_bytes
        dropped.append(model_id)
    return dropped
