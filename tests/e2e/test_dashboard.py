"""Flower as `agewell up` starts it, over plain HTTP: its logins and its pages."""

import base64
import json
import re
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import psutil
import pytest
from flower.urls import handlers as flower_handlers

from agewell.workers.jobs.recorded_inputs import unpack
from agewell.workers.monitoring.dashboard.pages import HANDLERS
from tests.support.held_tenants import waiting_jobs
from tests.support.image_files import file_of
from tests.support.messages import good_job, hsv_job, inline, send, stored
from tests.support.pixels import expected_hsv
from tests.support.stack import READY_TIMEOUT_S, Stack, agewell, environment, until
from tests.support.watched import LOGIN, PASSWORD, PREFIX, USER, Answer, basic, flower, get

OPEN = "/healthcheck"


def _pattern(handler) -> str:
    return handler.regex.pattern.rstrip("$") if hasattr(handler, "regex") else handler[0]


def _address(pattern: str) -> str:
    """Some address that a pattern takes."""
    return re.sub(r"\([^()]*\)", "1", pattern).replace("/?", "/").replace(".*", "/nothing-here")


ADDRESSES = sorted({_address(_pattern(each)) for each in [*flower_handlers, *HANDLERS]} - {OPEN})

WRONG = {
    "nothing": None,
    "a wrong password": basic(f"{USER}:wrong"),
    "a part of the password": basic(f"{USER}:{PASSWORD[:-1]}"),
    "a wrong user": basic(f"admin:{PASSWORD}"),
    "no user": basic(f":{PASSWORD}"),
    "an empty login": basic(""),
    "letters outside of ASCII": basic("agewell:pässword"),
    "no base64": "Basic ###",
    "another scheme": "Bearer " + LOGIN.split()[1],
    "the scheme alone": "Basic",
}


def test_there_are_addresses_of_flowers_and_of_ours_to_try():
    assert {"/", "/tasks", "/metrics", "/api/workers", "/aging", "/static/1"} <= set(ADDRESSES)


@pytest.mark.parametrize("given", WRONG.values(), ids=WRONG)
def test_every_address_needs_the_password(watched: Stack, given):
    url = watched.running.flower_url
    root = url.removesuffix(PREFIX)
    for address in [*(url + each for each in ADDRESSES), root, root + "metrics"]:
        answer = get(address, given)
        assert (address, answer.status) == (address, 401)
        assert answer.text == "A user name and a password are needed.\n"
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_no_method_goes_around_the_password(watched: Stack, method):
    for address in ("/api/worker/shutdown/cv@x", "/api/tasks", "/metrics", "/aging/data"):
        assert flower(watched, address, authorization=None, method=method).status == 401


def test_with_the_password_the_pages_are_there(watched: Stack):
    for address in ("/", "/workers", "/tasks", "/broker", "/aging", "/api/workers", "/metrics"):
        assert (address, flower(watched, address).status) == (address, 200)
    assert flower(watched, "/aging/static/dashboard.js").text.startswith('"use strict"')


def test_the_health_check_is_open_and_says_nothing(watched: Stack):
    assert flower(watched, OPEN, authorization=None).body == b"OK"


def test_a_page_of_another_site_cannot_post(watched: Stack):
    answer = flower(
        watched, "/api/worker/shutdown/cv@x", method="POST", **{"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status == 403


def test_the_password_stands_in_no_command_line_and_in_no_log(watched: Stack):
    commands = [" ".join(each.cmdline()) for each in watched.family]
    assert any("agewell.workers.monitoring.dashboard" in each for each in commands)
    logs = [path.read_text() for path in (watched.state_dir / "logs").iterdir()]
    for text in [*commands, *logs, watched.log, str(watched.running)]:
        assert PASSWORD not in text
        assert LOGIN.split()[1] not in text


def test_without_a_password_only_names_of_this_machine_are_answered_to(stack: Stack):
    url = stack.running.flower_url
    assert get(url + "/", None).status == 200
    assert get(url + "/aging", None, Host="localhost").status == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""):
        assert (host, get(url + "/aging/data", None, Host=host).status) == (host, 403)
    assert get(url + "/api/workers", None).status == 401


def publish_event(stack: Stack, **fields: object) -> None:
    """An event as a worker sends it, but for some of its fields."""
    event = {
        "type": "worker-heartbeat", "hostname": "other@host", "timestamp": time.time(), "pid": 1,
        "utcoffset": 0, "clock": 1, "freq": 2.0, "active": 0, "processed": 0, "loadavg": [0, 0, 0],
    } | fields  # fmt: skip
    message = {
        "body": base64.b64encode(json.dumps(event).encode()).decode(),
        "headers": {"hostname": event["hostname"]},
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "properties": {
            "delivery_tag": "1",
            "body_encoding": "base64",
            "delivery_info": {"exchange": "celeryev", "routing_key": "worker.heartbeat"},
        },
    }
    assert stack.redis.publish("/0.celeryev/worker.heartbeat", json.dumps(message))


def test_events_that_celery_never_sends_spoil_no_page(stack: Stack):
    for name in ("hostname", "timestamp", "clock", "pid", "type", "active"):
        for value in (5, "x", [], {}, -1e13, 1e308, float("nan"), 10**400, True):
            publish_event(stack, **{name: value})
    publish_event(stack, hostname="last@host")
    url = stack.running.flower_url
    until(lambda: "last@host" in get(url + "/workers", None).text, 30, lambda: get(url, None).text)
    assert [get(url + page, None).status for page in ("/", "/tasks", "/aging")] == [200] * 3


DASHBOARD = "agewell.workers.monitoring.dashboard"


@pytest.mark.parametrize("program", ["agewell up", f"python -m {DASHBOARD}"])
def test_flower_on_a_network_does_not_start_without_a_password(short_path, program):
    env = environment(short_path, FLOWER_HOST="0.0.0.0", REDIS_URL="redis://127.0.0.1:1")
    if program == "agewell up":
        done = agewell("up", env=env)
        assert done.returncode == 2
    else:
        command = [sys.executable, "-m", "agewell.workers.monitoring.dashboard"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
    assert "AGEWELL_FLOWER_PASSWORD: must be set" in done.stderr


def _info(stack: Stack, job_id: str) -> dict:
    answer = flower(stack, f"/api/task/info/{job_id}")
    return answer.json() if answer.status == 200 else {}


def _wait_for_flower(stack: Stack, job_id: str, state: str) -> dict:
    """Flower's facts about a task, once it knows of this state."""
    return until(
        lambda: (found := _info(stack, job_id)).get("state") == state and found,
        READY_TIMEOUT_S,
        lambda: _info(stack, job_id),
    )


def test_a_job_reads_well_in_flower(watched: Stack, small_folder):
    [job_id] = watched.enqueue("hsv", small_folder, "--priority", "low")
    found = _wait_for_flower(watched, job_id, "SUCCESS")
    assert (found["name"], found["args"]) == ("cv.hsv", "hsv: 0.png and 7 more, level 7")


def test_flower_shows_no_bytes_of_any_senders_image(watched: Stack):
    job = good_job()
    body = job["items"][0]["image"]["uri"].partition("base64,")[2]
    sent = watched.celery.send_task("cv.hsv", args=[job], queue="cv", argsrepr=repr([job]))
    job_id = sent.id
    _wait_for_flower(watched, job_id, "SUCCESS")
    shown = flower(watched, f"/api/task/info/{job_id}").text
    assert "data:image/png;base64,..." in shown
    for each in (shown, flower(watched, f"/task/{job_id}").text):
        assert body[:24] not in each


def test_upkeep_does_not_fill_flowers_list_of_tasks(watched: Stack):
    until(lambda: watched.redis.hget("agewell:aging:cv", "calls"), 60, lambda: "a sweep")
    names = {each["name"] for each in flower(watched, "/api/tasks").json().values()}
    assert {name.partition(".")[0] for name in names} <= {"cv", "infer"}


def test_flower_remembers_its_tasks_when_it_starts_again(watched: Stack, small_folder):
    [job_id] = watched.enqueue("hsv", small_folder)
    _wait_for_flower(watched, job_id, "SUCCESS")
    [process] = [each for each in watched.family if DASHBOARD in each.cmdline()]
    process.send_signal(signal.SIGTERM)
    psutil.wait_procs([process], timeout=30)
    assert not process.is_running()
    until(lambda: _answers(watched), READY_TIMEOUT_S, lambda: watched.log)
    assert _info(watched, job_id)["state"] == "SUCCESS"


def _answers(stack: Stack) -> bool:
    try:
        return flower(stack, OPEN).status == 200
    except OSError:
        return False


def test_the_page_of_a_job_shows_small_pictures_of_its_images(watched: Stack, photos):
    photo = photos / "morskie-oko.jpg"
    [job_id] = watched.enqueue("hsv", photo)
    watched.wait_ended([job_id])
    colours = cv2.imread(str(photo))
    _shows(flower(watched, f"/job/{job_id}/0/image"), colours)
    _shows(flower(watched, f"/job/{job_id}/0/result"), expected_hsv(photo.read_bytes()))
    assert flower(watched, f"/job/{job_id}/1/image").status == 404
    assert flower(watched, f"/job/{job_id}/1/result").status == 404


def _shows(answer: Answer, whole: np.ndarray) -> None:
    """See that a thumbnail is that of an image."""
    assert answer.headers["Content-Type"] == "image/webp"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    shown = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
    assert max(shown.shape) == 320
    small = cv2.resize(whole, shown.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(shown.astype(int) - small).mean() < 8  # WebP keeps colours at half the size


def test_task_that_is_no_job_has_no_page(watched: Stack):
    for path in ("/job/nosuch", "/job/nosuch/0/result", "/job/nosuch?data=1"):
        assert flower(watched, path).status == 404


def test_a_job_page_shows_the_text_of_an_error_and_of_a_name_as_text(watched: Stack):
    name = "<script>alert(1)</script>.png"
    bad = inline(b"no image at all", name)
    job_id = send(watched, "cv.hsv", hsv_job(bad, inline(file_of("PNG"), name)))
    watched.wait_ended([job_id])
    page = flower(watched, f"/job/{job_id}").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_of_many_items_the_page_shows_the_first_inputs_and_every_result(watched: Stack, tmp_path):
    for number in range(11):
        values = np.full((8, 8, 3), 20 * number, np.uint8)
        cv2.imwrite(str(tmp_path / f"{number:02}.png"), values)
    [job_id] = watched.enqueue("hsv", tmp_path)
    watched.wait_ended([job_id])
    statuses = [
        flower(watched, f"/job/{job_id}/{place}").status for place in ("7/image", "8/image")
    ]
    assert statuses == [200, 404]
    shown = flower(watched, f"/job/{job_id}/7/image").body
    assert cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_COLOR).mean() == pytest.approx(
        140, abs=3
    )
    assert flower(watched, f"/job/{job_id}/10/result").status == 200


def test_of_an_image_that_came_inside_the_message_only_the_name_is_kept(watched: Stack):
    data = file_of("PNG")
    job_id = send(watched, "cv.hsv", hsv_job(inline(data, "inside.png")))
    watched.wait_ended([job_id])
    assert "inside.png" in flower(watched, f"/job/{job_id}").text
    assert flower(watched, f"/job/{job_id}/0/image").status == 404
    kept = watched.redis.hget(f"agewell:job:{job_id}", "inputs1")
    assert unpack(kept).items == [{"image": {"name": "inside.png"}}]


def test_an_image_that_has_expired_has_no_thumbnail(watched: Stack):
    job_id = send(watched, "cv.hsv", hsv_job(stored(watched, file_of("PNG"))))
    watched.wait_ended([job_id])
    assert flower(watched, f"/job/{job_id}/0/result").status == 200
    blobs = watched.state_dir / "blobs"
    result = watched.celery.AsyncResult(job_id).result["items"][0]["image"]["uri"]
    place = result.removeprefix("store:").partition("+")[0]
    (blobs / place[:2] / place).unlink()
    assert flower(watched, f"/job/{job_id}/0/result").status == 404


def test_the_data_of_the_queues_page_has_the_largest_tenants(watched: Stack):
    def shown() -> list[dict]:
        queues = flower(watched, "/aging/data").json()["queues"]
        return [each for queue in queues for each in queue["tenants"]]

    with waiting_jobs(watched, "slow", 3):
        until(lambda: [each["waiting"] for each in shown()] == [3], 30, shown)
        [slow] = shown()
        assert (slow["tenant"], slow["weight"], slow["running"]) == ("slow", 2, 0)
    until(lambda: shown() == [], 30, shown)


def test_the_queues_page_has_samples_of_each_window(watched: Stack):
    def samples(query: str) -> list[dict]:
        return flower(watched, f"/aging/data{query}").json()["samples"]

    until(lambda: len(samples("")) >= 3, 30, lambda: samples(""))
    for window in (600, 3600, 86_400):
        found = flower(watched, f"/aging/data?window={window}").json()
        times = [each["at"] for each in found["samples"]]
        assert len(times) >= 2
        assert times == sorted(set(times))
        assert found["window_s"] == window
        later = samples(f"?window={window}&after={times[-2]}")
        assert later[0]["at"] == times[-1] or window > 600
    for wrong in ("?window=5", "?window=x", "?window=", "?after=x"):
        assert flower(watched, f"/aging/data{wrong}").status == 400


def test_everything_that_a_page_loads_is_served_here(watched: Stack):
    page = flower(watched, "/aging").text
    loaded = re.findall(r'<(?:script|link)[^>]* (?:src|href)="([^"]+)"', page)
    assert len(loaded) >= 3
    assert all(each.startswith(f"/{PREFIX}/") for each in loaded)


def test_the_login_is_that_of_rfc_7617():
    assert basic("Aladdin:open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert base64.b64decode(LOGIN.split()[1]).decode() == f"{USER}:{PASSWORD}"
