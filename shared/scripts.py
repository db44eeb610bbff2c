"""Our Lua scripts, each in a file of its own beside the module that runs it."""

from functools import cache
from importlib.resources import files


@cache
def script(package: str, name: str) -> str:
    """The text of `name`.lua in a package."""
    return (files(package) / f"{name}.lua").read_text()
