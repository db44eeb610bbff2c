"""Thumbnails of a job's images: made beside Flower, within bounds of memory and time."""

import asyncio
import os
import re
import subprocess
import sys
import threading
import urllib.request

import cv2
import numpy as np
import psutil
import pytest

from agewell.shared.blobs.blobs import Blobs
from agewell.shared.celery.app import make_app
from agewell.shared.errors import BlobMissingError, ThumbnailError, UndecodableError
from agewell.workers.monitoring.dashboard import thumbnails as module
from agewell.workers.monitoring.dashboard.thumbnails import Thumbnails
from tests.support.image_files import file_of
from tests.support.stack import until

MIB = 2**20
REQUESTS = 6


def png(height, width):
    done, data = cv2.imencode(".png", np.full((height, width, 3), 100, np.uint8))
    assert done
    return data.tobytes()


@pytest.fixture
def environment(settings, tmp_path, monkeypatch):
    """The settings of this process, for those that it starts."""
    url = f"file://{tmp_path}/blobs"
    ours = {
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "BLOB_URL": url,
        "STATE_DIR": str(settings.state_dir),
        "FLOWER_PORT": "0",
    }
    for name, value in ours.items():
        monkeypatch.setenv(f"AGEWELL_{name}", value)
    return settings.model_copy(update={"blob_url": url})


@pytest.fixture
def blobs(environment, client):
    return Blobs(environment, client)


def put(blobs, data, name="a.png"):
    return blobs.put([(name, "image/png", data)])[0]


@pytest.fixture
def thumbnails(environment):
    made = Thumbnails(environment)
    yield made
    made.stop()


def make(thumbnails, *refs):
    async def gather():
        return await asyncio.gather(*map(thumbnails.make, refs), return_exceptions=True)

    return asyncio.run(gather())


def sides(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2]


def test_many_thumbnails_at_once_are_made_and_keep_their_errors(thumbnails, blobs):
    good, bad = put(blobs, png(640, 320)), put(blobs, file_of("PNG")[:-20])
    gone = good.model_copy(update={"sha256": "0" * 64, "uri": "store:" + "0" * 64})
    found = make(thumbnails, *[good] * 4, bad, gone)
    assert [sides(data) for data in found[:4]] == [(320, 160)] * 4
    assert [type(each) for each in found[4:]] == [UndecodableError, BlobMissingError]


def test_one_that_takes_too_long_is_not_made_and_the_next_one_is(thumbnails, blobs, monkeypatch):
    ref = put(blobs, png(640, 320))
    with monkeypatch.context() as patch:
        patch.setattr(module, "TIME_S", 0.001)
        [error] = make(thumbnails, ref)
    assert isinstance(error, ThumbnailError)
    assert "not made within" in str(error)
    assert sides(make(thumbnails, ref)[0]) == (320, 160)


def test_one_that_takes_too_much_memory_is_not_made_and_the_next_one_is(
    environment, blobs, monkeypatch
):
    monkeypatch.setattr(module, "thumbnail_limit", lambda _: 330 * MIB)
    thumbnails = Thumbnails(environment)
    try:
        small, large = put(blobs, png(640, 320)), put(blobs, png(6000, 6000))
        found = make(thumbnails, small, large, small)
    finally:
        thumbnails.stop()
    assert [type(each) for each in found] == [bytes, ThumbnailError, bytes]
    assert "too much memory" in str(found[1])


def test_a_process_that_is_killed_is_replaced(thumbnails, blobs):
    ref = put(blobs, png(640, 320))
    before = set(psutil.Process().children(recursive=True))
    make(thumbnails, ref)
    for each in set(psutil.Process().children(recursive=True)) - before:
        if "spawn_main" in " ".join(each.cmdline()):
            each.kill()
    until(lambda: isinstance(make(thumbnails, ref)[0], bytes), 30, lambda: "a thumbnail")


SLOW_IMPORT = """
import importlib, sys, time

import_module = importlib.import_module

def slow(name, package=None):
    found = import_module(name, package)
    if name == "cv2" and hasattr(sys, "OpenCV_LOADER"):
        time.sleep(1)
    return found

importlib.import_module = slow
"""
"""Makes the moment long in which another thread gets half of OpenCV.

Its loader imports the library under the package's own name first, and adds the rest after that.
"""


@pytest.fixture
def fresh_flower(environment, tmp_path):
    """The address of a Flower that has made no thumbnail yet, and whose first one takes long."""
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "sitecustomize.py").write_text(SLOW_IMPORT)
    env = os.environ | {"PYTHONPATH": f"{slow}:."}
    command = [sys.executable, "-m", "agewell.workers.monitoring.dashboard"]
    log = tmp_path / "flower.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out)
    try:
        found = until(
            lambda: re.search(r"listening on .*, port (\d+)", log.read_text()), 60, log.read_text
        )
        yield f"http://127.0.0.1:{found[1]}", psutil.Process(process.pid)
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_the_first_thumbnails_are_made_although_they_are_asked_for_at_once(
    fresh_flower, blobs, environment
):
    url, flower = fresh_flower
    refs = [put(blobs, png(400 + number, 320)) for number in range(REQUESTS)]
    items = [{"image": ref.model_dump(mode="json")} for ref in refs]
    with make_app(environment) as app:
        app.send_task("cv.hsv", args=[{"op": "hsv", "items": items}], task_id="job")
    statuses = {}

    def ask(number):
        try:
            with urllib.request.urlopen(f"{url}/job/job/{number}/image", timeout=60) as answer:
                statuses[number] = answer.status
        except urllib.error.HTTPError as error:
            statuses[number] = error.code

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(REQUESTS)]
    for thread in threads:
        thread.start()
        thread.join(0.2)  # while the first one imports OpenCV
    for thread in threads:
        thread.join()
    assert statuses == dict.fromkeys(range(REQUESTS), 200)
    assert not any("cv2" in each.path for each in flower.memory_maps())
    [maker] = [each for each in flower.children() if "spawn_main" in " ".join(each.cmdline())]
    assert maker.rlimit(psutil.RLIMIT_DATA)[0] < 2e9
