"""Messages that are too large: nobody reads them whole.

Admission puts one aside with its first and last bytes, and upkeep makes a dead letter of it. Its
job is named by these: kombu writes the body first, and the headers last. A message that is small
but unpacks to too much is delivered without its body.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, cast

SIZE: Final = "too_large_bytes"
"""A header of a delivery: the message is larger than this, and has no body."""

_NO_BODY = "W1tudWxsXSwge30sIHt9XQ=="
"""[[null], {}, {}] in base64: no job, and nothing to call afterwards."""

_FIELD = r'"%s"\s*:\s*"([^"\\]{1,200})"'


def size_of(headers: Mapping[str, Any] | None) -> int:
    """The size in bytes that headers say of a message without its body; 0 for any other message."""
    found = (headers or {}).get(SIZE)
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 0


def named_in(head: str, tail: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The headers and properties of a message, by its two ends; None if they name no job."""
    headers = _headers(tail) or _headers(head)
    if headers is None:
        return None
    return headers, _object(tail, "properties") or _object(head, "properties") or {}


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
    if whole is not None and _is_text(whole.get("id")) and _is_text(whole.get("task")):
        return whole
    named = {name: re.search(_FIELD % name, text) for name in ("id", "task")}
    if not all(named.values()):
        return None
    return {name: found[1] for name, found in named.items() if found}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()


def _object(text: str, name: str) -> dict[str, Any] | None:
    at = re.search(rf'"{name}"\s*:\s*(?=\{{)', text)
    if at is None:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(text, at.end())
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found)
