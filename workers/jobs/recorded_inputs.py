"""The inputs that a job's page shows: its first images and its parameters, packed for its record.

The record of an ended job is kept for hours, so it must be small. Redis stores a hash compactly if
none of its values is longer than 64 bytes. The inputs of a job of one image fit into one such
value: they are JSON, deflated with a dictionary of text that most jobs contain.
"""

import json
import re
import zlib
from dataclasses import dataclass, field
from typing import Any

from agewell.shared.protocol.messages import Job, PipelineJob
from agewell.shared.protocol.pipelines import step_as_text

KEPT_ITEMS = 8
"""How many items are recorded. With long values cut, they take 4 kB of JSON at most."""

VALUE_MAX_CHARS = 400
UNPACKED_MAX_BYTES = 65536

_WINDOW_BITS, _MEMORY_LEVEL = -12, 3
"""Raw deflate with a window of 4 KiB. Setting up a larger window takes five times as long."""

_COMMON = (
    b'{"foreground":{"uri":"store:","background":{"uri":"store:","alpha":0.5,"offset":[0,0]}}'
    b'{"source":{"uri":"store:","mask":{"uri":"store:","destination":{"uri":"store:",'
    b'"gradient":"src","mask_on_source":[0,0],"mask_on_destination":[0,0]}}'
    b'"given":{"model":"classifier","version":"1","palette":["#"],"reference":{"uri":"store:",'
    b'"tap":"","output":{"format":"jpeg","quality":90}}}"image/webp","image/tiff","image/bmp",'
    b'{"items":[{"image":{"uri":"redis:","size_bytes":"media_type":"image/png","name":".png"}},'
    b'{"image":{"uri":"store:","size_bytes":,"media_type":"image/jpeg","name":"IMG_'
    b'.jpg"}}],"given":{"output":{"format":"png"},"full_range":false}}'
)
"""The dictionary of deflate, most frequent text last. Do not change it: old records need it."""

_HASH = re.compile(r"[0-9a-f]{64}")
_RAW_HASH = re.compile(r"\xff(.{32})", re.DOTALL)
"""A mark and 32 raw bytes, which take half the room of a hexadecimal hash. JSON in ASCII never
contains the mark."""


@dataclass(frozen=True)
class Inputs:
    """The first images of a job by their roles, as documents, and its parameters."""

    items: list[dict[str, Any]] = field(default_factory=list)
    given: dict[str, Any] = field(default_factory=dict)


def inputs_of(job: Job) -> Inputs:
    """Return a job's first images and its parameters.

    Only the name is kept of an image that was sent inside the message, because its bytes are not in
    the blob store.
    """
    document = job.model_dump(mode="json", exclude_none=True)
    items = [_references(item) for item in document["items"][:KEPT_ITEMS]]
    items[0] |= _references(document)  # such as the photo whose colours are copied
    for step in document.get("steps", []):
        items[0] |= {f"{step['op']} {role}": each for role, each in _references(step).items()}
    parameters = _parameters(document)
    if isinstance(job, PipelineJob):
        parameters["steps"] = _shortened(" | ".join(map(step_as_text, job.steps)))
    return Inputs(items, parameters)


def pack(inputs: Inputs) -> bytes:
    """Pack inputs into bytes: about 60 for one image, and 50 for each additional one."""
    items = [{role: _without_hash(each) for role, each in item.items()} for item in inputs.items]
    text = json.dumps({"items": items, "given": inputs.given}, separators=(",", ":"))
    text = _HASH.sub(lambda found: "\xff" + bytes.fromhex(found[0]).decode("latin-1"), text)
    deflate = zlib.compressobj(
        9, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL, zlib.Z_DEFAULT_STRATEGY, _COMMON
    )
    return deflate.compress(text.encode("latin-1")) + deflate.flush()


def unpack(packed: bytes) -> Inputs:
    """Unpack inputs. They are empty if the bytes are damaged."""
    inflate = zlib.decompressobj(_WINDOW_BITS, _COMMON)
    try:
        text = inflate.decompress(packed, UNPACKED_MAX_BYTES).decode("latin-1")
        found = json.loads(_RAW_HASH.sub(lambda raw: raw[1].encode("latin-1").hex(), text))
        items = [{role: _with_hash(each) for role, each in item.items()} for item in found["items"]]
        return Inputs(items, dict(found["given"]))
    except (zlib.error, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Inputs()


def _without_hash(reference: dict[str, Any]) -> dict[str, Any]:
    """Return a reference without its hash, if its URI contains the hash."""
    digest = reference.get("sha256", "-")
    is_said = reference.get("uri", "").endswith(f":{digest}")
    return {name: value for name, value in reference.items() if name != "sha256" or not is_said}


def _with_hash(reference: dict[str, Any]) -> dict[str, Any]:
    if "uri" not in reference or "sha256" in reference:
        return reference
    return reference | {"sha256": reference["uri"].partition(":")[2]}


def _references(document: dict[str, Any]) -> dict[str, Any]:
    return {name: _without_data(value) for name, value in document.items() if _is_reference(value)}


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and "uri" in value


def _without_data(reference: dict[str, Any]) -> dict[str, Any]:
    if reference["uri"].startswith("data:"):
        return {"name": reference["name"]}
    return reference


def _parameters(document: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters, including the model's own ones, with long values cut."""
    own = document.pop("parameters", {})
    values = {
        name: value
        for name, value in document.items()
        if name not in ("schema_version", "op", "items") and not _is_reference(value)
    }
    return {name: _shortened(value) for name, value in (own | values).items()}


def _shortened(value: Any) -> Any:
    text = json.dumps(value)
    return value if len(text) <= VALUE_MAX_CHARS else text[: VALUE_MAX_CHARS - 3] + "..."
