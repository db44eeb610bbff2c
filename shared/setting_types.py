"""The types of settings' values, with their defaults that depend on the machine."""

import ipaddress
import json
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from shared.durations import read_seconds

Port = Annotated[int, Field(ge=0, le=65_535)]
PositiveInt = Annotated[int, Field(gt=0)]
NotNegativeInt = Annotated[int, Field(ge=0)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveTime = Annotated[float, BeforeValidator(read_seconds), Field(gt=0, allow_inf_nan=False)]
NotNegativeTime = Annotated[float, BeforeValidator(read_seconds), Field(ge=0, allow_inf_nan=False)]
WholeSeconds = Annotated[int, BeforeValidator(read_seconds), Field(gt=0)]
"""Times: in seconds, or as text such as `90s`, `5m`, `1h30m`."""


def xdg_state_home() -> Path:
    """Where programs keep state by the XDG base directory specification."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")


def usable_cores() -> int:
    """Processor cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_json(value: Any) -> Any:
    """A variable's text as JSON; other values are left to pydantic."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f'must be JSON, such as {{"infer": 0.1}}: {error}') from None


KByQueue = Annotated[dict[str, NotNegative], NoDecode, BeforeValidator(read_json)]


def is_loopback(host: str) -> bool:
    """Whether an address or a name is of this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
