"""Health check of a container: `python -m agewell.workers.monitoring.health cv`.

It checks that a process does its work, not only that it exists. A worker is healthy if its main
loop beats, beat if its tasks run, Flower and the exporter if they answer. It runs every few
seconds, so it imports no operation and no model.
"""

import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from typing import cast

import redis

from agewell.shared.protocol.tasks import WORK_QUEUES, Queue
from agewell.shared.queue.status import queue_status
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.shared.redis.connection import connect
from agewell.shared.settings import Settings
from agewell.workers.process.context import settings

SWEPT_WITHIN_S = 15.0
"""Beat is unhealthy if no sweep ran for this many seconds."""


def worker_beats(client: redis.Redis, queue: Queue) -> str | None:
    """Return why this host's worker of a queue is unhealthy, or None if it is healthy."""
    name = f"{queue.value}@{socket.gethostname()}:"
    members = cast("set[bytes]", client.smembers(keys.WORKER_IDS))
    runs = [run.decode() for run in members if run.decode().startswith(name)]
    alive = client.mget([keys.worker_alive(run) for run in runs]) if runs else []
    return None if any(alive) else f"no heartbeat from {name[:-1]}"


def sweeps_run(client: redis.Redis, settings: Settings) -> str | None:
    """Return why beat is unhealthy, or None.

    Beat is healthy if the tasks that it sends have run.
    """
    found = queue_status(client, settings, redis_now(client))
    ages = [each.last_sweep_s_ago for each in found if each.queue in WORK_QUEUES]
    late_s = max(SWEPT_WITHIN_S, 5 * settings.aging_interval_s)
    swept = any(age is not None and age <= late_s for age in ages)
    return None if swept else f"no sweep within {late_s:g} s"


def flower_answers(settings: Settings) -> str | None:
    """Return why Flower is unhealthy, or None if it is healthy."""
    prefix = settings.flower_url_prefix.strip("/")
    path = f"/{prefix}/healthcheck" if prefix else "/healthcheck"
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{settings.flower_port}{path}", timeout=5):
            return None
    except urllib.error.HTTPError as error:
        return None if error.code == 401 else str(error)
    except OSError as error:
        return str(error)


def metrics_answer(settings: Settings) -> str | None:
    """Return why the exporter is unhealthy, or None if it answers and reaches Redis."""
    url = f"http://127.0.0.1:{settings.metrics_port}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            up = b"agewell_up 1.0" in answer.read()
    except OSError as error:
        return str(error)
    return None if up else "it does not reach Redis"


def main(part: str) -> int:
    """Check one part and return the exit status: 0 if it is healthy.

    Args:
        part: cv, infer, upkeep, beat, flower or metrics.
    """
    found = settings()
    client = connect(found)
    checks: dict[str, Callable[[], str | None]] = {
        **{queue.value: partial(worker_beats, client, queue) for queue in Queue},
        "beat": partial(sweeps_run, client, found),
        "flower": partial(flower_answers, found),
        "metrics": partial(metrics_answer, found),
    }
    reason = checks[part]()
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {part}: {reason or 'healthy'}\n")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
