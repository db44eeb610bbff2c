"""How fast is enqueueing 10,000 files of 100 KB, compared with a bare loop?

The bare loop reads each file, computes its SHA-256 and stores it in Redis with a TTL, in pipelines
of the same size as agewell's. Agewell checks each file, makes references and jobs, chooses the
images per job, writes the ledger, and publishes. No worker runs. Both write to the same Redis.
"""

import hashlib
import os
import tempfile
import time
from pathlib import Path

import redis

from agewell.producer.sending.listing import expand
from agewell.producer.sending.plan import Planned
from agewell.producer.sending.submit import Submitter
from agewell.producer.session import Session, make_session
from agewell.producer.up.embedded_redis import embedded_redis
from agewell.shared.blobs.stores import PIPELINE_BYTES
from agewell.shared.protocol.built_in_jobs import HsvItem, HsvJob
from agewell.shared.settings import Settings
from benchmarks.report import Spread, report

FILES = 10_000
FILE_BYTES = 100_000
ROUNDS = 3


def make_files(folder: Path) -> None:
    """Write files of random bytes that begin like a JPEG, in folders of a thousand."""
    for number in range(FILES):
        path = folder / f"{number // 1000}" / f"{number:05}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\xff\xd8\xff" + os.urandom(FILE_BYTES - 3))


def time_bare(client: redis.Redis, folder: Path, ttl_s: int) -> float:
    """Measure the bare loop's files per second."""
    started = time.perf_counter()
    pipe = client.pipeline(transaction=False)
    pending = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            data = Path(parent, name).read_bytes()
            pipe.set(hashlib.sha256(data).hexdigest(), data, ex=ttl_s)
            pending += len(data)
            if pending >= PIPELINE_BYTES:
                pipe.execute()
                pending = 0
    pipe.execute()
    return FILES / (time.perf_counter() - started)


def time_ours(session: Session, folder: Path) -> tuple[float, int]:
    """Measure agewell's files per second. Returns the number of jobs as well."""
    started = time.perf_counter()
    submitter = Submitter(
        session,
        make_job=lambda refs: HsvJob(items=tuple(HsvItem(**each) for each in refs)),
        level=5,
    )
    sources = (Planned({"image": file}) for file in expand([str(folder)]))
    sent = list(submitter.submit(sources, None))
    assert sum(job.items for job in sent) == FILES
    return FILES / (time.perf_counter() - started), len(sent)


def main() -> None:
    """Measure both in turns, each time on an empty Redis."""
    rounds = []
    with (
        tempfile.TemporaryDirectory(prefix="aw-") as state,
        tempfile.TemporaryDirectory() as files,
        embedded_redis(Path(state)) as server,
    ):
        make_files(Path(files))
        settings = Settings(redis_url=server.url, blob_url="redis")
        session = make_session(settings)
        client = session.client
        for _ in range(ROUNDS + 1):
            client.flushall()
            bare = time_bare(client, Path(files), settings.blob_ttl_s)
            client.flushall()
            ours, jobs = time_ours(session, Path(files))
            rounds.append((ours, bare))
    rounds = rounds[1:]  # the first warms up
    row = {
        "files": f"{FILES:,} of {FILE_BYTES:,} bytes",
        "jobs": jobs,
        "agewell, files/s": Spread(tuple(ours for ours, _ in rounds)),
        "bare loop, files/s": Spread(tuple(bare for _, bare in rounds)),
        "ratio": Spread(tuple(ours / bare for ours, bare in rounds)),
    }
    report("enqueue", "Enqueueing over a bare loop of read, hash, set", [row])


if __name__ == "__main__":
    main()
