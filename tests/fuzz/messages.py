"""Mutated messages, by the thousand: each is run, refused or ended, and none stays behind."""

import base64
import json
import random
import uuid
from collections.abc import Iterator

from tests.fuzz.mutate import mutate_bytes, mutate_json
from tests.support.envelopes import envelope
from tests.support.messages import good_job


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
