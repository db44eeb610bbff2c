"""stdout and stderr, read by a program and by a person."""

import json
import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

from tests.support.stack import COMMAND, Stack

ESCAPE = "\x1b"


def on_a_terminal(stack: Stack, *args: object, **environment: str) -> str:
    """The output of a command in a terminal of 100 columns, stdout and stderr together."""
    ours, theirs = pty.openpty()
    inherited = {key: value for key, value in stack.env.items() if key != "NO_COLOR"}
    env = inherited | {"TERM": "xterm-256color", "COLUMNS": "100"} | environment
    process = subprocess.Popen(
        [str(COMMAND), *map(str, args)], env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:  # what Linux says when the last writer has gone
        pass
    finally:
        os.close(ours)
    process.wait(60)
    return written.decode()


def test_piped_output_is_plain(stack: Stack, photos: Path, tmp_path: Path):
    commands = [
        ["enqueue", "hsv", photos / "bird.jpg", "--out", tmp_path],
        ["enqueue", "hsv", tmp_path / "missing.jpg"],
        ["queues"],
        ["enqueue", "blend", "--help"],
        ["enqueue", "blend", "a.png"],
    ]
    for command in commands:
        done = stack.run(*command)
        assert done.stdout + done.stderr
        assert ESCAPE not in done.stdout + done.stderr, command


def test_results_go_to_stdout_and_all_else_to_stderr(stack: Stack, photos: Path, tmp_path: Path):
    done = stack.run("enqueue", "hsv", photos / "bird.jpg", tmp_path / "missing.jpg", "--json")
    [document] = [json.loads(line) for line in done.stdout.splitlines()]
    assert document["images"] == 1
    assert "missing.jpg" in done.stderr
    stack.wait_ended([document["id"]])


def test_supervisor_writes_plain_single_lines(stack: Stack):
    assert ESCAPE not in stack.log
    lines = stack.log.splitlines()
    for name in ("redis", "cv worker", "upkeep worker", "beat", "flower", "agewell"):
        assert any(line.strip().startswith(f"{name}  ") for line in lines), name


def test_a_terminal_gets_colours_unless_no_color_is_set(stack: Stack):
    coloured = on_a_terminal(stack, "status", "no-such-job")
    assert f"{ESCAPE}[1;31merror:" in coloured
    plain = on_a_terminal(stack, "status", "no-such-job", NO_COLOR="1")
    assert "no-such-job is unknown" in plain
    assert f"{ESCAPE}[1;31m" not in plain
    assert f"{ESCAPE}[31m" not in plain


def test_a_terminal_sees_progress_and_a_summary(stack: Stack, photos: Path, tmp_path: Path):
    seen = on_a_terminal(stack, "enqueue", "hsv", photos, "--out", tmp_path / "out")
    for word in ("sent", "done", "images", "images/s"):
        assert word in seen
    assert len(list((tmp_path / "out").iterdir())) == 20


def test_a_terminal_gets_a_few_ids_and_the_name_of_a_file_with_all(
    stack: Stack, small_folder: Path
):
    for number in range(8, 12):
        shutil.copy(small_folder / "0.png", small_folder / f"{number}.png")
    seen = on_a_terminal(stack, "enqueue", "hsv", small_folder, "--images-per-job", 1)
    [(more, kept)] = re.findall(r"\.\.\. and (\d+) more \(all in (.*?)\)", seen.replace("\r\n", ""))
    ids = Path(kept).read_text().split()
    assert (more, len(set(ids))) == ("2", 12)
    assert set(stack.states(ids)) <= {"waiting", "running", "done"}
    assert all(job_id in seen for job_id in ids[:10])
