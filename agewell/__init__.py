"""agewell: a fair job queue for image work.

Import everything for your program from here: `Client` and `AsyncClient`, jobs, their results, the
errors, and the decorator `operation` for your own operations. `agewell.jobs` has the jobs of every
operation that agewell brings. Each name is loaded at first use, so
`import agewell` itself loads neither Celery nor numpy.

    from agewell import Client, HsvItem, HsvJob

    with Client.open() as client:
        (image,) = client.put("photo.jpg")
        job_id = client.send(HsvJob(items=(HsvItem(image=image),)), priority="urgent")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from agewell import errors as errors
    from agewell import jobs as jobs
    from agewell.producer.async_client import AsyncClient as AsyncClient
    from agewell.producer.client import Client as Client
    from agewell.producer.receiving.outcome import Outcome as Outcome
    from agewell.shared.errors import AgewellError as AgewellError
    from agewell.shared.protocol.built_in_jobs import AlphaBlendItem as AlphaBlendItem
    from agewell.shared.protocol.built_in_jobs import AlphaBlendJob as AlphaBlendJob
    from agewell.shared.protocol.built_in_jobs import HsvItem as HsvItem
    from agewell.shared.protocol.built_in_jobs import HsvJob as HsvJob
    from agewell.shared.protocol.built_in_jobs import PoissonBlendItem as PoissonBlendItem
    from agewell.shared.protocol.built_in_jobs import PoissonBlendJob as PoissonBlendJob
    from agewell.shared.protocol.messages import ErrorInfo as ErrorInfo
    from agewell.shared.protocol.messages import ImageRef as ImageRef
    from agewell.shared.protocol.messages import InferItem as InferItem
    from agewell.shared.protocol.messages import InferJob as InferJob
    from agewell.shared.protocol.messages import ItemResult as ItemResult
    from agewell.shared.protocol.messages import JobResult as JobResult
    from agewell.shared.protocol.messages import Output as Output
    from agewell.shared.protocol.messages import PipelineItem as PipelineItem
    from agewell.shared.protocol.messages import PipelineJob as PipelineJob
    from agewell.shared.protocol.messages import Step as Step
    from agewell.shared.queue.forecast.predict import Forecast as Forecast
    from agewell.shared.queue.record import Record as Record
    from agewell.shared.queue.record import State as State
    from agewell.shared.settings import Settings as Settings
    from agewell.workers.imaging.colour import Colour as Colour
    from agewell.workers.imaging.colour import parse_colour as parse_colour
    from agewell.workers.imaging.image import Image as Image
    from agewell.workers.operations.context import JobContext as JobContext
    from agewell.workers.operations.declaration import SharedImage as SharedImage
    from agewell.workers.operations.declaration import operation as operation

_DECLARATION: Final = "agewell.workers.operations.declaration"
_JOBS: Final = "agewell.shared.protocol.built_in_jobs"
_MESSAGES: Final = "agewell.shared.protocol.messages"
_MODULE_OF: Final = {
    "AgewellError": "agewell.shared.errors",
    "AlphaBlendItem": _JOBS,
    "AlphaBlendJob": _JOBS,
    "AsyncClient": "agewell.producer.async_client",
    "Client": "agewell.producer.client",
    "Colour": "agewell.workers.imaging.colour",
    "ErrorInfo": _MESSAGES,
    "Forecast": "agewell.shared.queue.forecast.predict",
    "HsvItem": _JOBS,
    "HsvJob": _JOBS,
    "Image": "agewell.workers.imaging.image",
    "ImageRef": _MESSAGES,
    "InferItem": _MESSAGES,
    "InferJob": _MESSAGES,
    "ItemResult": _MESSAGES,
    "JobContext": "agewell.workers.operations.context",
    "JobResult": _MESSAGES,
    "Outcome": "agewell.producer.receiving.outcome",
    "Output": _MESSAGES,
    "PipelineItem": _MESSAGES,
    "PipelineJob": _MESSAGES,
    "PoissonBlendItem": _JOBS,
    "PoissonBlendJob": _JOBS,
    "Record": "agewell.shared.queue.record",
    "Settings": "agewell.shared.settings",
    "SharedImage": _DECLARATION,
    "State": "agewell.shared.queue.record",
    "Step": _MESSAGES,
    "operation": _DECLARATION,
    "parse_colour": "agewell.workers.imaging.colour",
}

__all__ = sorted([*_MODULE_OF, "errors", "jobs"])


def __getattr__(name: str) -> Any:
    if name in ("errors", "jobs"):
        return import_module(f"agewell.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'agewell' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
