"""Jobs as any program may send them: plain JSON values, made without agewell's own code."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from celery.states import READY_STATES

from agewell.shared import errors
from tests.support.image_files import file_of
from tests.support.stack import Stack, until

ANSWER_TIMEOUT_S = 60.0

Document = dict[str, Any]


def _reference(uri: str, data: bytes, name: str) -> Document:
    return {
        "uri": uri,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "media_type": "image/png",
        "name": name,
    }


def inline(data: bytes, name: str = "image.png") -> Document:
    """An image that rides in the message itself (RFC 2397)."""
    encoded = base64.b64encode(data).decode()
    return _reference(f"data:image/png;base64,{encoded}", data, name)


def stored(stack: Stack, data: bytes, name: str = "image.png") -> Document:
    """An image that lies in Redis."""
    sha256 = hashlib.sha256(data).hexdigest()
    stack.redis.set(f"agewell:blob:{sha256}", data, ex=3600)
    return _reference(f"redis:{sha256}", data, name)


def hsv_job(*images: Document, **more: Any) -> Document:
    return {"op": "hsv", "items": [{"image": image} for image in images], **more}


def good_job() -> Document:
    return hsv_job(inline(file_of("PNG")))


def send(stack: Stack, task: str, *args: Any, **kwargs: Any) -> str:
    """Send a task as any Celery program does. Returns its id."""
    task_id: str = stack.celery.send_task(task, args=args, kwargs=kwargs, queue="cv").id
    return task_id


def start_long_job(stack: Stack, photo: Path) -> str:
    """Keep one worker process busy for long, and return the job's id when it runs."""
    image = stored(stack, photo.read_bytes(), photo.name)
    job_id = send(stack, "cv.hsv", hsv_job(*[image] * 64))
    stack.wait_running(job_id)
    return job_id


def ask(stack: Stack, task: str, *args: Any, **kwargs: Any) -> Any:
    """Send a task, wait for its answer, and return or raise that."""
    return answer_to(stack, send(stack, task, *args, **kwargs))


def answer_to(stack: Stack, task_id: str, timeout_s: float = ANSWER_TIMEOUT_S) -> Any:
    """Wait for the answer to a task, by Celery's own reading of it.

    Celery makes a class for an error whose module it does not find. Here agewell's class of that
    name is raised, with the same arguments.
    """
    backend = stack.celery.backend
    until(lambda: backend.get_state(task_id) in READY_STATES, timeout_s, lambda: "an answer")
    answer = backend.get_result(task_id)
    if isinstance(answer, Exception):
        ours = getattr(errors, type(answer).__name__, None)
        raise ours(*answer.args) if ours else answer
    return answer


def bytes_of(stack: Stack, image: Document) -> bytes:
    """The bytes of a result, from the stack's own folder: alone in a file, or among others."""
    root = Path(stack.running.blob_url.removeprefix("file://"))
    name, _, offset = image["uri"].removeprefix("store:").partition("+")
    file = (root / name[:2] / name).read_bytes()
    data = file[int(offset or 0) :][: image["size_bytes"]]
    assert hashlib.sha256(data).hexdigest() == image["sha256"]
    return data
