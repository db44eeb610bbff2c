"""The Celery tasks of the cv queue, one for each operation."""

from typing import Any

from celery import Task

from agewell.shared.protocol.messages import Job, JobResult
from agewell.shared.protocol.tasks import Task as TaskName
from agewell.workers.jobs.delivery import deliver, operation
from agewell.workers.jobs.run import Checkpoint, run_job
from agewell.workers.process import logs, runtime
from agewell.workers.process.context import context, settings

logs.install()
runtime.limit_threads(settings())
runtime.collect_garbage_in_time()
runtime.limit_memory(settings())


@operation(TaskName.HSV)
def hsv(task: Task, document: Any, following: Any = None) -> dict[str, Any]:
    """Run a job of BGR to HSV: an `HsvJob` document in, a `JobResult` out."""
    return deliver(task, "hsv", document, following, _run)


@operation(TaskName.ALPHA_BLEND)
def alpha_blend(task: Task, document: Any, following: Any = None) -> dict[str, Any]:
    """Run a job of alpha blending: an `AlphaBlendJob` document in, a `JobResult` out."""
    return deliver(task, "alpha_blend", document, following, _run)


@operation(TaskName.POISSON_BLEND)
def poisson_blend(task: Task, document: Any, following: Any = None) -> dict[str, Any]:
    """Run a job of Poisson blending: a `PoissonBlendJob` document in, a `JobResult` out."""
    return deliver(task, "poisson_blend", document, following, _run)


def _run(job: Job, checkpoint: Checkpoint) -> JobResult:
    return run_job(job, context().blobs, context().settings, checkpoint)
