"""Names of tenants: those for whom jobs run, and between whom workers are shared fairly."""

import re
from typing import Any, Final

from agewell.shared.errors import ParameterError

_PART: Final = r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}"
NAME_PATTERN: Final = rf"^{_PART}(/{_PART})?$"
"""`tenant` or `team/user`. `tenant_from` in shared/queue/envelope.lua has the same rule."""


def tenant_of(value: Any) -> str | None:
    """Return the tenant that a header names, or None if the value is not a tenant's name."""
    is_name = isinstance(value, str) and re.fullmatch(NAME_PATTERN, value)
    return value if is_name else None


def check_tenant(name: str) -> str:
    """Return a tenant's name.

    Raises:
        ParameterError: it is not allowed as a name.
    """
    if tenant_of(name) is None:
        allowed = "1 to 64 letters, digits and _.@-, beginning with a letter or digit, or team/user"
        raise ParameterError("tenant", repr(name), allowed)
    return name


def team_of(name: str) -> str | None:
    """Return the team of `team/user`, or None for a tenant without a team."""
    team, slash, _ = name.partition("/")
    return team if slash else None
