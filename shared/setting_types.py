"""Types of setting values, and defaults that depend on the machine."""

import ipaddress
import json
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from agewell.shared.cores import usable_cores as usable_cores
from agewell.shared.errors import SettingsError
from agewell.shared.protocol.tasks import WORK_QUEUES
from agewell.shared.setting_names import PREFIX
from agewell.shared.text.durations import read_seconds
from agewell.shared.text.urls import check_blob_url, check_redis_url

Port = Annotated[int, Field(ge=0, le=65_535)]
PositiveInt = Annotated[int, Field(gt=0)]
NotNegativeInt = Annotated[int, Field(ge=0)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveTime = Annotated[float, BeforeValidator(read_seconds), Field(gt=0, allow_inf_nan=False)]
NotNegativeTime = Annotated[float, BeforeValidator(read_seconds), Field(ge=0, allow_inf_nan=False)]
WholeSeconds = Annotated[int, BeforeValidator(read_seconds), Field(gt=0)]
"""The three types of times read seconds, or text such as `90s`, `5m`, `1h30m`."""


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(part for part in (each.strip() for each in value.split(",")) if part)


ModuleName = Annotated[str, Field(pattern=r"^([A-Za-z_]\w*(\.[A-Za-z_]\w*)*|.*\.py)$")]
ModuleNames = Annotated[tuple[ModuleName, ...], NoDecode, BeforeValidator(_split)]
"""Names of Python modules, or paths of Python files, separated by commas."""


def xdg_state_home() -> Path:
    """Return the directory for state by the XDG base directory specification.

    Raises:
        SettingsError: the user has no home directory, and XDG_STATE_HOME is not set.
    """
    try:
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    except RuntimeError:
        raise SettingsError(
            f"{PREFIX}STATE_DIR", "must be set, because this user has no home directory"
        ) from None


def read_json(value: Any) -> Any:
    """Parse a variable's text as JSON. Other values are left to pydantic."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f'must be JSON, such as {{"infer": 0.1}}: {error}') from None


def _of_known_queues(by_queue: dict[str, float]) -> dict[str, float]:
    known = [queue.value for queue in WORK_QUEUES]
    for queue in by_queue:
        if queue not in known:
            raise ValueError(f"{queue!r} is not one of the queues with aging: {', '.join(known)}")
    return by_queue


KByQueue = Annotated[
    dict[str, NotNegative],
    NoDecode,
    BeforeValidator(read_json),
    AfterValidator(_of_known_queues),
]


def _checked_redis_url(url: SecretStr) -> SecretStr:
    check_redis_url(url.get_secret_value())
    return url


RedisUrl = Annotated[SecretStr, AfterValidator(_checked_redis_url)]


def _checked_password(password: SecretStr) -> SecretStr:
    text = password.get_secret_value()
    if not text or not text.isascii():
        raise ValueError("must be of ASCII characters, and not empty")
    return password


Password = Annotated[SecretStr, AfterValidator(_checked_password)]


def _checked_blob_url(url: str) -> str:
    check_blob_url(url)
    return url


BlobUrl = Annotated[str, AfterValidator(_checked_blob_url)]


def _not_empty(value: Any) -> Any:
    if value == "":
        raise ValueError("must be a path, and is empty; unset it to use the default")
    return value


def _absolute(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError("must be a full path: the home directory for its ~ is unknown") from None


AbsolutePath = Annotated[Path, BeforeValidator(_not_empty), AfterValidator(_absolute)]


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach an address or host name."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
