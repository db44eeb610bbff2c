"""The Celery task of the infer queue."""

import math
import threading
from typing import TYPE_CHECKING, Any, cast

from celery import Task

from shared.aging import AgingPolicy
from shared.envelope import level_of
from shared.messages import InferJob, Job, JobResult
from shared.model_control import ModelControl
from shared.names import Queue
from shared.names import Task as TaskName
from shared.stamp import enqueued_at
from workers import runtime
from workers.context import context
from workers.deliveries import deliver, operation
from workers.jobs import Checkpoint
from workers.models.batch_queue import Rank

if TYPE_CHECKING:
    from workers.models.engine import Engine

_building = threading.Lock()
_built: "list[Engine]" = []


@operation(TaskName.INFER)
def infer(task: Task, document: Any, following: Any = None) -> dict[str, Any]:
    """Run a job of inference; `InferJob` in, `JobResult` out."""

    def run(job: Job, checkpoint: Checkpoint) -> JobResult:
        from workers.inference import run_infer_job

        tools = context()
        return run_infer_job(
            cast(InferJob, job), engine(), tools.blobs, tools.settings, _rank(task), checkpoint
        )

    return deliver(task, "infer", document, following, run)


def engine() -> "Engine":
    """This process's engine; made by whoever asks first: torch takes seconds to import."""
    with _building:
        if not _built:
            from workers.models.engine import start_engine

            runtime.limit_threads(context().settings)
            made = start_engine(context().settings)
            made.registry.prefer(ModelControl(context().client).actives())
            _built.append(made)
        return _built[0]


def engine_if_built() -> "Engine | None":
    """This process's engine, None where no model was asked for yet."""
    return _built[0] if _built else None


def _rank(task: Task) -> Rank:
    """A job's place in a batch: the same order as in its queue."""
    policy = AgingPolicy.of(context().settings, Queue.INFER.value)
    level = level_of((task.request.delivery_info or {}).get("priority"))
    at = enqueued_at(task.request) or 0.0
    if math.isinf(policy.head_start_s(1)):
        return (level, at)
    return (policy.virtual_time(at, level), 0.0)
