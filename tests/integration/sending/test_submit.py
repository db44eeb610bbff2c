"""How many images share a job: by the bytes of their files, each counted once."""

from pathlib import Path

import pytest

from agewell.producer.sending.files import LocalFile
from agewell.producer.sending.plan import Planned
from agewell.producer.sending.submit import AUTO_JOB_BYTES, Fields, Submitter
from agewell.producer.session import make_session
from agewell.shared.protocol.messages import GenericItem, GenericJob, Job

PNG = b"\x89PNG\r\n\x1a\n"


def a_file(folder: Path, name: str, size: int) -> LocalFile:
    path = folder / name
    path.write_bytes(PNG + name.encode() + bytes(size))
    return LocalFile(path, name)


def make_job(items: list[Fields]) -> Job:
    made = tuple(GenericItem(photo=each["photo"]) for each in items)
    return GenericJob(op="watermark", items=made, image=items[0]["image"])


@pytest.mark.parametrize(("photo_bytes", "jobs"), [(1000, [10]), (AUTO_JOB_BYTES // 8, [2] * 5)])
def test_image_that_all_items_share_counts_once(settings, client, tmp_path, photo_bytes, jobs):
    logo = a_file(tmp_path, "logo.png", AUTO_JOB_BYTES * 3 // 4)
    photos = [a_file(tmp_path, f"{n}.png", photo_bytes) for n in range(10)]
    submitter = Submitter(make_session(settings), make_job=make_job, level=5)
    items = (Planned({"photo": each, "image": logo}) for each in photos)
    assert [sent.items for sent in submitter.submit(items, None)] == jobs
    assert submitter.bad_files == {}
