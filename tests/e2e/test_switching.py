"""Two versions of a model, switched while jobs flow: none lost, none mixed, no memory kept."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from agewell.producer.sending.model_commands import Models
from agewell.producer.sending.publish import publish
from agewell.producer.session import Session
from agewell.shared.protocol.messages import InferItem, InferJob
from tests.support.model_files import marking
from tests.support.stack import Stack, started, state_directory, until

MARKS = {"1": 11, "2": 22}
PATIENCE_S = 240.0


@pytest.fixture(scope="module")
def switching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Memory for one version at a time, so that each switch loads one and drops the other."""
    root = tmp_path_factory.mktemp("models")
    for version, mark in MARKS.items():
        options = {"mark": mark, "ballast": 5_000_000}  # 20 MB
        marking(root, "mark", version, mark=mark, entry_options=options, max_batch_size=8)
    settings = {"MODELS_DIR": root, "MODELS_MEMORY_BYTES": 30_000_000, "CONCURRENCY": 1}
    with state_directory() as folder, started(folder, **settings) as stack:
        yield stack
        stack.stop()


def infer_process(stack: Stack) -> psutil.Process:
    [found] = [each for each in stack.family if "agewell.workers.infer" in " ".join(each.cmdline())]
    return found


def switch_under_load(stack: Stack, folder: Path, jobs: int, switches: int) -> list[int]:
    """Send jobs in as many parcels as switches, each before the one before has ended.

    Returns the worker's resident memory after each switch, in bytes.
    """
    session = stack.client.session
    models, process = Models(session), infer_process(stack)
    picture = cv2.imencode(".png", np.full((8, 8, 3), 7, np.uint8))[1].tobytes()
    [ref] = session.blobs.put([("seven.png", "image/png", picture)])
    job = InferJob(items=(InferItem(image=ref),), model="mark")
    ids: list[str] = []
    resident = []
    for number in range(switches):
        before = ids[:]
        ids += [sent.job_id for sent in publish(session, [job] * (jobs // switches), 5)]
        version = "12"[number % 2]
        replies = models.activate("mark", version, PATIENCE_S)
        assert [reply.error for reply in replies] == [None]
        until(
            lambda before=before: set(stack.states(before)) <= {"done"} if before else True,
            PATIENCE_S,
            lambda before=before: set(stack.states(before)),
        )
        resident.append(process.memory_info().rss)
    assert len(ids) == jobs
    records = stack.wait_ended(ids, PATIENCE_S)
    assert {record["state"] for record in records} == {"done"}
    check_results(stack, session, ids)
    return resident


def check_results(stack: Stack, session: Session, ids: list[str]) -> None:
    """Each job's picture is of the very version that its result names."""
    marks: dict[str, int] = {}
    seen = set()
    for job_id in ids:
        result = stack.celery.backend.get_result(job_id)
        [item] = result["items"]
        sha256, version = item["image"]["sha256"], item["info"]["version"]
        if sha256 not in marks:
            root = Path(stack.running.blob_url.removeprefix("file://"))
            pixels = cv2.imread(str(root / sha256[:2] / sha256))
            [marks[sha256]] = np.unique(pixels).tolist()
        assert marks[sha256] == MARKS[version]
        seen.add(version)
    assert seen == set(MARKS)


def test_no_job_is_lost_or_mixed_when_versions_switch_under_load(switching, tmp_path):
    switch_under_load(switching, tmp_path, jobs=200, switches=10)


@pytest.mark.slow
def test_fifty_switches_under_two_thousand_jobs_keep_no_memory(switching, tmp_path):
    resident = switch_under_load(switching, tmp_path, jobs=2000, switches=50)
    shown = [round(each / 1e6, 1) for each in resident]
    assert resident[49] <= 1.05 * resident[4], shown
