"""The Celery app of upkeep, and of beat: `celery -A workers.upkeep worker -Q upkeep`.

Apart from the operations, so that neither a long job nor a heavy library can hold it up.
"""

from shared.celery_app import make_app
from shared.names import Task
from workers import readiness
from workers.context import context, settings

readiness.announce()

app = make_app(settings())


@app.task(name=Task.SWEEP_BLOBS.value, ignore_result=True)  # type: ignore[untyped-decorator]
def sweep_blobs() -> int:
    """Delete blobs that have outlived their time; how many."""
    return context().blobs.sweep()
