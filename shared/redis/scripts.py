"""Runner of agewell's Lua scripts, one command per file, by EVALSHA.

A line `--@include name` in a script is replaced by the functions of another file, once. Inside a
block, the functions are created only if the block runs.

Redis keeps loaded scripts until it restarts. Workers and upkeep load all scripts when they start,
and whenever one is missing. So a Redis user who may not load scripts can still run them.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import redis

from agewell.shared.errors import ScriptsMissingError
from agewell.shared.redis.packing import packed

_INCLUDE = re.compile(r"^ *--@include (\w+)$", re.MULTILINE)

Argument = str | bytes | bytearray | memoryview | int | float


class Script:
    """One Lua script. The first lines of its file describe its KEYS and ARGV."""

    def __init__(self, name: str) -> None:
        self.text = _text(name)
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def __call__(
        self, client: redis.Redis, keys: Sequence[str], args: Iterable[Argument] = ()
    ) -> Any:
        """Run the script, and load it first if Redis does not have it.

        Raises:
            ScriptsMissingError: Redis does not have it, and this user may not load it.
        """
        return self.run(client, self.command(keys, args))

    def run(self, client: redis.Redis, command: Sequence[Argument]) -> Any:
        """Run a command that `command` has returned, and load the script first if necessary.

        Raises:
            ScriptsMissingError: Redis does not have it, and this user may not load it.
        """
        try:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]
        except redis.exceptions.NoScriptError:
            load_all(client)
            return client.execute_command(*command)  # type: ignore[no-untyped-call]

    def command(self, keys: Sequence[str], args: Iterable[Argument] = ()) -> tuple[Argument, ...]:
        """Return the command that runs the script, for a pipeline or a connection."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)

    def prepare(self, keys: Sequence[str], args: Iterable[Argument]) -> "Prepared":
        """Encode the command that runs the script, up to its last arguments."""
        return Prepared(self.command(keys, args))


class Prepared:
    """The beginning of a command that is sent often, encoded once."""

    def __init__(self, beginning: Sequence[Argument]) -> None:
        self._beginning = tuple(beginning)
        self._packed = packed(beginning)

    def command(self, *more: Argument) -> tuple[Argument, ...]:
        """Return the whole command, for a client."""
        return (*self._beginning, *more)

    def packed(self, *more: Argument) -> bytes:
        """Return the whole command encoded for Redis's protocol, for a connection."""
        return b"*%d\r\n%b%b" % (len(self._beginning) + len(more), self._packed, packed(more))


def load_all(client: redis.Redis) -> None:
    """Load all scripts. If one is missing, Redis has restarted or its scripts were flushed.

    Raises:
        ScriptsMissingError: this user may not load scripts.
    """
    pipe = client.pipeline(transaction=False)
    for name in _names():
        pipe.script_load(_text(name))
    try:
        pipe.execute()
    except redis.exceptions.NoPermissionError as error:
        raise ScriptsMissingError from error


@cache
def _names() -> list[str]:
    return [
        each.name.removesuffix(".lua")
        for each in files("agewell.shared.queue").iterdir()
        if each.name.endswith(".lua") and "\n-- KEYS:" in each.read_text()
    ]


@cache
def _text(name: str) -> str:
    included: set[str] = set()

    def expand(each: str) -> str:
        text = (files("agewell.shared.queue") / f"{each}.lua").read_text()
        return _INCLUDE.sub(lambda match: include(match[1]), text)

    def include(each: str) -> str:
        if each in included:
            return ""
        included.add(each)
        return expand(each)

    return expand(name)
