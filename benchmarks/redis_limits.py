"""How many jobs per second can one Redis handle, and how many bytes does a waiting job need?

Redis runs commands on one core, so its processor time per job gives the limit of jobs per second.
It is read from Redis (INFO) and depends little on other programs of the machine. Jobs have one
small image each, and blobs are files. Each job is enqueued, run by the workers, and collected.
"""

import tempfile
from itertools import cycle, islice
from pathlib import Path

from agewell.producer.client import Client
from agewell.producer.session import Session
from agewell.shared.protocol.built_in_jobs import HsvItem, HsvJob
from agewell.testing import running_stack
from benchmarks.photos import make_images
from benchmarks.report import report

RUN_JOBS = 600
WAITING_JOBS = 20_000


def processor_s(session: Session) -> float:
    """Return the processor time of Redis so far, in seconds."""
    info = session.client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def main() -> None:
    """Measure one run: jobs from start to end, then jobs that only wait."""
    with tempfile.TemporaryDirectory() as folder, running_stack() as stack:
        session = stack.client.session
        make_images(Path(folder), (64, 64), 20)
        client = Client(session)
        refs = client.put(*sorted(Path(folder).iterdir()))

        def jobs(count: int) -> list[HsvJob]:
            found = (HsvJob(items=(HsvItem(image=ref),)) for ref in cycle(refs))
            return list(islice(found, count))

        begun = processor_s(session)
        ids = client.send_many(jobs(RUN_JOBS))
        sent = processor_s(session)
        for _ in client.outcomes(ids):
            pass
        ended = processor_s(session)

        before = int(session.client.info("memory")["used_memory"])
        for _ in range(WAITING_JOBS // 1000):
            client.send_many(jobs(1000), "bulk")
        waiting = int(session.client.info("memory")["used_memory"])
    row = {
        "Redis, us to enqueue": 1e6 * (sent - begun) / RUN_JOBS,
        "us in all": 1e6 * (ended - begun) / RUN_JOBS,
        "jobs/s of one Redis": RUN_JOBS / (ended - begun),
        "bytes a waiting job": (waiting - before) / WAITING_JOBS,
    }
    report("redis_limits", "Limits of one Redis", [row])


if __name__ == "__main__":
    main()
