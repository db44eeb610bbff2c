"""Does a cv worker's resident memory stay constant over 2,000 jobs of 1080p?

The resident memory of the worker and its pool is sampled after each result. The mean over the last
500 jobs is compared with the mean over jobs 500 to 1,000.
"""

import os
import statistics
import tempfile
from itertools import cycle, islice
from pathlib import Path

import psutil

from agewell.producer.receiving.collect import Collector
from agewell.producer.sending.listing import expand
from agewell.producer.sending.plan import Planned
from agewell.producer.sending.submit import Submitter
from agewell.producer.session import Session
from agewell.shared.protocol.built_in_jobs import HsvItem, HsvJob
from agewell.testing import running_stack
from benchmarks.photos import make_images
from benchmarks.report import report

JOBS = 2000
IMAGES = 100


def cv_worker() -> psutil.Process:
    """Find the process that `agewell up` runs as the cv worker."""
    for process in psutil.Process(os.getpid()).children(recursive=True):
        if "agewell.workers.cv" in process.cmdline():
            return process
    raise RuntimeError("no cv worker runs")


def resident_mib(worker: psutil.Process) -> float:
    """Return the resident memory of a worker and its pool in MiB."""
    family = [worker, *worker.children(recursive=True)]
    return sum(process.memory_info().rss for process in family) / 2**20


def sample(session: Session, folder: Path) -> list[float]:
    """Run the jobs, and return the worker's memory in MiB after each."""
    submitter = Submitter(
        session,
        make_job=lambda refs: HsvJob(items=tuple(HsvItem(**each) for each in refs)),
        level=5,
    )
    files = islice(cycle(list(expand([str(folder)]))), JOBS)
    sent = list(submitter.submit((Planned({"image": file}) for file in files), images_per_job=1))
    worker = cv_worker()
    outcomes = Collector(session.app, session.client, session.settings)
    return [resident_mib(worker) for _ in outcomes.outcomes(job.job_id for job in sent)]


def main() -> None:
    """Measure one run."""
    with tempfile.TemporaryDirectory() as images, running_stack() as stack:
        session = stack.client.session
        make_images(Path(images), (1920, 1080), IMAGES)
        samples = sample(session, Path(images))
    early, late = statistics.mean(samples[500:1000]), statistics.mean(samples[1500:])
    row = {
        "jobs": len(samples),
        "MiB, jobs 500-1,000": early,
        "MiB, last 500": late,
        "growth, %": 100 * (late / early - 1),
    }
    report("memory", "Resident memory of the cv worker and its pool", [row])


if __name__ == "__main__":
    main()
