"""Our Lua scripts: one command a file, run by its hash.

A line `--@include name` in a script stands for the functions of another file, once. In a block, it
makes them only if the block runs.

Redis keeps the scripts that it was given until it restarts. A user without the right to give it any
can still run those that are there: workers and upkeep give Redis all of them when they start, and
whenever they find one missing.
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
    """One command; its file says what its KEYS and ARGV are."""

    def __init__(self, name: str) -> None:
        self.text = _text(name)
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def __call__(
        self, client: redis.Redis, keys: Sequence[str], args: Iterable[Argument] = ()
    ) -> Any:
        """Run it; a Redis that does not know it yet is given it.

        Raises:
            ScriptsMissingError: Redis does not know it, and this user may not give it any.
        """
        return self.run(client, self.command(keys, args))

    def run(self, client: redis.Redis, command: Sequence[Argument]) -> Any:
        """Run it by a command that `command` has made.

        Raises:
            ScriptsMissingError: Redis does not know it, and this user may not give it any.
        """
        try:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]
        except redis.exceptions.NoScriptError:
            load_all(client)
            return client.execute_command(*command)  # type: ignore[no-untyped-call]

    def command(self, keys: Sequence[str], args: Iterable[Argument] = ()) -> tuple[Argument, ...]:
        """The command that runs it, for a pipeline or a connection."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)

    def prepare(self, keys: Sequence[str], args: Iterable[Argument]) -> "Prepared":
        """The command that runs it, without its last arguments."""
        return Prepared(self.command(keys, args))


class Prepared:
    """The beginning of a command that is sent often, packed once."""

    def __init__(self, beginning: Sequence[Argument]) -> None:
        self._beginning = tuple(beginning)
        self._packed = packed(beginning)

    def command(self, *more: Argument) -> tuple[Argument, ...]:
        """The whole command, for a client."""
        return (*self._beginning, *more)

    def packed(self, *more: Argument) -> bytes:
        """The whole command as Redis's protocol has it, for a connection."""
        return b"*%d\r\n%b%b" % (len(self._beginning) + len(more), self._packed, packed(more))


def load_all(client: redis.Redis) -> None:
    """Give Redis every script: one that misses any has just started, or had them flushed.

    Raises:
        ScriptsMissingError: this user may not.
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
