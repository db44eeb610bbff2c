"""The inputs that a job's page shows: its first images and its parameters, packed for its record.

The record of an ended job is kept for hours, so it must be small. Redis stores a hash compactly if
none of its values is longer than 64 bytes. The inputs of a job of one image fit into one such
value: they are JSON, deflated with a dictionary of text that most jobs contain.
"""

import contextlib
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agewell.shared.protocol.messages import ImageRef, Job, PipelineJob, Step
from agewell.shared.protocol.operations import NAME_PATTERN
from agewell.shared.protocol.pipelines import step_as_text
from agewell.shared.protocol.tasks import INFER, PIPELINE

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
    steps = _steps_of(job)
    for number, step in enumerate(steps, 1):
        items[0] |= {f"step_{number}_{role}": each for role, each in _images_of(step)}
    parameters = _parameters(document)
    if steps:
        parameters["steps"] = _shortened(" | ".join(map(step_as_text, steps)))
    return Inputs(items, parameters)


def _steps_of(job: Job) -> tuple[Step, ...]:
    """Return the steps of a pipeline. Any program may have sent it, and nobody has checked it."""
    if isinstance(job, PipelineJob):
        return job.steps
    if job.op != PIPELINE:
        return ()
    try:
        return _STEPS.validate_python((job.model_extra or {}).get("steps"))
    except ValidationError:
        return ()


_STEPS = TypeAdapter(tuple[Step, ...])


def _images_of(step: Step) -> Iterator[tuple[str, dict[str, Any]]]:
    for role, value in (step.model_extra or {}).items():
        if re.fullmatch(NAME_PATTERN, role):
            with contextlib.suppress(ValidationError):
                found = ImageRef.model_validate(value).model_dump(mode="json")
                yield role, _without_data(found)


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
    """Return True for a reference. In a job that nobody has checked, a field may be anything."""
    return isinstance(value, dict) and all(isinstance(value.get(each), str) for each in _TEXTS)


_TEXTS = ("uri", "sha256", "media_type")


def _without_data(reference: dict[str, Any]) -> dict[str, Any]:
    if reference["uri"].startswith("data:"):
        return {"name": reference.get("name", "image")}
    return reference


def _parameters(document: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters, including the model's own ones, with long values cut."""
    own = document.get("parameters")
    if document["op"] == INFER and isinstance(own, dict):
        del document["parameters"]
    else:
        own = {}
    values = {
        name: value
        for name, value in document.items()
        if name not in ("schema_version", "op", "items") and not _is_reference(value)
    }
    return {name: _shortened(value) for name, value in (own | values).items()}


def _shortened(value: Any) -> Any:
    text = json.dumps(value)
    return value if len(text) <= VALUE_MAX_CHARS else text[: VALUE_MAX_CHARS - 3] + "..."
