"""Messages that are too large, which are never read as a whole.

Admission keeps the first and last bytes of one, and upkeep makes a dead letter of it. These bytes
name the job, because kombu writes the body first and the headers last. A compressed message whose
body is too large once unpacked is delivered without its body.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, cast

SIZE: Final = "too_large_bytes"
"""A header of a message without its body: the size in bytes that its message has at least."""

_NO_BODY = "W1tudWxsXSwge30sIHt9XQ=="
"""[[null], {}, {}] in base64: no job and no callbacks."""

_FIELD = r'"%s"\s*:\s*"([^"\\]{1,200})"'


def size_of(headers: Mapping[str, Any] | None) -> int:
    """Return the size of a message that was delivered without its body, or 0 for any other."""
    found = (headers or {}).get(SIZE)
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 0


def named_in(head: str, tail: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Find headers and properties in the first and last bytes of a message.

    Returns:
        (headers, properties), or None if the bytes do not name a job.
    """
    headers = _headers(tail) or _headers(head)
    if headers is None:
        return None
    return headers, _object(tail, "properties") or _object(head, "properties") or {}


def without_body(
    message: Mapping[str, Any], headers: Mapping[str, Any], size: int
) -> dict[str, Any]:
    """Return a message for the same job, without arguments and with `size` in a header."""
    kept = {name: value for name, value in headers.items() if name not in ("eta", "expires")}
    return {
        "body": _NO_BODY,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": kept | {SIZE: size},
        "properties": message["properties"] | {"body_encoding": "base64"},
    }


def _headers(text: str) -> dict[str, Any] | None:
    """Find the headers in a part of a message: all of them, or else only id and task."""
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
