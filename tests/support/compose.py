"""docker-compose.yml, as Compose reads it."""

import re


def filled_in(value: str) -> str:
    """A value with the defaults of the variables that the caller's environment does not set."""
    return re.sub(r"\$\{\w+:?-(.*?)\}", r"\1", value)
