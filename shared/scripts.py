"""Our Lua scripts, each in a file of its own beside the module that runs it."""

from functools import cache
from importlib.resources import files


@cache
def script(package: str, name: str) -> str:
    """The text of `name`.lua in a package."""
    return (files(package) / f"{name}.lua").read_text()


def counting_script(name: str) -> str:
    """A script of `shared` that counts: one in which no count can fail what it counts."""
    return script("shared", "count") + script("shared", name)
