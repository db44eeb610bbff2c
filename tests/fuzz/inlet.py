"""Hostile messages for a queue's lists: garbage, depth, size and wrong types, by the hundred."""

import json
import random
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from tests.fuzz.mutate import ODD
from tests.support.envelopes import envelope
from tests.support.messages import good_job

MOST_BYTES = 2**22
"""The largest message that is read at all: AGEWELL_MAX_MESSAGE_BYTES by default."""

Kind = Callable[[random.Random], bytes]


def hostile(count: int, seed: int) -> Iterator[bytes]:
    """So many messages, each kind in turn."""
    chance = random.Random(seed)
    for number in range(count):
        yield KINDS[number % len(KINDS)](chance)


def _noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice([1, 100, 10_000, 1_000_000]))


def _deep(chance: random.Random) -> bytes:
    opening, inside, closing = chance.choice([("[", "", "]"), ('{"a":', "1", "}")])
    depth = chance.choice([10, 1000, 100_000])
    text = opening * depth + inside + closing * depth
    return f'{{"body": "W10=", "headers": {text}, "properties": {text}}}'.encode()


def _repeated(chance: random.Random) -> bytes:
    piece = chance.choice(['"', "\\", '\\"', '"body"', '"body": "', "{", " ", "\\ud800", "\0"])
    text = piece * (_size(chance) // len(piece))
    return chance.choice([text, '{"body": "' + text, f'{{"headers": "{text}"}}']).encode()


def _large(chance: random.Random) -> bytes:
    """A good job's message with a header or a body of some megabytes."""
    whole = _good(chance)
    holder, key = chance.choice([(whole["headers"], "argsrepr"), (whole, "body")])
    holder[key] = chance.choice(["A", '"', "\\", "\N{SNOWMAN}"]) * (_size(chance) // 8)
    return json.dumps(whole).encode()


def _wrong_types(chance: random.Random) -> bytes:
    """A good job's message in which every header and property may be anything."""
    whole = _good(chance)
    for part in (whole["headers"], whole["properties"], whole):
        for key in part:
            if chance.random() < 0.3:
                part[key] = chance.choice(ODD)
    return json.dumps(whole).encode()


def _size(chance: random.Random) -> int:
    return chance.choice([1000, 100_000, 1_000_000, MOST_BYTES - 1000, MOST_BYTES + 1000])


def _good(chance: random.Random) -> dict[str, Any]:
    return envelope(good_job(), str(uuid.UUID(int=chance.getrandbits(128))))


KINDS: tuple[Kind, ...] = (_noise, _deep, _repeated, _large, _wrong_types)
