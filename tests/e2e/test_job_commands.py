"""Commands for jobs: status, result, queues, names of outputs, JSON."""

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.messages import good_job
from tests.support.stack import Stack, until


def test_json_is_one_document_a_job_on_stdout(stack: Stack, small_folder: Path, tmp_path: Path):
    out = tmp_path / "out"
    done = stack.ok(
        "enqueue", "hsv", small_folder, "--images-per-job", 3, "--json", "--out", out
    )  # fmt: skip
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert [document["state"] for document in documents] == ["done"] * 3
    assert sorted(len(document["items"]) for document in documents) == [2, 3, 3]
    files = [Path(file) for document in documents for file in document["files"]]
    assert sorted(files) == sorted(out.iterdir())
    for document in documents:
        assert [item["image"]["name"] for item in document["items"]] == [
            Path(file).name for file in document["files"]
        ]


def test_without_wait_the_ids_are_printed_one_a_line(stack: Stack, small_folder: Path):
    done = stack.ok("enqueue", "hsv", small_folder, "--images-per-job", 1)
    ids = done.stdout.splitlines()
    assert len(set(ids)) == 8
    assert all(job["state"] == "done" for job in stack.wait_ended(ids))


def test_images_per_job_decides_how_many_jobs_there_are(stack: Stack, small_folder: Path):
    ids = stack.enqueue("hsv", small_folder, "--images-per-job", 3)
    assert [job["items"] for job in stack.wait_ended(ids)] == [3, 3, 2]
    assert len(stack.enqueue("hsv", small_folder)) == 1, "small images share a job by default"
    for outside in (0, 65):
        assert (
            stack.run("enqueue", "hsv", small_folder, "--images-per-job", outside).returncode == 2
        )


def test_files_of_one_name_from_two_folders_are_both_written(
    stack: Stack, two_folders: tuple[Path, Path], tmp_path: Path
):
    out = tmp_path / "out"
    stack.ok("enqueue", "hsv", *two_folders, "--images-per-job", 1, "--out", out)
    names = {"photo.hsv.png", "photo.hsv-2.png"}
    assert {path.name for path in out.iterdir()} == names
    expected = [
        cv2.cvtColor(cv2.imread(str(folder / "photo.jpg")), cv2.COLOR_BGR2HSV)
        for folder in two_folders
    ]
    found = [cv2.imread(str(out / name)) for name in names]
    for image in expected:
        assert any(np.array_equal(image, other) for other in found)


def test_results_keep_their_place_below_the_folder(stack: Stack, photos: Path, tmp_path: Path):
    deep = tmp_path / "photos" / "trip" / "day one"
    deep.mkdir(parents=True)
    (deep / "bird.jpg").write_bytes((photos / "bird.jpg").read_bytes())
    stack.ok("enqueue", "hsv", tmp_path / "photos", "--out", tmp_path / "out")
    assert (tmp_path / "out" / "trip" / "day one" / "bird.hsv.png").is_file()


def test_status_tells_how_a_job_went(stack: Stack, small_folder: Path):
    [job_id] = stack.enqueue("hsv", small_folder, "--priority", "low")
    stack.wait_ended([job_id])
    [job] = stack.documents("status", job_id)
    assert (job["id"], job["op"], job["state"], job["level"]) == (job_id, "hsv", "done", 7)
    assert (job["items"], job["items_failed"]) == (8, 0)
    assert job["enqueued_at"] <= job["started_at"] <= job["ended_at"]
    table = stack.ok("status", job_id).stdout
    for word in (job_id, "hsv", "7 low", "done"):
        assert word in table


def test_jobs_and_status_show_the_tenant(stack: Stack, small_folder: Path):
    ids = {
        name: stack.enqueue("hsv", small_folder, *option)
        for name, option in {"lab/ana": ("--tenant", "lab/ana"), "": ()}.items()
    }
    stack.wait_ended([job_id for found in ids.values() for job_id in found])
    [job_id] = ids["lab/ana"]
    assert [job["tenant"] for job in stack.documents("status", job_id, *ids[""])] == ["lab/ana", ""]
    assert "lab/ana" in stack.ok("status", job_id).stdout.split()
    assert "tenant" not in stack.ok("status", *ids[""]).stdout
    for tenant in ("lab/ana", "lab"):
        assert [job["id"] for job in stack.documents("jobs", "--tenant", tenant)] == [job_id]
    assert stack.documents("jobs", "--tenant", "lab/ben") == []
    wrong = stack.run("jobs", "--tenant", "a b")
    assert wrong.returncode == 2
    assert "tenant is 'a b'; allowed: 1 to 64" in wrong.stderr


def _send_for_later(stack: Stack, countdown_s: int) -> str:
    job_id: str = stack.celery.send_task(
        "cv.hsv", args=[good_job()], queue="cv", countdown=countdown_s
    ).id
    return job_id


def test_a_scheduled_job_is_shown_with_its_time(stack: Stack):
    due_at = time.time() + 3600
    job_id = _send_for_later(stack, 3600)
    until(lambda: stack.states([job_id]) == ["waiting"], 10, lambda: f"{job_id} is admitted")
    [job] = stack.documents("status", job_id)
    assert (job["state"], job["started_at"]) == ("waiting", None)
    assert job["due_at"] == pytest.approx(due_at, abs=5)
    for command in (["status", job_id], ["jobs", "--state", "waiting"]):
        [line] = [each for each in stack.ok(*command).stdout.splitlines() if job_id in each]
        assert "due in 59 min" in line
    queues = {each["queue"]: each for each in stack.documents("queues")}
    assert {name: each["scheduled"] for name, each in queues.items()} == {
        "cv": 1,
        "infer": 0,
        "upkeep": 0,
    }
    [head, *lines] = stack.ok("queues").stdout.splitlines()
    assert head.split()[-1] == "scheduled"
    assert {line.split()[0]: line.split()[-1] for line in lines}["cv"] == "1"
    stack.ok("cancel", job_id)
    assert stack.states([job_id]) == ["cancelled"]


def test_a_job_sent_for_later_starts_at_its_time(stack: Stack):
    due_at = time.time() + 2
    [job] = stack.wait_ended([_send_for_later(stack, 2)])
    assert job["state"] == "done"
    assert due_at <= job["started_at"] <= due_at + 5


def test_an_unknown_job_is_named(stack: Stack):
    for command in (["status"], ["cancel"], ["result", "--out", "nowhere"]):
        done = stack.run(*command, "no-such-job")
        assert done.returncode == 1
        assert "no-such-job is unknown" in done.stderr
    assert not Path("nowhere").exists()


def test_result_writes_one_image_to_a_file_as_often_as_asked(
    stack: Stack, photos: Path, tmp_path: Path
):
    [job_id] = stack.enqueue("hsv", photos / "bird.jpg")
    stack.wait_ended([job_id])
    expected = cv2.cvtColor(cv2.imread(str(photos / "bird.jpg")), cv2.COLOR_BGR2HSV)
    for out in (tmp_path / "mine.png", tmp_path / "again.png"):
        done = stack.ok("result", job_id, "--out", out)
        assert done.stdout.strip() == str(out)
        np.testing.assert_array_equal(cv2.imread(str(out)), expected)


def test_result_writes_one_image_into_a_folder_that_is_not_there_yet(
    stack: Stack, photos: Path, tmp_path: Path
):
    [job_id] = stack.enqueue("hsv", photos / "bird.jpg")
    stack.wait_ended([job_id])
    done = stack.ok("result", job_id, "--out", f"{tmp_path}/results/")
    assert done.stdout.splitlines() == [f"{tmp_path}/results/bird.hsv.png"]
    assert (tmp_path / "results" / "bird.hsv.png").is_file()


def test_result_writes_several_images_to_a_folder(stack: Stack, small_folder: Path, tmp_path: Path):
    [job_id] = stack.enqueue("hsv", small_folder)
    stack.wait_ended([job_id])
    out = tmp_path / "out"
    [document] = stack.documents("result", job_id, "--out", out)
    assert [Path(file).name for file in document["files"]] == [f"{n}.hsv.png" for n in range(8)]
    for number in range(8):
        expected = cv2.cvtColor(
            cv2.imread(str(small_folder / f"{number}.png")), cv2.COLOR_BGR2HSV
        )  # fmt: skip
        np.testing.assert_array_equal(cv2.imread(str(out / f"{number}.hsv.png")), expected)


def test_result_of_a_running_job_is_not_there_yet(stack: Stack, long_job: str, tmp_path: Path):
    done = stack.run("result", long_job, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "no result yet: running" in done.stderr


def test_queues_counts_waiting_jobs_as_redis_does(stack: Stack, long_job: str, small_folder: Path):
    ids = [
        job_id
        for level in ("0", "bulk")
        for job_id in stack.enqueue("hsv", small_folder, "-p", level, "--images-per-job", 2)
    ]

    def read() -> dict | None:
        # Waiting jobs may climb meanwhile: only what was the same before and after is compared.
        lengths = stack.waiting()
        [found] = [each for each in stack.documents("queues") if each["queue"] == "cv"]
        same = lengths == stack.waiting()
        return found | {"lengths": lengths} if same else None

    queue = until(read, 30, lambda: "no job climbs for a moment")
    assert [level["waiting"] for level in queue["levels"]] == queue["lengths"]
    assert sum(queue["lengths"]) == 8
    assert queue["reserved"] == 1
    assert all(0 <= level["oldest_wait_s"] < 60 for level in queue["levels"] if level["waiting"])
    stack.ok("cancel", *ids)


def test_simulate_takes_rates_times_and_workers_from_the_running_system(
    stack: Stack, small_folder: Path
):
    for level in ("urgent", "normal", "bulk"):
        command = ("hsv", small_folder, "--priority", level, "--images-per-job", 1)
        stack.wait_ended(stack.enqueue(*command))

    def simulate() -> list[dict]:
        # A worker on a busy machine may answer too late.
        return stack.documents("simulate", "--measured", "cv", "--jobs", 1000)

    [found] = until(simulate, 60, lambda: stack.run("simulate", "--measured", "cv").stderr)
    assert found["workers"] == 1
    assert found["load"] > 0
    assert {0, 5, 9} <= {waits["level"] for waits in found["waits_s"]}


def test_the_queues_table_shows_the_levels_that_hold_jobs(
    stack: Stack, long_job: str, small_folder: Path
):
    ids = stack.enqueue("hsv", small_folder, "--priority", "urgent", "--images-per-job", 2)
    [row] = [line for line in stack.ok("queues").stdout.splitlines() if line.startswith("cv ")]
    assert row.split()[:4] == ["cv", "0", "urgent", "4"]
    stack.ok("cancel", *ids)


@pytest.mark.parametrize(("spelling", "level"), [("urgent", 0), ("bulk", 9), ("4", 4)])
def test_a_priority_is_a_name_or_a_digit(stack: Stack, photos: Path, spelling: str, level: int):
    ids = stack.enqueue("hsv", photos / "bird.jpg", "--priority", spelling)
    assert [job["level"] for job in stack.wait_ended(ids)] == [level]
