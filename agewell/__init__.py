"""agewell: a fair job queue for image work.

Import everything for your program from here: `Client` and `AsyncClient`, the jobs, their results,
the errors, and the type `Image` for your own operations. Each name is loaded at first use, so
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
    from agewell.producer.async_client import AsyncClient as AsyncClient
    from agewell.producer.client import Client as Client
    from agewell.producer.receiving.outcome import Outcome as Outcome
    from agewell.shared.errors import AgewellError as AgewellError
    from agewell.shared.protocol.messages import AlphaBlendItem as AlphaBlendItem
    from agewell.shared.protocol.messages import AlphaBlendJob as AlphaBlendJob
    from agewell.shared.protocol.messages import ErrorInfo as ErrorInfo
    from agewell.shared.protocol.messages import HsvItem as HsvItem
    from agewell.shared.protocol.messages import HsvJob as HsvJob
    from agewell.shared.protocol.messages import ImageRef as ImageRef
    from agewell.shared.protocol.messages import InferItem as InferItem
    from agewell.shared.protocol.messages import InferJob as InferJob
    from agewell.shared.protocol.messages import ItemResult as ItemResult
    from agewell.shared.protocol.messages import JobResult as JobResult
    from agewell.shared.protocol.messages import Output as Output
    from agewell.shared.protocol.messages import PoissonBlendItem as PoissonBlendItem
    from agewell.shared.protocol.messages import PoissonBlendJob as PoissonBlendJob
    from agewell.shared.queue.record import Record as Record
    from agewell.shared.queue.record import State as State
    from agewell.shared.settings import Settings as Settings
    from agewell.workers.imaging.image import Image as Image

_MESSAGES: Final = "agewell.shared.protocol.messages"
_MODULE_OF: Final = {
    "AgewellError": "agewell.shared.errors",
    "AlphaBlendItem": _MESSAGES,
    "AlphaBlendJob": _MESSAGES,
    "AsyncClient": "agewell.producer.async_client",
    "Client": "agewell.producer.client",
    "ErrorInfo": _MESSAGES,
    "HsvItem": _MESSAGES,
    "HsvJob": _MESSAGES,
    "Image": "agewell.workers.imaging.image",
    "ImageRef": _MESSAGES,
    "InferItem": _MESSAGES,
    "InferJob": _MESSAGES,
    "ItemResult": _MESSAGES,
    "JobResult": _MESSAGES,
    "Outcome": "agewell.producer.receiving.outcome",
    "Output": _MESSAGES,
    "PoissonBlendItem": _MESSAGES,
    "PoissonBlendJob": _MESSAGES,
    "Record": "agewell.shared.queue.record",
    "Settings": "agewell.shared.settings",
    "State": "agewell.shared.queue.record",
}

__all__ = sorted([*_MODULE_OF, "errors"])


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("agewell.errors")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'agewell' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
