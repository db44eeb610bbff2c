"""Fill a queue with a million jobs in a minute: record one real publish, and replay it."""

import itertools
import random
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from unittest import mock

import redis
from redis.connection import Connection, UnixDomainSocketConnection

from agewell.producer.session import Session
from agewell.shared.protocol.envelope import ENQUEUED_AT, TENANT
from agewell.shared.protocol.levels import LEVELS
from agewell.shared.protocol.tasks import Queue

A_SEND = 500
JOB = {
    "op": "hsv",
    "items": [
        {
            "image": {
                "uri": f"redis:{'0' * 64}",
                "sha256": "0" * 64,
                "size_bytes": 1,
                "media_type": "image/png",
                "name": "a.png",
            }
        }
    ],
}
TENANT_NAME = "tenant-{:06d}"
SPREAD_S = 1000.0
"""The enqueue times of the jobs are spread evenly over this time."""


def send(session: Session, job_id: str, level: int, document: Any = JOB, **options: Any) -> None:
    """Publish one job as agewell's clients do."""
    session.app.send_task(
        "cv.hsv",
        args=[document],
        task_id=job_id,
        queue=Queue.CV.value,
        priority=level,
        **options,
    )


def fill(session: Session, jobs: int, *, tenants: int = 0, **headers: Any) -> list[str]:
    """Enqueue jobs, evenly on all levels.

    Args:
        session: for a Redis that only the benchmark uses.
        jobs: how many.
        tenants: the number of tenants that have them in turns. 0: no tenants.
        headers: of every message.

    Returns:
        Their ids in the order of their enqueue times.
    """
    now = session.now()
    if tenants:
        headers |= {TENANT: TENANT_NAME.format(0)}
    makers = {level: _maker(session, level, now, headers) for level in LEVELS}
    shuffled = random.Random(1)
    ids = [str(uuid.UUID(int=shuffled.getrandbits(128), version=4)) for _ in range(jobs)]
    levels = shuffled.choices(LEVELS, k=jobs)
    commands = (
        makers[level](job_id, now - SPREAD_S * (1 - number / jobs), number % (tenants or 1))
        for number, (job_id, level) in enumerate(zip(ids, levels, strict=True))
    )
    replay(session.client, commands)
    return ids


def replay(client: redis.Redis, commands: Iterable[bytes]) -> None:
    """Send packed commands, and read their replies."""
    connection = client.connection_pool.get_connection()
    try:
        for part in _parts(commands):
            connection.send_packed_command([b"".join(part)])
            for _ in part:
                connection.read_response()
    finally:
        client.connection_pool.release(connection)


def _parts(commands: Iterable[bytes]) -> Iterator[list[bytes]]:
    remaining = iter(commands)
    while part := list(itertools.islice(remaining, A_SEND)):
        yield part


def _maker(
    session: Session, level: int, now: float, headers: dict[str, Any]
) -> Callable[[str, float, int], bytes]:
    """Return a function that makes the command to publish a job: from its id, time and tenant.

    As text, the ids of all jobs have the same length, and so have the times and the tenants. So a
    recorded command stays valid if they are replaced.
    """
    job_id, enqueued_at = str(uuid.uuid4()), f"{now:.5f}1"
    sent = record(
        lambda: send(session, job_id, level, headers=headers | {ENQUEUED_AT: float(enqueued_at)})
    )
    parts = (job_id.encode(), enqueued_at.encode())
    template = next(each for each in reversed(sent) if all(part in each for part in parts))

    tenant = TENANT_NAME.format(0).encode()

    def make(new_id: str, new_time: float, number: int) -> bytes:
        new_parts = (new_id.encode(), f"{new_time:.6f}".encode())
        made = template.replace(parts[0], new_parts[0]).replace(parts[1], new_parts[1])
        return made.replace(tenant, TENANT_NAME.format(number).encode()) if number else made

    return make


def record(act: Callable[[], object]) -> list[bytes]:
    """Call a function, and return the packed commands that it sends to Redis."""
    sent: list[bytes] = []
    real = Connection.send_packed_command

    def recording(self: Any, command: Any, check_health: bool = True) -> None:
        packed = [command] if isinstance(command, (bytes, str)) else list(command)
        sent.append(b"".join(each.encode() if isinstance(each, str) else each for each in packed))
        real(self, packed, check_health)

    with (
        mock.patch.object(Connection, "send_packed_command", recording),
        mock.patch.object(UnixDomainSocketConnection, "send_packed_command", recording),
    ):
        act()
    return sent
