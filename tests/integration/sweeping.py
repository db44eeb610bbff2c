"""Messages that wait, and what is where after a sweep."""

import json

from workers.sweep import sweep

from shared import keys
from shared.aging import AgingPolicy
from shared.names import LEVELS

QUEUE = "cv"
POLICY = AgingPolicy(0.05)  # a level every 20 s
NOW = 1_700_000_000.0


def message(name, level=5, waited_s=0.0, **headers):
    """A message with the fields, and in the order, that kombu writes; None leaves a field out."""
    given = {
        "lang": "py",
        "task": "cv.hsv",
        "id": name,
        "retries": 0,
        "parent_id": None,
        "argsrepr": "()",
        "enqueued_at": None if waited_s is None else NOW - waited_s,
        **headers,
    }
    if waited_s is None:
        del given["enqueued_at"]
    properties = {"correlation_id": name, "delivery_mode": 2, "priority": level}
    if level is None:
        del properties["priority"]
    return {
        "body": "W1tdLCB7fV0=",
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": given,
        "properties": {**properties, "body_encoding": "base64", "delivery_tag": f"tag-{name}"},
    }


def wait(client, level, *messages):
    """Have messages wait on a level, the first of them at the head."""
    for each in messages:
        raw = each if isinstance(each, str | bytes) else json.dumps(each)
        client.lpush(keys.waiting_list(QUEUE, level), raw)


def raw_list(client, level):
    """What waits on a level, head first."""
    return client.lrange(keys.waiting_list(QUEUE, level), 0, -1)[::-1]


def name_of(raw):
    try:
        return json.loads(raw)["headers"]["id"]
    except ValueError:
        return raw.decode()


def table(client):
    """Level -> the names that wait on it, head first; empty levels are left out."""
    names = {level: [name_of(raw) for raw in raw_list(client, level)] for level in LEVELS}
    return {level: waiting for level, waiting in names.items() if waiting}


def run(client, after_s=0.0, policy=POLICY):
    return sweep(client, QUEUE, policy, NOW + after_s)


def enqueued_at(client, level, place=0):
    return json.loads(raw_list(client, level)[place])["headers"]["enqueued_at"]
