"""Mutations of bytes and of JSON values, each from a seed and so the same at every run."""

import copy
import random
from typing import Any

NASTY = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]
"""Numbers at which sizes, signs and offsets go wrong."""

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 64, 65, 1e308, -0.5, 2**31, 2**63, 2**200, "",
    float("nan"), float("inf"), -1e13, -10**400, "5", "-1e13", "", " ", "a", "\x00",
    "\ud7ff\U0010ffff", "../../etc/passwd", "file:///etc/passwd", "http://127.0.0.1/", "%s%n",
    "${x}", "A" * 5000, [], [[]], [None], {}, {"": {}}, {"__proto__": 1}, [0] * 100, "NaN",
    "store:" + "a" * 64, "redis:" + "0" * 64 + "+5", "data:image/png;base64,====",
]  # fmt: skip


def mutate_bytes(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Make one to eight changes to some bytes. Pieces may be taken from `other`."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 3, 8])):
        if not changed:
            break
        at = _position(len(changed), chance)
        length = chance.choice([1, 2, 4, 16, 256, 4096])
        match chance.randrange(8):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at : at + length] = chance.randbytes(min(length, 64))
            case 2:
                del changed[at:]
            case 3:
                del changed[at : at + length]
            case 4:
                changed[at:at] = changed[at : at + length]
            case 5:
                size = chance.choice([1, 2, 4])
                number = chance.choice(NASTY) % (1 << 8 * size)
                order = chance.choice(["little", "big"])
                changed[at : at + size] = number.to_bytes(size, order)  # type: ignore[arg-type]
            case 6:
                start = chance.randrange(len(other))
                changed[at : at + length] = other[start : start + length]
            case 7:
                changed[at:] = other[at:]
    return bytes(changed)


def _position(length: int, chance: random.Random) -> int:
    """Any place, but half of the time one in the headers."""
    return chance.randrange(min(length, 200) if chance.random() < 0.5 else length)


def mutate_json(value: Any, chance: random.Random) -> Any:
    """A copy of a document with one to three places replaced, taken away or put in."""
    document = copy.deepcopy(value)
    for _ in range(chance.choice([1, 1, 2, 3])):
        holders = list(_holders(document))
        if not holders:
            return chance.choice(ODD)
        holder, key = chance.choice(holders)
        odd = copy.deepcopy(chance.choice(ODD))
        match chance.randrange(4):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[str(chance.choice(ODD))] = odd
            case 1:
                holder.insert(key, odd)
            case _:
                holder[key] = odd
    return document


def _holders(value: Any) -> Any:
    """Every (container, key or index) within a document."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _holders(value[key])
