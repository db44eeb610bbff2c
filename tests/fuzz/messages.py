"""Mutated messages, by the thousand: each is run, refused or ended, and none stays behind."""

import base64
import json
import random
import uuid
from collections.abc import Iterator
from typing import Any

from tests.fuzz.mutate import mutate_bytes, mutate_json
from tests.support.messages import good_job


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


def mutants(count: int, seed: int) -> Iterator[bytes]:
    """So many broken messages: as bytes, as envelopes, as bodies, as jobs."""
    chance = random.Random(seed)
    job = good_job()
    for _ in range(count):
        job_id = str(uuid.UUID(int=chance.getrandbits(128)))
        whole = envelope(job, job_id)
        match chance.randrange(4):
            case 0:
                raw = json.dumps(whole).encode()
                yield mutate_bytes(raw, raw, chance)
                continue
            case 1:
                whole = mutate_json(whole, chance)
            case 2:
                body = json.loads(base64.b64decode(whole["body"]))
                broken = json.dumps(mutate_json(body, chance)).encode()
                whole["body"] = base64.b64encode(broken).decode()
            case 3:
                whole = envelope(mutate_json(job, chance), job_id)
        yield json.dumps(whole).encode()
