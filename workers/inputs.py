"""Notes in the ledger on a job that has started: its first images and its parameters."""

import json
from typing import Any

from shared.messages import Job

KEPT_ITEMS = 8
"""Four kilobytes at the most, as long values are cut. The message has the rest while it waits."""

VALUE_MAX_CHARS = 400


def kept_of(job: Job) -> str:
    """A job's first images and its parameters, as JSON.

    Of an image that came inside the message only its name is kept: its bytes are not in the store.
    """
    document = job.model_dump(mode="json", exclude_none=True)
    items = [_references(item) for item in document["items"][:KEPT_ITEMS]]
    items[0] |= _references(document)  # a photo to take the colours of
    return json.dumps({"items": items, "given": _given(document)}, separators=(",", ":"))


def _references(document: dict[str, Any]) -> dict[str, Any]:
    return {name: _kept(value) for name, value in document.items() if _is_reference(value)}


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and "uri" in value


def _kept(reference: dict[str, Any]) -> dict[str, Any]:
    if reference["uri"].startswith("data:"):
        return {"name": reference["name"]}
    return reference


def _given(document: dict[str, Any]) -> dict[str, Any]:
    """The parameters, those of a model's own among them; long values cut."""
    own = document.pop("parameters", {})
    values = {
        name: value
        for name, value in document.items()
        if name not in ("schema_version", "op", "items") and not _is_reference(value)
    }
    return {name: _cut(value) for name, value in (own | values).items()}


def _cut(value: Any) -> Any:
    text = json.dumps(value)
    return value if len(text) <= VALUE_MAX_CHARS else text[: VALUE_MAX_CHARS - 3] + "..."
