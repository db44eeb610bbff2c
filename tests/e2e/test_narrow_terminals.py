"""Lists fit a terminal of 80 or 60 columns, and ids can be copied from them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from wcwidth import wcswidth

from agewell.shared.queue.dead_letters import DeadLetters
from tests.support.messages import hsv_job, inline
from tests.support.stack import Stack
from tests.support.terminal import on_terminal

LONG = "写真の夏休み" * 20 + ".jpg"


@pytest.fixture(scope="module")
def failed(stack: Stack) -> Iterator[list[str]]:
    """Jobs that failed with long errors, one of them among the dead letters as well."""
    job, tenant = hsv_job(inline(b"no image", LONG)), {"tenant": "the-vision-group/ana.maria"}
    sent = [
        stack.celery.send_task("cv.hsv", args=[job], queue="cv", headers=tenant) for _ in range(3)
    ]
    ids = [each.id for each in sent]
    stack.wait_ended(ids)
    letters = DeadLetters(stack.redis)
    job = {"task": "cv.poisson_blend", "args": [{}], "kwargs": {}, "options": {}}
    letters.keep_job(ids[0], "cv", job, 5, f"{LONG}: still failing", "")
    yield ids
    letters.drop(ids[0])


@pytest.mark.parametrize("columns", [80, 60])
def test_every_list_fits_the_terminal(stack: Stack, failed: list[str], columns: int):
    for command in (["jobs"], ["status", *failed], ["queues"], ["aging"], ["dead", "list"],
                    ["models", "list"], ["doctor"], ["--help"]):  # fmt: skip
        lines = on_terminal(*command, columns=columns, env=stack.env)
        assert max(map(wcswidth, lines)) <= columns, "\n".join(lines)
        assert "tenant" not in lines[0].split(), "the column of tenants makes room first"
        shown = {"jobs": failed, "status": failed, "dead": failed[:1]}.get(command[0], [])
        for job_id in shown:
            [line] = [line for line in lines if line.startswith(job_id)]
            assert "写真" in line


@pytest.mark.parametrize("flags", [(), ("--wait",)])
def test_the_progress_bar_makes_room_for_each_line_of_results(
    stack: Stack, small_folder: Path, flags: tuple[str, ...]
):
    command = ("enqueue", "hsv", small_folder, "--images-per-job", 2, "--json", *flags)
    lines = on_terminal(*command, columns=80, env=stack.env)
    documents = [line.rpartition("\r")[2] for line in lines if '"state"' in line]
    assert [json.loads(each)["state"] for each in documents] == ["done" if flags else "waiting"] * 4


def test_top_asks_for_a_terminal_or_json(stack: Stack):
    done = stack.run("top")
    assert done.returncode == 2
    assert "a terminal, or --json" in done.stderr


def test_a_pipe_has_the_whole_error_on_the_jobs_line(stack: Stack, failed: list[str]):
    lines = stack.ok("jobs").stdout.splitlines()
    [line] = [line for line in lines if failed[0] in line]
    assert "tenant" in lines[0].split()
    assert "the-vision-group/ana.maria" in line.split()
    assert LONG in line
    assert "not JPEG" in line or "JPEG" in line
