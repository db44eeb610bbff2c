"""Messages that version 0.1.0 sent still run, and give the same pixels and names.

`tests/data/record_messages.py` recorded them.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from agewell.shared.settings import Settings
from agewell.workers.jobs.job_classes import parse_job
from agewell.workers.jobs.run import run_job
from tests.support.memory_blobs import MemoryBlobs
from tests.support.paths import ROOT

FOLDER = ROOT / "tests" / "data" / "messages-0.1.0"
MESSAGES = sorted(FOLDER.glob("*.json"))


def pixels(data: bytes) -> np.ndarray:
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return found


def recorded(message: Path) -> list[bytes]:
    """The files of the results, in the order of the items."""
    count = len(json.loads(message.read_bytes())["items"])
    found = [path for n in range(1, count + 1) for path in FOLDER.glob(f"{message.stem}.{n}.*")]
    assert len(found) == count
    return [path.read_bytes() for path in found]


@pytest.mark.parametrize("message", MESSAGES, ids=[each.stem for each in MESSAGES])
def test_message_of_0_1_0_gives_the_same_pixels(message: Path):
    blobs, document = MemoryBlobs(), json.loads(message.read_bytes())
    result = run_job(parse_job(document), blobs, Settings(redis_url="redis://127.0.0.1:1"))
    assert result.op == document["op"]
    assert len(result.items) == len(document["items"])
    for item, before in zip(result.items, recorded(message), strict=True):
        assert item.error is None
        assert item.image.media_type == f"image/{document['output']['format']}"
        np.testing.assert_array_equal(pixels(blobs.get(item.image)), pixels(before))


def test_every_old_operation_is_among_the_messages():
    documents = [json.loads(each.read_bytes()) for each in MESSAGES]
    assert {each["op"] for each in documents} == {"hsv", "alpha_blend", "poisson_blend"}
    given = {name for each in documents for name in each} - {"op", "items", "schema_version"}
    assert given == {
        *("output", "full_range", "alpha", "offset"),
        *("gradient", "mask_on_source", "mask_on_destination"),
    }


@pytest.mark.parametrize("message", MESSAGES, ids=[each.stem for each in MESSAGES])
def test_message_of_0_1_0_is_what_is_sent_today(message: Path):
    document = json.loads(message.read_bytes())
    job = parse_job(document)
    assert json.loads(job.model_dump_json(exclude_none=True)) == document
