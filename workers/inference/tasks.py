"""The Celery task of the infer queue."""

import math
import threading
from typing import TYPE_CHECKING, Any, cast

from celery import Task

from agewell.shared.celery.enqueue_time import enqueued_at
from agewell.shared.model_commands import ModelControl
from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.protocol.envelope import level_of
from agewell.shared.protocol.messages import InferJob, Job, JobResult
from agewell.shared.protocol.tasks import Queue
from agewell.shared.protocol.tasks import Task as TaskName
from agewell.workers.inference.batching.queue import Rank
from agewell.workers.jobs.delivery import deliver, operation_task
from agewell.workers.jobs.job_poll import JobPoll
from agewell.workers.process import runtime
from agewell.workers.process.context import context

if TYPE_CHECKING:
    from agewell.workers.inference.engine import Engine

_building = threading.Lock()
_built: "list[Engine]" = []


@operation_task(TaskName.INFER)
def infer(task: Task, document: Any, following: Any = None) -> dict[str, Any]:
    """Run an inference job. The argument is an `InferJob`, the result a `JobResult`, as JSON."""

    def run(job: Job, checkpoint: JobPoll) -> JobResult:
        from agewell.workers.inference.run import run_infer_job

        tools = context()
        return run_infer_job(
            cast(InferJob, job), engine(), tools.blobs, tools.settings, _rank(task), checkpoint
        )

    return deliver(task, "infer", document, following, run)


def engine() -> "Engine":
    """Return this process's engine. The first call builds it, which takes seconds."""
    with _building:
        if not _built:
            from agewell.workers.inference.engine import start_engine

            runtime.limit_threads(context().settings)
            made = start_engine(context().settings)
            made.registry.prefer(ModelControl(context().client).actives())
            _built.append(made)
        return _built[0]


def engine_if_built() -> "Engine | None":
    """Return this process's engine, or None if it is not built yet."""
    return _built[0] if _built else None


def _rank(task: Task) -> Rank:
    """Return a job's sort key in the batcher: the same order as in its queue."""
    policy = AgingPolicy(context().settings.k_of(Queue.INFER.value))
    level = level_of((task.request.delivery_info or {}).get("priority"))
    at = enqueued_at(task.request) or 0.0
    if math.isinf(policy.head_start_s(1)):
        return (level, at)
    return (policy.virtual_time(at, level), 0.0)
