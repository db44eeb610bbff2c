"""The schemas of agewell's own operations, which a producer needs before it reaches a worker."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from pydantic import TypeAdapter

from agewell.shared.protocol.operations import OperationSchema


@cache
def built_in_schemas() -> Mapping[str, OperationSchema]:
    """Return the schemas of agewell's own operations, by name."""
    text = files(__package__).joinpath("built_in.json").read_bytes()
    found = TypeAdapter(tuple[OperationSchema, ...]).validate_json(text)
    return {each.name: each for each in found}
