"""Messages in Redis as Celery and kombu write them."""

import base64
import json
import uuid
from typing import Any


def encoded(text: str) -> str:
    """A body as it stands in a message: base64."""
    return base64.b64encode(text.encode()).decode()


def message(**changes: object) -> str:
    """An envelope as kombu writes it, but for these changes."""
    envelope = {
        "body": encoded("[[], {}, {}]"),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "cv.hsv", "id": str(uuid.uuid4())},
        "properties": {
            "delivery_tag": str(uuid.uuid4()),
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "cv"},
            "priority": 0,
            "body_encoding": "base64",
        },
    }
    return json.dumps(envelope | changes)


def envelope(job: Any, job_id: str) -> dict[str, Any]:
    """A message as Celery and kombu write it."""
    body = [[job], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    return {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py", "task": "cv.hsv", "id": job_id, "root_id": job_id, "parent_id": None,
            "group": None, "eta": None, "expires": None, "retries": 0, "timelimit": [None, None],
            "argsrepr": "", "kwargsrepr": "", "origin": "fuzz", "ignore_result": False,
            "enqueued_at": 1.7e9, "stamps": {}, "stamped_headers": None, "shadow": None,
        },
        "properties": {
            "correlation_id": job_id, "reply_to": "", "delivery_mode": 2, "priority": 5,
            "delivery_info": {"exchange": "", "routing_key": "cv"},
            "body_encoding": "base64", "delivery_tag": str(uuid.UUID(int=0)),
        },
    }  # fmt: skip
