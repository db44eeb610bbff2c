"""How many jobs a second can one Redis carry, and how many bytes does a waiting job take?

Redis runs commands on one core, so its own processor time for a job is the limit: jobs/s is one
over that. Read from Redis itself (INFO), it depends little on what else the machine does. Jobs are
of one small image each, blobs lie in files; each job is enqueued, run by the workers and collected.
"""

import tempfile
from itertools import cycle, islice
from pathlib import Path

from agewell.producer.client import Client
from agewell.producer.session import Session
from agewell.shared.protocol.messages import HsvItem, HsvJob
from agewell.testing import running_stack
from benchmarks.report import report
from benchmarks.system import make_images

RUN_JOBS = 600
WAITING_JOBS = 20_000


def processor_s(session: Session) -> float:
    """Processor time that Redis's main thread has used."""
    info = session.client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def main() -> None:
    """One run: jobs through their whole life, then jobs that only wait."""
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
    report("redis_limits", "What one Redis carries", [row])


if __name__ == "__main__":
    main()
