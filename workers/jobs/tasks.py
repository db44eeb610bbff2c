"""The Celery tasks of the cv queue: one for each operation, and one for pipelines."""

from typing import Any

from celery import Task

from agewell.shared.protocol.messages import Job, JobResult
from agewell.shared.protocol.tasks import PIPELINE, task_of
from agewell.workers.jobs.delivery import deliver, operation_task
from agewell.workers.jobs.job_poll import JobPoll
from agewell.workers.jobs.run import run_job
from agewell.workers.operations.registry import load_operations
from agewell.workers.process import logs, runtime
from agewell.workers.process.context import context, settings

logs.install()
runtime.limit_threads(settings())
runtime.collect_garbage_in_time()
runtime.limit_memory(settings())


def _make_task(op: str, summary: str) -> None:
    def run(task: Task, document: Any, following: Any = None) -> dict[str, Any]:
        return deliver(task, op, document, following, _run)

    run.__name__, run.__doc__ = op, summary
    operation_task(task_of(op))(run)


def _run(job: Job, poll: JobPoll) -> JobResult:
    return run_job(job, context().blobs, context().settings, poll, poll.progress)


for _each in load_operations(settings().operations).operations.values():
    _make_task(_each.name, _each.schema.summary)
_make_task(PIPELINE, "Run several operations on each image")
