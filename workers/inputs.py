"""What the ledger keeps of a job's inputs, for the page that shows them: a few references."""

import json
from typing import Any

from shared.messages import Job

KEPT_ITEMS = 8
"""Two kilobytes at the most; who wants to see all has the job."""


def inputs_of(job: Job) -> str:
    """The references of a job's first items, by the items' fields, as JSON.

    Of an image that came inside the message only its name is kept: its bytes are not in the store.
    """
    items = job.items[:KEPT_ITEMS]
    documents = [item.model_dump(mode="json", exclude_none=True) for item in items]
    return json.dumps(
        [{k: _kept(v) for k, v in each.items() if _is_reference(v)} for each in documents],
        separators=(",", ":"),
    )


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and "uri" in value


def _kept(reference: dict[str, Any]) -> dict[str, Any]:
    if reference["uri"].startswith("data:"):
        return {"name": reference["name"]}
    return reference
