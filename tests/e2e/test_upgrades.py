"""Jobs that an earlier version left waiting, scheduled and running: today's workers run them."""

import io
import json
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
import redis
from PIL import Image as Pillow

from agewell.producer.receiving.outcome import Outcome
from agewell.shared.queue.record import State
from tests.chaos.redis_process import RedisProcess
from tests.support.paths import ROOT
from tests.support.pixels import expected_hsv, same
from tests.support.stack import Stack, started

pytestmark = pytest.mark.slow

FOLDER = ROOT / "tests" / "data" / "upgrades"
ENDED_S = 90.0
LARGE = (10, 200, 90)
"""The colour of the large image, in RGB."""


def png(seed: int) -> bytes:
    """The image of a recorded job, as record.py made it."""
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def hsv(seed: int) -> np.ndarray:
    return expected_hsv(png(seed))


def hsv_of_hsv(seed: int) -> np.ndarray:
    return expected_hsv(cv2.imencode(".png", hsv(seed))[1].tobytes())


EXPECTED = {
    "waiting": [hsv(1)],
    "urgent": [hsv(0)],
    "several": [hsv(1), hsv(2)],
    "batch-0": [hsv(3)],
    "batch-1": [hsv(4)],
    "batch-2": [hsv(5)],
    "chain": [hsv_of_hsv(6)],
    "chord": [hsv_of_hsv(7), hsv_of_hsv(8)],
    "scheduled": [hsv(9)],
    "plain": [hsv(10)],
}


def restore(client: redis.Redis, keys: dict[str, Any]) -> None:
    """Write the keys of a recording."""
    for name, (kind, value) in keys.items():
        key = name.encode("latin-1")
        if kind == "string":
            client.set(key, value.encode("latin-1"))
        elif kind == "list":
            client.rpush(key, *(each.encode("latin-1") for each in value))
        elif kind == "set":
            client.sadd(key, *(each.encode("latin-1") for each in value))
        elif kind == "hash":
            pairs = {a.encode("latin-1"): b.encode("latin-1") for a, b in value.items()}
            client.hset(key, mapping=pairs)
        else:
            client.zadd(key, {a.encode("latin-1"): score for a, score in value.items()})


@pytest.fixture(scope="module", params=sorted(each.stem for each in FOLDER.glob("*.json")))
def recorded(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{request.param}.json").read_text())
    return found


@pytest.fixture(scope="module")
def outcomes(
    recorded: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, dict[str, Outcome]]]:
    """Today's stack on the Redis of an earlier version, and how its jobs ended there."""
    server = RedisProcess(tmp_path_factory.mktemp("redis"), "appendonly yes")
    restore(server.client(), recorded["keys"])
    folder = tmp_path_factory.mktemp("s")
    try:
        with started(folder, REDIS_URL=server.url, BLOB_URL="redis", CONCURRENCY=1) as stack:
            ids = {job_id: name for name, job_id in recorded["ids"].items()}
            found = stack.client.outcomes(ids, timeout_s=ENDED_S)
            yield stack, {ids[each.job_id]: each for each in found}
            stack.stop()
    finally:
        server.end()


def test_every_job_is_done(outcomes: tuple[Stack, dict[str, Outcome]], recorded: dict[str, Any]):
    found = {name: (outcome.state, outcome.errors) for name, outcome in outcomes[1].items()}
    assert found == dict.fromkeys(recorded["ids"], (State.DONE, []))


def test_every_result_is_right(outcomes: tuple[Stack, dict[str, Outcome]]):
    stack, ended = outcomes
    for name, expected in EXPECTED.items():
        images = [stack.client.read(each) for each in ended[name].images]
        assert len(images) == len(expected), name
        assert all(map(same, images, expected)), name


def test_a_job_that_ran_runs_again(outcomes: tuple[Stack, dict[str, Outcome]]):
    stack, ended = outcomes
    images = ended["running"].images
    assert len(images) == 64
    hsv_pixel = cv2.cvtColor(np.uint8([[LARGE]]), cv2.COLOR_RGB2HSV)
    # On a busy machine a few of the files have other bytes, for a reason that is not known yet.
    for image in {image.sha256: image for image in images}.values():
        assert same(stack.client.read(image), np.broadcast_to(hsv_pixel, (1500, 2000, 3)))


def test_a_prediction_is_made(outcomes: tuple[Stack, dict[str, Outcome]]):
    [item] = outcomes[1]["infer"].items
    assert item.error is None
    assert item.prediction is not None


def test_nothing_is_left(outcomes: tuple[Stack, dict[str, Outcome]]):
    stack, _ = outcomes
    assert sum(stack.waiting("cv")) == sum(stack.waiting("infer")) == 0
    assert stack.redis.keys("agewell:unacked:cv@*") == []
    assert stack.redis.keys("agewell:unacked:infer@*") == []
