"""The Python client against a running stack, and the examples of docs/python.md as printed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from agewell.producer.async_client import AsyncClient
from agewell.producer.client import Client
from agewell.shared.errors import BadFileError, BadJobError, ParameterError, QueueFullError
from agewell.shared.protocol.built_in_jobs import AlphaBlendItem, AlphaBlendJob, HsvItem, HsvJob
from agewell.shared.queue.record import State
from agewell.shared.settings import Settings
from tests.e2e.doc_pages import run_program
from tests.support.image_files import file_of
from tests.support.paths import ROOT
from tests.support.pixels import expected_hsv, over, same
from tests.support.stack import Stack


@pytest.fixture
def settings(stack: Stack) -> Settings:
    return Settings(state_dir=stack.state_dir)


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with Client.open(settings) as opened:
        yield opened


def test_paths_and_bytes_are_converted(client: Client, small_folder: Path):
    path, data = small_folder / "0.png", file_of("PNG")
    job = HsvJob(items=tuple(HsvItem(image=each) for each in client.put(path, ("mine.png", data))))
    outcome = client.wait(client.send(job), timeout_s=60)
    assert (outcome.state, outcome.errors) == (State.DONE, [])
    assert [image.name for image in outcome.images] == ["0.hsv.png", "mine.hsv.png"]
    first, second = (client.read(image) for image in outcome.images)
    assert same(first, expected_hsv(path.read_bytes()))
    assert same(second, expected_hsv(data))


def test_one_image_serves_many_jobs(client: Client, photos: Path):
    day, night = client.put(photos / "canyon-day.jpg", photos / "canyon-night.jpg")
    item = AlphaBlendItem(foreground=day, background=night)
    alphas = (0.25, 0.75)
    ids = client.send_many([AlphaBlendJob(items=(item,), alpha=each) for each in alphas], "high")
    found = {outcome.job_id: outcome for outcome in client.outcomes(ids, timeout_s=60)}
    front, back = (cv2.imread(str(photos / f"canyon-{when}.jpg")) for when in ("day", "night"))
    for job_id, alpha in zip(ids, alphas, strict=True):
        [image] = found[job_id].images
        assert same(client.read(image), over(front, back, np.float32(alpha)))


def test_a_waiting_job_is_cancelled(client: Client, long_job: str):
    [image] = client.put(("mine.png", file_of("PNG")))
    job_id = client.send(HsvJob(items=(HsvItem(image=image),)), priority="bulk")
    entry = client.status(job_id)
    assert entry is not None
    assert (entry.state, entry.level) == (State.WAITING, 9)
    with pytest.raises(TimeoutError, match="1 jobs have not ended"):
        client.wait(job_id, timeout_s=0.05)
    client.cancel(job_id)
    assert client.wait(job_id, timeout_s=60).state is State.CANCELLED
    client.cancel(long_job)


def test_a_full_queue_takes_nothing(settings: Settings, client: Client, long_job: str):
    [image] = client.put(("mine.png", file_of("PNG")))
    job = HsvJob(items=(HsvItem(image=image),))
    [waiting] = client.send_many([job])
    with (
        Client.open(settings.model_copy(update={"max_waiting": 1})) as limited,
        pytest.raises(QueueFullError),
    ):
        limited.send(job)
    client.cancel(long_job)
    assert client.wait(waiting, timeout_s=60).state is State.DONE


def test_bad_input_is_an_error_before_anything_is_sent(client: Client, tmp_path: Path):
    with pytest.raises(BadFileError, match=r"nosuch\.png: no such file"):
        client.put(tmp_path / "nosuch.png")
    with pytest.raises(BadFileError, match=r"notes: not JPEG"):
        client.put(("notes", b"hello"))
    [image] = client.put(("mine.png", file_of("PNG")))
    with pytest.raises(ParameterError, match="priority is 10"):
        client.send(HsvJob(items=(HsvItem(image=image),)), priority=10)
    with pytest.raises(BadJobError, match="alpha: must be at most 1, found 2"):
        AlphaBlendJob(items=(AlphaBlendItem(foreground=image, background=image),), alpha=2)


def test_asyncio_waits_for_many_at_once(settings: Settings, small_folder: Path):
    async def convert() -> list[bytes]:
        async with await AsyncClient.open(settings) as client:
            images = await client.put(*sorted(small_folder.iterdir()))
            jobs = [HsvJob(items=(HsvItem(image=each),)) for each in images]
            ids = await client.send_many(jobs)
            outcomes = await asyncio.gather(*(client.wait(each, timeout_s=60) for each in ids))
            return [await client.read(outcome.images[0]) for outcome in outcomes]

    found = asyncio.run(convert())
    for path, data in zip(sorted(small_folder.iterdir()), found, strict=True):
        assert same(data, expected_hsv(path.read_bytes()))


*CLIENTS, TESTED = (ROOT / "docs" / "python.md").read_text().split("```python\n")[1:]
[CHAIN] = [
    text
    for text in (ROOT / "docs" / "celery.md").read_text().split("```python\n")
    if "last = chain(" in text
]
EXAMPLES = [*CLIENTS, CHAIN]
SAYS = [
    "bird.hsv.png",
    "done canyon-day.alpha_blend.jpeg",
    "{'done'} 20",
    "bird.hsv.alpha_blend.png",
]


def test_the_example_of_a_stack_for_tests_is_sound():
    exec(compile(TESTED.partition("```")[0], "docs/python.md", "exec"), {"__name__": "example"})


@pytest.mark.parametrize(("text", "says"), list(zip(EXAMPLES, SAYS, strict=True)), ids=SAYS)
def test_every_example_of_the_page_runs(stack: Stack, tmp_path: Path, text: str, says: str):
    done = run_program(text.partition("```")[0], tmp_path, stack)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
