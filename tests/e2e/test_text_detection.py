"""docs/detection.md, with the weights that it names: text that this test draws is found."""

import os
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from agewell.workers.models.spec import ModelSpec
from tests.e2e.doc_pages import ROOT, commands, run_program
from tests.support.detectors import paint_segmenter
from tests.support.paths import PHOTOS
from tests.support.stack import COMMAND, Stack, started, state_directory

PAGE = "docs/detection.md"
MAKES_THE_MODEL = ("mkdir -p my-models/text/1", "python -c ", "cat > my-models/text/1/model.yaml")

WORDS = (
    # word, left end of its base line, height in px, angle in degrees
    ("harbour", (60, 120), 60, 0),
    ("lighthouse", (430, 130), 48, 0),
    ("fern", (80, 330), 90, 0),
    ("2026", (520, 360), 70, 0),
    ("Seehund", (610, 540), 36, 0),
    ("turned", (70, 560), 56, 20),
)
SIZE = (640, 960)


def has_weights() -> bool:
    try:
        return distribution("rapidocr-onnxruntime") is not None
    except PackageNotFoundError:
        return False


pytestmark = pytest.mark.skipif(
    not has_weights(), reason="rapidocr-onnxruntime is not installed: run `make install`"
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that serves what the page's commands have written, and a segmenter."""
    folder = tmp_path_factory.mktemp("reader")
    made = [each.text for each in commands(PAGE) if each.text.startswith(MAKES_THE_MODEL)]
    path = f"{COMMAND.parent}:{os.environ['PATH']}"
    for text in made[:3]:
        done = subprocess.run(
            ["bash", "-euc", text], cwd=folder, env=os.environ | {"PATH": path}, check=False
        )
        assert done.returncode == 0, text
    models = folder / "my-models"
    paint_segmenter(models, "scene", labels=["ground", "sky", "water", "rest"])
    with state_directory() as state, started(state, CONCURRENCY=1, MODELS_DIR=models) as running:
        yield running
        running.stop()


def ink_of(word: str, at: tuple[int, int], height: int, angle: float) -> np.ndarray:
    """One word on a page of its own: the share of ink of each pixel, 0 to 255."""
    page = np.zeros((*SIZE, 3), np.uint8)
    cv2.putText(page, word, at, (255, 255, 255), cv2.FontFace("sans"), height, 500)
    turn = cv2.getRotationMatrix2D(at, angle, 1)
    return cv2.warpAffine(page, turn, SIZE[::-1])[..., 0]


def polygon_mask(polygon: list[list[float]]) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    return cv2.fillPoly(mask, [np.rint(np.array(polygon) - 0.5).astype(np.int32)], 1).astype(bool)


def boxes_of(stack: Stack, image: Path, *options: object) -> list[dict]:
    [document] = stack.documents("enqueue", "infer", "text", image, "--wait", *options)
    [item] = document["items"]
    return item["prediction"]["boxes"]


def test_each_word_that_was_drawn_is_found_and_nothing_else(stack: Stack, tmp_path: Path):
    """Each box holds at least 95 % of the ink of one word, and overlaps by half at least with the
    smallest rotated rectangle around that ink.
    """
    inks = [ink_of(*each) for each in WORDS]
    cv2.imwrite(str(tmp_path / "page.png"), 255 - np.maximum.reduce(inks))
    boxes = boxes_of(stack, tmp_path / "page.png")
    assert len(boxes) == len(WORDS)
    masks = [polygon_mask(each["polygon"]) for each in boxes]
    for (word, *_), ink in zip(WORDS, inks, strict=True):
        around = polygon_mask(cv2.boxPoints(cv2.minAreaRect(cv2.findNonZero(ink))).tolist())
        overlaps = [(mask & around).sum() / (mask | around).sum() for mask in masks]
        best = int(np.argmax(overlaps))
        assert overlaps[best] > 0.5, (word, overlaps)
        assert ink[masks[best]].sum() > 0.95 * ink.sum(), word
        assert boxes[best]["score"] > 0.6
        low, high = np.min(boxes[best]["polygon"], axis=0), np.max(boxes[best]["polygon"], axis=0)
        assert boxes[best]["box"] == pytest.approx([*low, *high], abs=1e-3)


def test_a_turned_word_is_cut_out_upright(stack: Stack, tmp_path: Path):
    word = ("turned", (250, 420), 80, 25)
    cv2.imwrite(str(tmp_path / "page.png"), 255 - ink_of(*word))
    out = tmp_path / "out"
    options = ("--crops", "--no-draw", "--out", out)
    stack.ok("enqueue", "infer", "text", tmp_path / "page.png", *options)
    [crop] = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in out.iterdir()]
    level = 255 - ink_of(*word[:3], 0)
    x, y, width, height = cv2.boundingRect(255 - level)
    # The crop has a margin, so the level word is looked for in it at the size of its own ink.
    ink = cv2.boundingRect((crop < 128).astype(np.uint8))
    found = crop[ink[1] : ink[1] + ink[3], ink[0] : ink[0] + ink[2]]
    expected = cv2.resize(level[y : y + height, x : x + width], found.shape[::-1])
    similarity = cv2.matchTemplate(found, expected, cv2.TM_CCOEFF_NORMED)[0, 0]
    assert similarity > 0.8


def test_pictures_without_text_have_no_boxes(stack: Stack, tmp_path: Path):
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((*SIZE, 3), 255, np.uint8))
    assert boxes_of(stack, tmp_path / "blank.png") == []
    assert boxes_of(stack, PHOTOS / "jellyfish.jpg") == []


def test_the_page_shows_what_its_command_prints(stack: Stack, tmp_path: Path):
    draw = next(each.text for each in commands(PAGE) if "scan.png" in each.text)
    subprocess.run(
        ["bash", "-euc", draw],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{COMMAND.parent}:{os.environ['PATH']}"},
        check=True,
    )
    shown = re.search(r"^image +label .*?(?=^```)", (ROOT / PAGE).read_text(), re.M | re.S)
    said = stack.ok("enqueue", "infer", "text", tmp_path / "scan.png", "--wait").stdout
    assert shown is not None
    numbers = re.compile(r"\d+(?:\.\d+)?")
    assert numbers.sub("0", said).split() == numbers.sub("0", shown[0]).split()
    # Another processor rounds a little differently.
    found, expected = ([float(each) for each in numbers.findall(text)] for text in (said, shown[0]))
    assert found == pytest.approx(expected, abs=2)


def test_the_program_of_the_page_hands_a_mask_to_a_blend(stack: Stack, tmp_path: Path):
    [program] = re.findall(r"^```python\n(.*?)^```$", (ROOT / PAGE).read_text(), re.M | re.S)
    done = run_program(program, tmp_path, stack)
    assert (done.returncode, done.stdout) == (0, "bird.alpha_blend.png\n"), done.stderr


def test_every_model_yaml_of_the_page_is_valid():
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / PAGE).read_text(), re.M | re.S)
    blocks += re.findall(r"model.yaml <<'END'\n(.*?)^END$", (ROOT / PAGE).read_text(), re.M | re.S)
    tasks = [
        ModelSpec.model_validate({"name": "a", "version": "1"} | yaml.safe_load(each)).task
        for each in blocks
    ]
    assert sorted(tasks) == ["detection"] * 4 + ["segmentation"]
