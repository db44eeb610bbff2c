"""The command line while Redis restarts: who waits goes on waiting, and gets everything."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.scene import scene
from tests.support.stack import until

IMAGES = 100


@pytest.mark.slow
def test_waiting_outlasts_a_restart_of_redis(tmp_path: Path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    with scene() as stage, ThreadPoolExecutor(1) as pool:
        for number in range(IMAGES):
            source = stage.photos[number % len(stage.photos)].path
            (photos / f"{number}.png").hardlink_to(source)
        command = ("enqueue", "hsv", photos, "--images-per-job", 1, "--out", out)
        call = pool.submit(stage.stack.run, *command)
        sent = "agewell:job:????????-*"
        until(lambda: len(stage.client.keys(sent)) == IMAGES, 60, lambda: stage.stack.log)
        # The first result is written by a command that knows all of its jobs to be sent.
        until(lambda: out.is_dir() and any(out.iterdir()), 60, lambda: stage.stack.log)
        stage.server.kill()
        time.sleep(2.0)
        stage.server.restart()
        done = call.result(120)
        assert done.returncode == 0, done.stderr
        assert {path.name for path in out.iterdir()} == {f"{n}.hsv.png" for n in range(IMAGES)}
