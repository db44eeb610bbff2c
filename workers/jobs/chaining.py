"""The next step of a Celery chain: a job that gets its images from the step before it.

Celery calls the next task with the result of the last one as its first argument. It calls the
callback of a chord with a list of results. The job is the second argument. Each image from the step
before fills the first image field that the job's item leaves out: one that the operation requires,
or else an optional one, such as the mask of an alpha blend.
"""

from typing import Any

from pydantic import ValidationError

from agewell.shared.errors import BadJobError
from agewell.shared.protocol.built_in import built_in_schemas
from agewell.shared.protocol.messages import (
    ErrorInfo,
    GenericJob,
    ItemResult,
    Job,
    JobResult,
    read_job,
)
from agewell.shared.protocol.tasks import INFER, PIPELINE
from agewell.workers.operations.registry import load_operations

Earlier = tuple[ErrorInfo | None, ...]
"""For each item of the step before: its error, or None if it has an image."""


def _image_fields(op: str, modules: tuple[str, ...] | None) -> list[str]:
    """Return the image fields of an item, the required ones first. Empty if it is unknown."""
    if op in (INFER, PIPELINE):
        return ["image"]
    schema = built_in_schemas().get(op)
    if schema is None and modules is not None:
        users = load_operations(modules).operations.get(op)
        schema = None if users is None else users.schema
    inputs = schema.item_inputs if schema else ()
    return [each.name for each in sorted(inputs, key=lambda each: not each.required)]


def next_job(
    before: Any, document: Any, modules: tuple[str, ...] | None = None
) -> tuple[dict[str, Any], Earlier]:
    """Make the document of the next job.

    Args:
        before: a `JobResult` document, or a list of them.
        document: the next job, without the images that come from the step before. Its `items` hold
            one template for all images, or one for each item of the step before. It may be left
            out.
        modules: the users' modules with operations, as in AGEWELL_OPERATIONS. None: users'
            operations are not known here, and their items are left as they are.

    Returns:
        The complete job, with one item per image, and the errors of the items that have no image.

    Raises:
        BadJobError: an argument has the wrong type, the step before has made no image, or the items
            of the job have no free field for the images.
    """
    items = _items_before(before)
    if not isinstance(document, dict):
        raise BadJobError(f"the second argument must be the next job, found {document!r:.80}")
    templates = _templates(document, len(items))
    if any(item.image is None and item.error is None for item in items):
        raise BadJobError("the step before made predictions and no images: it cannot be continued")
    filled = [
        _filled(str(document.get("op")), template, item, modules)
        for template, item in zip(templates, items, strict=True)
        if item.image is not None
    ]
    if not filled:
        raise BadJobError("every item of the step before failed, so there is no image to use")
    return document | {"items": filled}, tuple(item.error for item in items)


def job_of(args: Any) -> tuple[Job | None, str]:
    """Return the job in a task's arguments, or None and the reason if there is no job.

    Its parameters are not checked, because another process may run its operation.
    The next step of a chain has the result of the step before as its first argument.
    """
    try:
        match args:
            case [document]:
                return read_job(document, GenericJob), ""
            case [before, document]:
                return read_job(next_job(before, document)[0], GenericJob), ""
    except BadJobError as error:
        return None, str(error)
    return None, "the message has no job as its argument"


def with_earlier_errors(result: JobResult, earlier: Earlier) -> JobResult:
    """Insert the errors of the step before at their places among a result's items."""
    items = iter(result.items)
    woven = tuple(next(items) if error is None else ItemResult(error=error) for error in earlier)
    return result.model_copy(update={"items": woven})


def _items_before(before: Any) -> list[ItemResult]:
    documents = before if isinstance(before, list) else [before]
    try:
        results = [JobResult.model_validate(each) for each in documents]
    except ValidationError:
        raise BadJobError(
            f"the first argument must be the result of the step before, found {before!r:.80}"
        ) from None
    return [item for result in results for item in result.items]


def _templates(document: dict[str, Any], count: int) -> list[dict[str, Any]]:
    found = document.get("items") or [{}]
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadJobError(f"items: must be a list of objects, found {found!r:.80}")
    if len(found) == 1:
        return found * count
    if len(found) != count:
        raise BadJobError(
            f"the job has {len(found)} items and the step before made {count}: "
            f"send one item for all, or {count}"
        )
    return found


def _filled(
    op: str, template: dict[str, Any], item: ItemResult, modules: tuple[str, ...] | None
) -> dict[str, Any]:
    """Return an item with the image from before in the first field that the template leaves out."""
    image = item.image.model_dump(mode="json") if item.image is not None else None
    fields = _image_fields(op, modules)
    free = [field for field in fields if field not in template]
    if fields and not free:
        raise BadJobError(
            f"an item of {op} names every image: leave one out for the image of the step before"
        )
    return {**template, free[0]: image} if free else template
