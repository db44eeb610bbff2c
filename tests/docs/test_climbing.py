"""docs/images/climbing.svg is drawn from the run that is kept beside it."""

import importlib.util
import json
import re
from types import ModuleType
from xml.etree import ElementTree

import pytest

from tests.docs.prose import ROOT

IMAGES = ROOT / "docs" / "images"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def climbing() -> ModuleType:
    place = ROOT / "examples" / "climbing.py"
    spec = importlib.util.spec_from_file_location("climbing", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def animated(dot: ElementTree.Element, name: str) -> tuple[list[float], list[float]]:
    """The times, as shares of the whole, and the values of one attribute."""
    [found] = [each for each in dot if each.get("attributeName") == name]
    times, values = (found.get(each).split(";") for each in ("keyTimes", "values"))
    return list(map(float, times)), list(map(float, values))


def dots(picture: str) -> list[ElementTree.Element]:
    return [each for each in ElementTree.fromstring(picture).iter(f"{SVG}circle") if len(each)]


def test_picture_is_drawn_from_the_recorded_run(climbing):
    run = json.loads((IMAGES / "climbing.json").read_text())
    jobs = [climbing.Job(**each) for each in run]
    assert (IMAGES / "climbing.svg").read_text() == climbing.draw(jobs)
    assert sum(job.level == 9 for job in jobs) == climbing.BULK_JOBS


def test_bulk_jobs_of_the_run_overtook_normal_ones_that_came_later(climbing):
    jobs = [climbing.Job(**each) for each in json.loads((IMAGES / "climbing.json").read_text())]
    bulk, normal = ([job for job in jobs if job.level == level] for level in (9, 5))
    overtaken = [
        (each, other)
        for each in bulk
        for other in normal
        if each.started_s < other.started_s and each.enqueued_s < other.enqueued_s
    ]
    assert len({each for each, _ in overtaken}) == len(bulk)


def test_dot_climbs_a_row_for_each_level_and_goes_to_the_worker(climbing):
    waits = 9 / climbing.K_PER_S + 1
    job = climbing.Job(level=9, enqueued_s=1.0, started_s=1.0 + waits, ended_s=3.0 + waits)
    [dot] = dots(climbing.draw([job]))
    times, rows = animated(dot, "cy")
    expected = [climbing.TOP + climbing.ROW * level for level in range(9, -1, -1)]
    assert list(dict.fromkeys(rows)) == [*expected, climbing.WORKER_Y]
    assert (times[0], times[-1], times) == (0.0, 1.0, sorted(times))
    assert animated(dot, "cx")[1][-1] == climbing.WORKER_X
    shown = animated(dot, "opacity")[1]
    assert shown[0] == shown[-1] == 0
    assert max(shown) == 1


def test_dots_that_wait_together_never_share_a_column(climbing):
    jobs = [climbing.Job(9, at, at + 5.0, at + 6.0) for at in (0.0, 0.5, 1.0, 7.0)]
    columns = [float(dot.get("cx")) for dot in dots(climbing.draw(jobs))]
    assert len(set(columns[:3])) == 3
    assert columns[3] == columns[0]


def test_every_animation_has_a_value_for_each_time(climbing):
    jobs = [
        climbing.Job(9, 0.0, 3.0, 4.0),
        climbing.Job(5, 1.0, 4.0, 4.5),
        climbing.Job(0, 3.9, climbing.NEVER_S, climbing.NEVER_S),
    ]
    picture = climbing.draw(jobs)
    found = re.findall(r'keyTimes="([^"]+)" values="([^"]+)"', picture)
    assert len(found) == 3 * len(jobs)
    for times, values in found:
        shares = list(map(float, times.split(";")))
        assert shares == sorted(shares)
        assert (shares[0], shares[-1]) == (0.0, 1.0)
        assert len(shares) == len(values.split(";"))
