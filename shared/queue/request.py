"""The task request and the signature in a job's message, read without a worker."""

import base64
import binascii
import json
from typing import Any

from celery.app.task import Context

from agewell.shared.protocol import envelope
from agewell.shared.queue.unpack import unpack
from agewell.shared.settings import MAX_MESSAGE_BYTES


def request_of(raw: bytes) -> Context | None:
    """Return the request in a message of Celery's protocol 2, or None if it is not one."""
    message = envelope.read(raw)
    if message is None:
        return None
    properties = message["properties"]
    try:
        body = unpack(message, MAX_MESSAGE_BYTES)["body"]
        if properties.get("body_encoding") == "base64":
            body = base64.b64decode(body)
        args, kwargs, embedded = json.loads(body)
        return Context(
            {
                **message["headers"],
                **embedded,
                "args": args,
                "kwargs": kwargs,
                "delivery_info": {
                    **(properties.get("delivery_info") or {}),
                    "priority": properties.get("priority"),
                },
                "reply_to": properties.get("reply_to"),
                "correlation_id": properties.get("correlation_id"),
            }
        )
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
        return None


def signature_of(app: Any, raw: bytes) -> dict[str, Any] | None:
    """Return a message's job as a Celery signature with its chain, chord and callbacks, or None."""
    request = request_of(raw)
    if request is None or not request.task:
        return None
    options: dict[str, Any] = {
        **request.as_execution_options(),
        "ignore_result": bool(request.ignore_result),
        "retries": 0,
    }
    info = request.delivery_info
    if info.get("priority") is not None:
        options["priority"] = info["priority"]
    options["queue"] = info.get("routing_key")
    found: dict[str, Any] = dict(
        app.signature(request.task, args=request.args, kwargs=request.kwargs, **options)
    )
    return found
