"""Finds the schema of an operation: agewell's own, or one that a running worker offers."""

import time
from collections.abc import Callable, Mapping

import redis

from agewell.shared.errors import ParameterError
from agewell.shared.operation_offers import OperationOffers
from agewell.shared.protocol.built_in import built_in_schemas
from agewell.shared.protocol.operations import OperationSchema

KEPT_S = 30.0
"""How long the schemas of users' operations are used before they are read again."""


class OfferedSchemas:
    """The schemas of all operations that can be sent. Users' are read from Redis if needed."""

    def __init__(self, connect: Callable[[], redis.Redis]) -> None:
        """Prepare to look up operations.

        Args:
            connect: returns a client of Redis. It is called for operations of users only.
        """
        self._connect = connect
        self._users: Mapping[str, OperationSchema] = {}
        self._read_at = float("-inf")

    def find(self, name: str) -> OperationSchema:
        """Return the schema of an operation by its name or by its command.

        Raises:
            ParameterError: it is not agewell's own, and no running worker offers it.
            BrokerUnreachableError: it is not agewell's own, and Redis does not answer.
        """
        found = _find(built_in_schemas(), name)
        if found is None and time.monotonic() < self._read_at + KEPT_S:
            found = _find(self._users, name)
        if found is None:
            self._users = OperationOffers(self._connect()).schemas()
            self._read_at = time.monotonic()
            found = _find(self._users, name)
        if found is None:
            known = ", ".join([*built_in_schemas(), *self._users])
            allowed = f"{known}. No running worker offers another one (agewell operations)"
            raise ParameterError("the operation", repr(name), allowed)
        return found


def _find(schemas: Mapping[str, OperationSchema], name: str) -> OperationSchema | None:
    commands = {each.command: each for each in schemas.values()}
    return schemas.get(name) or commands.get(name)
