"""Messages that are too large: nobody reads them, and something small stands in for them.

Redis makes a stand-in (`shrink.lua`) as soon as a worker takes the message, or a sweep or a command
looks at it. It has the first and the last bytes of the message, so that its job can be named.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, cast

SIZE: Final = "too_large_bytes"
HEAD: Final = "too_large_head"
TAIL: Final = "too_large_tail"
_NO_BODY = "W1tudWxsXSwge30sIHt9XQ=="
"""[[null], {}, {}] in base64: no job, and nothing to call afterwards."""

_FIELD = r'"%s"\s*:\s*"([^"\\]{1,200})"'


def size_of(headers: Mapping[str, Any] | None) -> int:
    """The size in bytes of the message that headers stand in for; 0 for those of any other."""
    found = (headers or {}).get(SIZE)
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 0


def as_message(message: dict[str, Any]) -> dict[str, Any]:
    """A message that Celery takes for its job, without arguments, in the place of a stand-in.

    Raises:
        ValueError: the stand-in does not tell whose message it was.
    """
    headers = message["headers"]
    size, head, tail = size_of(headers), str(headers.get(HEAD)), str(headers.get(TAIL))
    found = _headers(tail) or _headers(head)
    if found is None:
        raise ValueError(
            f"a message of {size:,} bytes, which is too large, and of no job by its ends"
        )
    properties = {"delivery_info": {}} | (_object(tail, "properties") or {})
    return without_body({"properties": properties}, found | {HEAD: head}, size)


def without_body(
    message: Mapping[str, Any], headers: Mapping[str, Any], size: int
) -> dict[str, Any]:
    """A message for the same job that has no arguments, and says how large the whole is."""
    kept = {name: value for name, value in headers.items() if name not in ("eta", "expires")}
    return {
        "body": _NO_BODY,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": kept | {SIZE: size},
        "properties": message["properties"] | {"body_encoding": "base64"},
    }


def _headers(text: str) -> dict[str, Any] | None:
    """The headers in a part of a message: whole, or else those that name the job."""
    whole = _object(text, "headers")
    if whole is not None and whole.get("id") and whole.get("task"):
        return whole
    named = {name: re.search(_FIELD % name, text) for name in ("id", "task")}
    if not all(named.values()):
        return None
    return {name: found[1] for name, found in named.items() if found}


def _object(text: str, name: str) -> dict[str, Any] | None:
    at = re.search(rf'"{name}"\s*:\s*(?=\{{)', text)
    if at is None:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(text, at.end())
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found)
