"""Flower's pages in a browser: headless Chromium in front of the real stack."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from agewell.shared.redis import keys
from tests.support.browser import WAIT_S, Browser, browser
from tests.support.held_tenants import waiting_jobs
from tests.support.image_files import file_of
from tests.support.messages import hsv_job, send, stored
from tests.support.paths import ROOT
from tests.support.stack import Stack, until
from tests.support.watched import PASSWORD, USER, flower

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen(watched: Stack) -> Iterator[Browser]:
    """A browser that is logged in."""
    with browser(watched.running.flower_url) as opened:
        opened.log_in(USER, PASSWORD)
        opened.errors()  # it asks for an icon before it knows the password
        yield opened


def _busy(stack: Stack, photo: Path, images: int) -> str:
    """Send a job of `count` large images, and wait until it runs."""
    image = stored(stack, photo.read_bytes(), "large.jpg")
    job_id = send(stack, "cv.hsv", hsv_job(*[image] * images))
    stack.wait_running(job_id)
    return job_id


@pytest.fixture
def held(watched: Stack, large_photo: Path) -> Iterator[str]:
    """A job that keeps the one worker process busy until the end of the test."""
    job_id = _busy(watched, large_photo, 64)
    yield job_id
    watched.run("cancel", job_id)
    watched.wait_ended([job_id])


def _enqueue(stack: Stack, folder: Path, level: str, *more: object) -> list[str]:
    return stack.enqueue("hsv", folder, "--images-per-job", 1, "--priority", level, *more)


def test_a_running_job_is_seen_to_succeed(watched: Stack, seen: Browser, large_photo: Path):
    job_id = _busy(watched, large_photo, 6)
    seen.open(f"/job/{job_id}")
    assert seen.texts("#job-state") == ["running"]
    seen.open(f"/task/{job_id}")
    assert "STARTED" in seen.texts(".badge")
    seen.open(f"/job/{job_id}")
    seen.wait_text("#job-state", "done")  # the page looks by itself
    until(lambda: _reload(seen, f"/task/{job_id}") and "SUCCESS" in seen.texts(".badge"), WAIT_S,
          lambda: seen.text)  # fmt: skip
    seen.screenshot("task")
    assert seen.errors() == []


def _reload(seen: Browser, path: str) -> bool:
    seen.open(path)
    return True


def test_the_brokers_numbers_are_those_of_redis(
    watched: Stack, seen: Browser, held: str, small_folder: Path
):
    ids = [
        job_id
        for level in ("high", "normal", "bulk")
        for job_id in _enqueue(watched, small_folder, level)
    ]

    def lengths() -> dict[str, str]:
        found = watched.waiting()
        names = {0: "0 urgent", 2: "2 high", 5: "5 normal", 7: "7 low", 9: "9 bulk"}
        rows = {f"cv, level {names.get(i, i)}": str(n) for i, n in enumerate(found) if n}
        return {"cv": str(sum(found))} | rows

    def same() -> bool:
        before = lengths()
        seen.open("/broker")
        columns = [seen.texts(f"#queue-table td:nth-child({i})") for i in (1, 2)]
        rows = dict(zip(*columns, strict=True))
        shown = {name: value for name, value in rows.items() if name.startswith("cv")}
        if before != lengths():
            return False  # a job has climbed meanwhile
        assert shown == before
        return len(before) > 2 and before["cv"] == "24"

    until(same, WAIT_S, lambda: (lengths(), seen.text))
    seen.screenshot("broker")
    watched.ok("cancel", *ids)


def test_the_queues_page_shows_a_bulk_job_climb(
    watched: Stack, seen: Browser, held: str, small_folder: Path
):
    def waiting() -> dict[str, str]:
        script = """return Object.fromEntries(Array.from(
            document.querySelectorAll('[data-queue="cv"] tr[data-level]'),
            row => [row.dataset.level, row.querySelector('.waiting').innerText]))"""
        found: dict[str, str] = seen.driver.execute_script(script)
        return found

    _enqueue(watched, small_folder, "bulk")
    seen.open("/aging")
    until(lambda: waiting().get("9") == "8", WAIT_S, waiting)
    until(lambda: waiting().get("9") == "0" and "8" in waiting().values(), WAIT_S, waiting)
    climbed = min(int(level) for level, number in waiting().items() if number != "0")
    assert climbed < 9
    drawn = {area.get_attribute("data-level") for area in seen.all("polygon[data-level]")}
    assert {"9", str(climbed)} <= drawn
    # A job that has just ended stays reserved until its worker's next heartbeat.
    until(lambda: seen.texts('[data-tile="Reserved"]') == ["1"], WAIT_S, lambda: seen.text)
    for dark in (False, True):
        seen.dark(dark)
        seen.screenshot(f"queues-{'dark' if dark else 'light'}")
    assert seen.errors() == []


def test_the_queues_page_shows_the_largest_tenants(watched: Stack, seen: Browser):
    seen.open("/aging")
    until(lambda: seen.all(".queue"), WAIT_S, lambda: seen.text)
    assert seen.all(".tenant-table") == []
    with waiting_jobs(watched, "late", 3):
        row = '[data-queue="cv"] tr[data-tenant="late"]'
        until(lambda: seen.texts(f"{row} .waiting") == ["3"], WAIT_S, lambda: seen.text)
        cells = [*seen.texts(f"{row} th"), *seen.texts(f"{row} td")[:-2]]
        share = cells.pop()
        assert cells == ["late", "2", "4/h", "3", "0"]
        assert share.endswith(" %")
        assert seen.texts(f"{row} .oldest")[0].endswith(" s")
        # Four an hour: a new job goes an hour after the one that started.
        assert seen.texts(f"{row} .predicted")[0].startswith(("59 min", "1 h 0 min"))
        seen.screenshot("queues-tenants")
        seen.driver.set_window_size(500, 1000)
        script = "return document.documentElement.scrollWidth - window.innerWidth"
        assert seen.driver.execute_script(script) <= 0
        seen.driver.set_window_size(1280, 1000)
    until(lambda: seen.all(".tenant-table") == [], WAIT_S, lambda: seen.text)
    assert seen.errors() == []


def _axis_fits(stack: Stack, seen: Browser) -> bool:
    """True if the axis of jobs ends less than one tick above the data."""
    script = """return Array.from(document.querySelectorAll('[data-queue="cv"] .tick-y'),
        e => Number(e.textContent.replaceAll(',', '')))"""
    ticks: list[int] = seen.driver.execute_script(script)
    [choice] = seen.all("[data-window].active")
    window = choice.get_attribute("data-window")
    found = flower(stack, f"/aging/data?window={window}").json()
    most = max(sum(each["waiting"]["cv"]) for each in found["samples"])
    return len(ticks) > 1 and ticks[-1] - ticks[1] < most <= ticks[-1]


def test_the_window_of_the_plot_can_be_chosen(
    watched: Stack, seen: Browser, held: str, small_folder: Path
):
    ids = _enqueue(watched, small_folder, "normal")
    seen.open("/aging")
    assert seen.texts("[data-window].active") == ["10 min"]
    for link, label in (("1h", "1 h"), ("24h", "24 h"), ("10m", "10 min")):
        [choice] = seen.all(f'[data-window][href="#{link}"]')
        choice.click()
        until(lambda: seen.all('[data-queue="cv"] polygon'), WAIT_S, lambda: seen.text)
        assert seen.texts("[data-window].active") == [label]
        until(lambda: _axis_fits(watched, seen), WAIT_S, lambda: seen.text)
        seen.screenshot(f"queues-{link}")
    seen.open("/aging#24h")
    seen.driver.refresh()
    assert seen.texts("[data-window].active") == ["24 h"]
    watched.ok("cancel", *ids)
    assert seen.errors() == []


def test_every_page_has_a_tab_that_leads_to_the_queues(seen: Browser):
    for path in ("/", "/tasks", "/broker"):
        seen.open(path)
        assert seen.texts(".app-nav:not(.app-nav-secondary) .nav-link") == [
            "Workers",
            "Tasks",
            "Broker",
            "Queues",
        ]
        [tab] = [each for each in seen.all(".nav-link") if each.text == "Queues"]
        tab.click()
        until(lambda: seen.all("#queues-page"), WAIT_S, lambda: seen.text)


def test_job_page_shows_inputs_and_results(watched: Stack, seen: Browser, photos: Path):
    ids = watched.enqueue(
        *("blend", photos / "dahlia-cutout.png", photos / "morskie-oko.jpg"),
        *("--offset", "420,200"),
    )
    watched.wait_ended(ids)
    seen.open(f"/job/{ids[0]}")
    script = """return Array.from(document.querySelectorAll('img[data-side]'),
        i => [i.dataset.side, i.complete && i.naturalWidth, i.naturalHeight])"""
    until(lambda: all(width for _, width, _ in seen.driver.execute_script(script)), WAIT_S,
          lambda: seen.driver.execute_script(script))  # fmt: skip
    shown = [(side, (width, height)) for side, width, height in seen.driver.execute_script(script)]
    names = ("dahlia-cutout.png", "morskie-oko.jpg", "morskie-oko.jpg")
    sides = ("in", "in", "out")
    assert shown == [(side, _small(photos / name)) for side, name in zip(sides, names, strict=True)]
    seen.screenshot("job")
    assert seen.errors() == []


def _small(photo: Path) -> tuple[int, int]:
    height, width = cv2.imread(str(photo)).shape[:2]
    scale = 320 / max(height, width)
    return round(width * scale), round(height * scale)


def _drawn(seen: Browser, css: str) -> list[int]:
    """The widths of pictures, once all of them are there."""
    script = (
        f"return Array.from(document.querySelectorAll('{css}'), i => i.complete && i.naturalWidth)"
    )
    until(lambda: all(seen.driver.execute_script(script)), WAIT_S, lambda: seen.text)
    found: list[int] = seen.driver.execute_script(script)
    return found


def test_a_waiting_job_shows_its_images_and_parameters(
    watched: Stack, seen: Browser, held: str, photos: Path
):
    [job_id] = watched.enqueue(
        *("poisson", photos / "bird.jpg", photos / "bird-mask.png", photos / "morskie-oko.jpg"),
        *("--at", "10,20"),
    )
    image = stored(watched, file_of("PNG"), "<b>plain</b>.png")
    job = hsv_job(image, full_range=True)
    plain = watched.celery.send_task("cv.hsv", args=[job], queue="cv", task_id="plain/1 x").id
    seen.open(f"/job/{job_id}")
    assert seen.texts("#job-state") == ["waiting"]
    assert len(_drawn(seen, 'img[data-side="in"]')) == 3
    assert "10, 20" in seen.texts("#parameters dd")
    seen.screenshot("job-waiting")
    # It has a record as soon as it is admitted.
    until(lambda: watched.redis.exists(keys.job(plain)), WAIT_S, lambda: "not admitted")
    assert _shown_state(seen, plain) == ["waiting"]
    assert len(_drawn(seen, 'img[data-side="in"]')) == 1
    assert seen.texts("figcaption") == ["image: <b>plain</b>.png"]
    seen.open(f"/job/{held}")
    assert seen.texts("#job-state") == ["running"]
    assert len(_drawn(seen, 'img[data-side="in"]')) == 8
    assert seen.errors() == []


def _shown_state(seen: Browser, job_id: str) -> list[str]:
    seen.open(f"/job/{quote(job_id, safe='')}")
    return seen.texts("#job-state")


def test_scheduled_jobs_are_shown_with_the_time_they_are_due(watched: Stack, seen: Browser):
    job = hsv_job(stored(watched, file_of("PNG")))
    due = datetime.now(UTC) + timedelta(hours=1)
    job_id = watched.celery.send_task("cv.hsv", args=[job], queue="cv", eta=due).id
    # Until it is admitted, within a second, it has no page: a browser notes that as an error.
    until(lambda: watched.redis.exists(keys.job(job_id)), WAIT_S, lambda: "not admitted")
    assert _shown_state(seen, job_id) == ["scheduled"]
    assert f"{due:%Y-%m-%d %H:%M:%S} UTC" in seen.texts("#record dd")
    assert len(_drawn(seen, 'img[data-side="in"]')) == 1
    seen.screenshot("job-scheduled")
    seen.open("/aging")
    seen.wait_text('[data-tile="Scheduled"]', "1")
    assert "1 scheduled" in seen.texts('[data-queue="cv"] header p')[0]
    seen.screenshot("queues-scheduled")
    assert watched.ok("cancel", job_id).stdout.split() == [job_id, "cancelled"]
    assert _shown_state(seen, job_id) == ["cancelled"]
    assert seen.errors() == []


def test_the_page_of_a_classification_is_whole_in_any_light_and_width(
    watched: Stack, seen: Browser
):
    digits = ROOT / "examples" / "digits"
    [job_id] = watched.enqueue("infer", "digits", digits / "3.png", digits / "7.png")
    watched.wait_ended([job_id])
    try:
        for width in (1280, 500):
            seen.driver.set_window_size(width, 1000)
            for dark in (False, True):
                seen.dark(dark)
                seen.open(f"/job/{job_id}")
                assert [each.text for each in seen.all(".prediction tbody tr:first-child th")] == [
                    "3",
                    "7",
                ]
                script = "return document.documentElement.scrollWidth - window.innerWidth"
                assert seen.driver.execute_script(script) <= 0
                seen.screenshot(f"job-prediction-{width}-{'dark' if dark else 'light'}")
    finally:
        seen.driver.set_window_size(1280, 1000)
        seen.dark(False)
    assert seen.errors() == []


def test_unknown_id_has_a_page_that_says_unknown(seen: Browser):
    seen.open("/aging")
    [field] = seen.all('input[name="id"]')
    field.send_keys("11111111-2222")
    [button] = seen.all(".job-search button")
    button.click()
    until(lambda: "There is no job with this id" in seen.text, WAIT_S, lambda: seen.text)
    assert seen.status == 404
    seen.screenshot("job-unknown")


@pytest.mark.parametrize("password", [None, "wrong"])
def test_without_the_password_a_browser_sees_nothing(watched: Stack, password: str | None):
    with browser(watched.running.flower_url) as stranger:
        if password is not None:
            stranger.log_in(USER, password)
        for path in ("/", "/tasks", "/broker", "/aging", "/job/x", "/api/workers", "/metrics"):
            stranger.open(path)
            assert (path, stranger.status) == (path, 401)
            # Chromium shows our sentence, or an empty page after its own question.
            assert stranger.text.strip() in ("A user name and a password are needed.", "")
            assert stranger.all("nav, table, img, script") == []


def test_expired_picture_has_a_note_in_its_place(watched: Stack, seen: Browser):
    job_id = send(watched, "cv.hsv", hsv_job(stored(watched, file_of("PNG"))))
    watched.wait_ended([job_id])
    image = watched.celery.AsyncResult(job_id).result["items"][0]["image"]
    place = image["uri"].removeprefix("store:").partition("+")[0]
    (watched.state_dir / "blobs" / place[:2] / place).unlink()
    seen.open(f"/job/{job_id}")
    seen.wait_text(".no-picture", "image not available")


def test_screenshots_differ_between_light_and_dark(seen: Browser):
    shades = []
    for dark in (False, True):
        seen.dark(dark)
        seen.open("/aging")
        shades.append(np.mean(cv2.imread(str(seen.screenshot("queues-empty")))))
    seen.dark(False)
    assert shades[0] > 200 > 60 > shades[1]
