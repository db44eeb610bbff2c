"""Settings of a stack that the environment of this process does not change."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import PydanticBaseSettingsSource

from agewell.shared.setting_names import PREFIX
from agewell.shared.settings import Settings


class GivenSettings(Settings):
    """Settings with the values given and the defaults. It ignores the environment."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: Any, init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Name the arguments of the constructor as the only source of values."""
        del settings_cls
        return (init_settings,)


def environment(state_dir: Path, **settings: object) -> dict[str, str]:
    """Build the environment of a stack and of its commands.

    Args:
        state_dir: the stack's directory.
        settings: names and values of `Settings`, such as ``concurrency=2``. None stands for unset.

    Returns:
        The environment of this process, with these settings instead of its AGEWELL_ variables.
        Flower gets any free port if ``flower_port`` is not given.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    return inherited | variables({"state_dir": state_dir, "flower_port": 0} | settings)


def variables(settings: Mapping[str, object]) -> dict[str, str]:
    """Turn settings into AGEWELL_ variables, without those that are None."""
    return {
        f"{PREFIX}{name.upper()}": _text(value)
        for name, value in settings.items()
        if value is not None
    }


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, dict) else str(value)
