"""Commands made from schemas, and the messages of 0.1.0, with real workers."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agewell.shared.settings import Settings
from agewell.workers.imaging.codec import decode
from agewell.workers.jobs.images import limits_of
from agewell.workers.operations.adjust import adjust
from agewell.workers.operations.alpha_blend import alpha_blend
from agewell.workers.operations.context import JobContext
from agewell.workers.operations.crop import crop
from agewell.workers.operations.flatten import flatten
from agewell.workers.operations.rotate import rotate
from agewell.workers.operations.watermark import watermark
from tests.support.image_files import file_of, picture
from tests.support.messages import ask, bytes_of
from tests.support.pixels import read
from tests.support.stack import Stack
from tests.unit.jobs.test_old_messages import MESSAGES, pixels, recorded

SETTINGS = Settings(redis_url="redis://127.0.0.1:1")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {}
    for name, image in {"photo": picture(), "cutout": picture("RGBA")}.items():
        found[name] = tmp_path / f"{name}.png"
        found[name].write_bytes(file_of("PNG", image))
    return found


def array(path: Path) -> np.ndarray:
    return decode(path.read_bytes(), path.name, limits_of(SETTINGS))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["crop", "photo", "--box", "1,2,30,20"], lambda at: crop(at["photo"], box=(1, 2, 30, 20))),
        (
            ["rotate", "photo", "--angle", "-90"],
            lambda at: rotate(at["photo"], angle=-90, context=JobContext(SETTINGS)),
        ),
        (
            ["flatten", "cutout", "--background", "#12aBcD"],
            lambda at: flatten(at["cutout"], background="#12aBcD"),
        ),
        (
            ["adjust", "photo", "--gamma", ".5", "--saturation", "0"],
            lambda at: adjust(at["photo"], gamma=0.5, saturation=0),
        ),
        (
            ["watermark", "photo", "--image", "cutout", "--size", ".4", "--margin", "0"],
            lambda at: watermark(at["photo"], at["cutout"], size=0.4, margin=0),
        ),
        (
            ["blend", "cutout", "photo", "--offset", "-5,3"],
            lambda at: alpha_blend(at["cutout"], at["photo"], offset=(-5, 3)),
        ),
        (
            ["blend", "cutout", "photo", "--offset=-5,-3", "--alpha", "0.3"],
            lambda at: alpha_blend(at["cutout"], at["photo"], offset=(-5, -3), alpha=0.3),
        ),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_command_gives_the_pixels_of_the_function(
    stack: Stack, files: dict[str, Path], tmp_path: Path, words: list[str], expected: Any
):
    out = tmp_path / "results"
    typed = [str(files.get(word, word)) for word in words]
    stack.ok("enqueue", *typed, "--out", out)
    [path] = out.iterdir()
    result = expected({name: array(each) for name, each in files.items()})
    np.testing.assert_array_equal(read(path, cv2.IMREAD_UNCHANGED), result)


def test_wrong_option_is_refused_before_redis_is_asked(files: dict[str, Path], stack: Stack):
    away = "redis://127.0.0.1:1"
    done = stack.run("enqueue", "crop", files["photo"], "--box", "1,2,3", REDIS_URL=away)
    assert done.returncode == 2
    said = "error: --box is '1,2,3'; allowed: 4 values: "
    assert done.stderr.startswith(said)


@pytest.mark.parametrize("message", MESSAGES, ids=[each.stem for each in MESSAGES])
def test_message_of_0_1_0_runs_on_todays_workers(stack: Stack, message: Path):
    document = json.loads(message.read_bytes())
    answer = ask(stack, f"cv.{document['op']}", document)
    for item, before in zip(answer["items"], recorded(message), strict=True):
        np.testing.assert_array_equal(pixels(bytes_of(stack, item["image"])), pixels(before))
