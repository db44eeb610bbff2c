"""One stack for all tests that kill nothing, and files for it to work on."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from tests.support import watched as watched_stack
from tests.support.image_files import file_of
from tests.support.messages import ask, bytes_of, good_job, start_long_job
from tests.support.paths import PHOTOS
from tests.support.pixels import expected_hsv, same
from tests.support.stack import Stack, started, state_directory


@contextmanager
def ending_cleanly(**settings: object) -> Iterator[Stack]:
    """A stack with these settings. It must also end cleanly, with all its processes."""
    with state_directory() as folder, started(folder, **settings) as running:
        yield running
        running.stop()


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A stack that runs one job at a time."""
    with ending_cleanly(CONCURRENCY=1) as running:
        yield running


@pytest.fixture(scope="session")
def first_process(stack: Stack) -> psutil.Process:
    [process] = stack.pool
    return process


@pytest.fixture
def unharmed(stack: Stack, first_process: psutil.Process) -> Iterator[None]:
    """After the test a good job succeeds, and on the very process that ran the bad one."""
    yield
    answer = ask(stack, "cv.hsv", good_job())
    assert same(bytes_of(stack, answer["items"][0]["image"]), expected_hsv(file_of("PNG")))
    assert stack.pool == [first_process]


@pytest.fixture(scope="session")
def rough_stack() -> Iterator[Stack]:
    """A stack for tests that kill parts of it. It must still end cleanly."""
    with ending_cleanly(CONCURRENCY=2) as running:
        yield running


@pytest.fixture(scope="session")
def watched() -> Iterator[Stack]:
    """A stack with a password, a prefix and metrics. Tests kill nothing of it but Flower."""
    with ending_cleanly(**watched_stack.SETTINGS) as running:
        watched_stack.wait_heard(running)
        yield running


@pytest.fixture(scope="session")
def photos() -> Path:
    return PHOTOS


@pytest.fixture(scope="session")
def large_photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of 12 megapixels: about a third of a second of work for one core."""
    path = tmp_path_factory.mktemp("large") / "large.jpg"
    photo = cv2.imread(str(PHOTOS / "morskie-oko.jpg"))
    cv2.imwrite(str(path), cv2.resize(photo, (4000, 3000)))
    return path


@pytest.fixture
def long_job(stack: Stack, large_photo: Path) -> Iterator[str]:
    """A job that keeps the one worker process busy for long. It is cancelled at the end."""
    job_id = start_long_job(stack, large_photo)
    yield job_id
    if stack.states([job_id]) == ["running"]:
        stack.run("cancel", job_id)
        stack.wait_ended([job_id])


@pytest.fixture
def small_folder(tmp_path: Path) -> Path:
    """Eight small images, no two alike."""
    folder = tmp_path / "small"
    folder.mkdir()
    for number in range(8):
        values = np.random.default_rng(number).integers(0, 256, (30, 40, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), values)
    return folder


@pytest.fixture
def two_folders(tmp_path: Path, photos: Path) -> tuple[Path, Path]:
    """Two folders with different photos of the same name."""
    folders = tmp_path / "first", tmp_path / "second"
    for folder, photo in zip(folders, ("bird.jpg", "jellyfish.jpg"), strict=True):
        folder.mkdir()
        shutil.copy(photos / photo, folder / "photo.jpg")
    return folders
