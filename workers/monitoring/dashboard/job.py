"""The content of a job's page: its record, its images before and after, a model's predictions."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from celery import Celery
from celery.states import READY_STATES, SUCCESS
from pydantic import ValidationError

from agewell.shared.errors import AgewellError, AllItemsFailedError
from agewell.shared.protocol.messages import ImageRef, ItemResult, JobResult
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.letter import Letter
from agewell.shared.queue.record import Record, State, record_of
from agewell.shared.queue.request import request_of
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.workers.jobs.chaining import job_of
from agewell.workers.jobs.recorded_inputs import Inputs, inputs_of, unpack
from agewell.workers.monitoring.dashboard.facts import (
    Fact,
    facts_of,
    given_facts,
    record_of_letter,
    shown_state,
)
from agewell.workers.monitoring.dashboard.item_text import ItemText, is_picture, item_text
from agewell.workers.process.context import Context

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError)
"""Errors of reading a result in an unknown format. Any program may write to the same Redis."""


@dataclass(frozen=True)
class Picture:
    """One image of an item, or the reason why it cannot be shown."""

    field: str
    """Its place in the item: a role of the operation such as `mask`, or `result`."""
    caption: str
    ref: ImageRef | None
    missing: str = ""


@dataclass(frozen=True)
class Row:
    """One item of a job, as the job's page shows it."""

    inputs: list[Picture]
    outputs: list[Picture]
    text: ItemText


@dataclass(frozen=True)
class Job:
    """One job, as its page shows it."""

    job_id: str
    state: str
    ended: bool
    facts: list[Fact]
    given: list[Fact]
    hint: str
    """Advice for the job's user. Empty if there is none."""
    rows: list[Row]

    def image(self, item: int, field: str) -> ImageRef | None:
        """Return the image in a field of an item, or None if there is none to show."""
        for row in self.rows[item : item + 1]:
            for picture in (*row.inputs, *row.outputs):
                if picture.field == field:
                    return picture.ref
        return None


def find_job(context: Context, app: Celery, job_id: str) -> Job | None:
    """Read everything about a job from Redis. Returns None for an unknown id."""
    pipe = context.client.pipeline(transaction=False)
    pipe.hgetall(keys.job(job_id))
    pipe.get(keys.result(job_id))
    raw, meta = pipe.execute()
    now = redis_now(context.client)
    record, inputs = _record_and_inputs(context, job_id, raw, now)
    if record is None:
        return None
    rows = [
        Row(list(_inputs(item)), list(_outputs(result)), item_text(result))
        for item, result in _paired(inputs.items, _results(app, meta))
    ]
    model = next((row.text.model for row in rows if row.text.model), "")
    return Job(
        job_id=job_id,
        state=shown_state(record, now),
        ended=record.state.ended,
        facts=facts_of(record, now, model, inputs.given),
        given=given_facts(inputs.given),
        hint=_hint(record),
        rows=rows,
    )


def find_state(context: Context, job_id: str) -> dict[str, Any]:
    """Return the state of a job, for which its page polls while the job is open."""
    record = context.ledger.get(job_id)
    if record is None:
        return {"state": "unknown"}
    state = shown_state(record, redis_now(context.client))
    return {"state": state, "ended": record.state.ended}


def celery_state(context: Context, job_id: str) -> str:
    """Return the state of another program's Celery task in the same Redis, or an empty text."""
    try:
        meta = context.client.get(keys.result(job_id))
        return str(json.loads(meta)["status"]) if isinstance(meta, bytes) else ""
    except UNREADABLE:
        return ""


def _record_and_inputs(
    context: Context, job_id: str, raw: dict[bytes, bytes], now: float
) -> tuple[Record | None, Inputs]:
    """Return a job's record, or one made from its dead letter, and the inputs of the job."""
    record = record_of(job_id, [raw.get(each.encode()) for each in Record.FIELDS], now)
    inputs = None
    if record is not None and b"message" in raw and not record.state.ended:
        record, inputs = _of_message(record, raw[b"message"])
    if record is None or record.state is State.DEAD:
        record, inputs = _of_letter(DeadLetters(context.client).get(job_id), record)
    return record, inputs or _recorded_inputs(raw)


def _recorded_inputs(raw: dict[bytes, bytes]) -> Inputs:
    """Return the inputs from the record of an ended job, which stores them in pieces."""
    numbers = itertools.takewhile(raw.__contains__, (b"inputs%d" % n for n in itertools.count(1)))
    return unpack(b"".join(raw[each] for each in numbers))


def _of_message(record: Record, message: bytes) -> tuple[Record, Inputs | None]:
    """Read the message of an open job. Jobs of plain Celery programs get their item count here."""
    request = request_of(message)
    job, problem = (None, "its message cannot be read") if request is None else job_of(request.args)
    if job is None:
        return replace(record, error=record.error or problem), None
    return replace(record, items=record.items or len(job.items)), inputs_of(job)


def _of_letter(letter: Letter | None, record: Record | None) -> tuple[Record | None, Inputs | None]:
    """Read a dead letter. Its record may have expired, and a message that is no job has none."""
    if letter is None:
        return record, None
    job, _ = job_of(letter.args)
    return record or record_of_letter(letter), None if job is None else inputs_of(job)


def _results(app: Celery, meta: bytes | None) -> list[ItemResult]:
    """Return the results of the items. Empty if there is none yet, or it is not agewell's."""
    try:
        found = app.backend.decode_result(meta) if meta else {}
        if found.get("status") == SUCCESS:
            return list(JobResult.model_validate(found["result"]).items)
        error = found.get("result") if found.get("status") in READY_STATES else None
        if isinstance(error, AllItemsFailedError):
            return [ItemResult.model_validate({"error": each}) for each in error.errors]
    except (*UNREADABLE, ValidationError, AgewellError):
        pass
    return []


def _hint(record: Record) -> str:
    """Return advice for the user of a dead job."""
    if record.state is not State.DEAD:
        return ""
    return (
        f"agewell gave this job up. `agewell dead show {record.job_id}` shows its message, "
        "`agewell dead retry` sends it again, `agewell dead drop` deletes it."
    )


def _paired(
    items: list[dict[str, Any]], results: list[ItemResult]
) -> Iterator[tuple[dict[str, Any], ItemResult]]:
    """Pair items with results. A job may have more of one: only the first items are recorded."""
    for item, result in zip_longest(items, results):
        yield item or {}, result or ItemResult()


def _inputs(item: dict[str, Any]) -> Iterator[Picture]:
    for role, document in item.items():
        try:
            ref = ImageRef.model_validate(document)
        except ValidationError:
            name = document.get("name", "") if isinstance(document, dict) else ""
            yield Picture(role, f"{role}: {name}", None, "sent inside the message, so not stored")
        else:
            yield Picture(role, f"{role}: {ref.name}", ref)


def _outputs(result: ItemResult) -> Iterator[Picture]:
    if result.image is not None and is_picture(result.image):
        yield Picture("result", result.image.name, result.image)
    extras = [ref for ref in result.extras or () if is_picture(ref)]
    for number, ref in enumerate(extras, 1):
        yield Picture(f"extra_{number}", ref.name, ref)
