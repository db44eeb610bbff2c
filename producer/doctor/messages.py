"""Check of `agewell doctor` for messages of other programs in agewell's queues."""

import json
from collections.abc import Iterator
from typing import cast

from agewell.producer.doctor.finding import Finding, ok, problem
from agewell.producer.session import Session
from agewell.shared.protocol.levels import LEVELS
from agewell.shared.protocol.tasks import WORK_QUEUES, Queue, Task, op_of_task
from agewell.shared.queue.order import id_of
from agewell.shared.redis import keys

MESSAGES_READ = 20
"""Messages to read per queue and level that are not admitted yet. Beat admits them within 1 s."""

JOBS_READ = 1000
"""Jobs to read at each end of each queue."""


def check_messages(session: Session) -> Finding:
    """Look for messages of other programs, at both ends of each queue."""
    found = [
        (f"{queue}, level {level}", reason)
        for queue in WORK_QUEUES
        for level, reason in (*_arriving(session, queue), *_waiting(session, queue))
    ]
    foreign = [f"{place}: {reason}" for place, reason in found if reason]
    if not foreign:
        return ok("messages", f"{len(found)} read, all of them for agewell's tasks")
    return problem(
        "messages",
        f"{len(foreign)} of {len(found)} read are not agewell's, such as {foreign[0]}",
        "another program uses these queues: give it another database of Redis (the number at the "
        "URL's end) or other queues; workers refuse such messages one by one and go on",
    )


def _arriving(session: Session, queue: Queue) -> Iterator[tuple[str, str]]:
    """Yield the level of each message not yet admitted, and why it is foreign (empty if not)."""
    for level in LEVELS:
        inlet = keys.inlet(queue.value, level)
        for number in range(1, MESSAGES_READ + 1):
            raw = cast("bytes | None", session.client.lindex(inlet, -number))
            if raw is None:
                break
            yield str(level), _foreign(raw)


def _waiting(session: Session, queue: Queue) -> Iterator[tuple[str, str]]:
    """Yield the level of each waiting job, and why it is foreign (empty if not)."""
    order = keys.order(queue.value)
    pipe = session.client.pipeline(transaction=False)
    pipe.zrange(order, 0, JOBS_READ - 1)
    pipe.zrange(order, -JOBS_READ, -1)
    first, last = pipe.execute()
    records = [keys.job(id_of(place)) for place in dict.fromkeys(first + last)]
    for record in records:
        pipe.hmget(record, "op", "level")
    for record, (op, level) in zip(records, pipe.execute(), strict=True):
        if op is not None and level is not None:
            yield level.decode(), "" if op else _foreign(_message(session, record))


def _message(session: Session, record: str) -> bytes | None:
    return cast("bytes | None", session.client.hget(record, "message"))


def _foreign(raw: bytes | None) -> str:
    """Say why a message is not agewell's. Empty if it is, or if it is gone."""
    if raw is None:
        return ""
    try:
        message = json.loads(raw)
        task = message["headers"]["task"]
        message["properties"]["delivery_tag"]
    except (ValueError, TypeError, KeyError):
        return f"no message of Celery's: {raw[:40]!r}"
    is_ours = op_of_task(task) is not None or task in set(Task)
    return "" if is_ours else f"the task {task!r}"
