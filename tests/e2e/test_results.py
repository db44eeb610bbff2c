"""Results and ids survive: names decided before sending, one failure costs one file."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.stack import COMMAND, Stack, until


@pytest.fixture
def grays(tmp_path: Path) -> Path:
    """Pairs of masks and photos. Both of number n have the gray 20 n."""
    for number in range(1, 13):
        for name in (f"masks/{number}_mask.png", f"photos/{number}.png"):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), np.full((8, 8, 3), 20 * number, np.uint8))
    return tmp_path


def test_globs_make_the_pairs_that_json_names(stack: Stack, grays: Path):
    masks, photos, out = f"{grays}/masks/*.png", f"{grays}/photos/*.png", grays / "out"
    command = ("enqueue", "blend", masks, photos, "--alpha", 0.5, "--out", out)
    (grays / "masks/3_mask.png").write_bytes(b"not an image")
    done = stack.run(*command, "--json")
    assert done.returncode == 1
    assert f"{grays}/masks/3_mask.png: not JPEG" in done.stderr
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    named = [pair for document in documents for pair in document["inputs"]]
    assert named == [
        {
            "foreground": f"{grays}/masks/{number}_mask.png",
            "background": f"{grays}/photos/{number}.png",
        }
        for number in range(1, 13)
        if number != 3
    ]
    for number in (1, 2, 10, 12):
        blended = cv2.imread(str(out / f"{number}_mask.alpha_blend.png"))
        assert set(blended.flat) == {20 * number}


def test_different_numbers_of_files_send_nothing(stack: Stack, grays: Path):
    (grays / "masks/12_mask.png").unlink()
    masks, photos = f"{grays}/masks/*.png", f"{grays}/photos"
    done = stack.run("enqueue", "blend", masks, photos, "--alpha", 0.5)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{masks}: has 11 files, but {photos} has 12" in done.stderr


def test_a_result_that_cannot_be_written_stops_no_other(stack: Stack, grays: Path):
    out = grays / "out"
    long_name = "z" * 247 + ".png"
    shutil.copy(grays / "photos/1.png", grays / "photos" / long_name)
    (out / "2.hsv.png").mkdir(parents=True)
    done = stack.run(
        *("enqueue", "hsv", grays / "photos", "--images-per-job", 1),
        *("--out", out, "--overwrite", "--json"),
    )
    assert done.returncode == 1
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    [failed] = [each for each in documents if each["not_written"]]
    assert failed["not_written"][0]["file"] == str(out / "2.hsv.png")
    assert f"job {failed['id']}: {out}/2.hsv.png not written: Is a directory" in done.stderr
    written = {path.name for path in out.iterdir() if path.is_file()}
    assert {f"{number}.hsv.png" for number in range(1, 13) if number != 2} < written
    [long_result] = [name for name in written if name.startswith("zzz")]
    assert long_result.endswith(".hsv.png")
    assert len(written) == 12
    again = stack.run("result", failed["id"], "--out", grays / "again.png")
    assert again.returncode == 0


def test_results_that_exist_are_neither_lost_nor_made_again(stack: Stack, grays: Path):
    out = grays / "out"
    command = ("enqueue", "hsv", grays / "photos", "--images-per-job", 1, "--out", out)
    stack.ok(*command)
    (out / "5.hsv.png").write_bytes(b"mine")
    (out / "7.hsv.png").unlink()
    refused = stack.run(*command, "--json")
    assert (refused.returncode, refused.stdout) == (2, "")
    for words in (f"{out}/1.hsv.png and 10 more exist", "--overwrite", "--skip-existing"):
        assert words in refused.stderr
    resumed = stack.ok(*command, "--skip-existing", "--json")
    [document] = [json.loads(line) for line in resumed.stdout.splitlines()]
    assert document["files"] == [str(out / "7.hsv.png")]
    assert (out / "5.hsv.png").read_bytes() == b"mine"
    stack.ok(*command, "--overwrite")
    assert (out / "5.hsv.png").read_bytes() != b"mine"


@pytest.mark.parametrize("below", ["", "out"])
def test_a_folder_of_results_inside_the_photos_is_not_read(stack: Stack, grays: Path, below: str):
    photos, masks = grays / "photos", grays / "masks"
    hsv = ("enqueue", "hsv", photos, "--out", photos / below)
    blend = ("enqueue", "blend", masks, photos, "--alpha", 0.5, "--out", photos / below / "blend")
    stack.ok(*blend)
    again = stack.ok(*blend, "--skip-existing", "--json")
    assert again.stdout == ""
    shutil.rmtree(photos / below / "blend")
    stack.ok(*hsv)
    assert stack.ok(*hsv, "--skip-existing", "--json").stdout == ""


def test_results_of_two_jobs_do_not_overwrite_each_other(stack: Stack, grays: Path, tmp_path: Path):
    first, second = (
        stack.enqueue("hsv", grays / folder / name)[0]
        for folder, name in (("photos", "1.png"), ("photos", "2.png"))
    )
    stack.wait_ended([first, second])
    path = tmp_path / "mine.png"
    for _ in range(2):
        stack.ok("result", first, "--out", path)
    kept = path.read_bytes()
    refused = stack.run("result", second, "--out", path)
    assert refused.returncode == 1
    assert f"job {second}: {path} not written: exists already" in refused.stderr
    assert path.read_bytes() == kept
    stack.ok("result", second, "--out", path, "--overwrite")
    assert path.read_bytes() != kept


def test_a_dry_run_shows_pairs_and_results_and_sends_nothing(stack: Stack, grays: Path):
    for folder in ("a", "b"):
        (grays / folder).mkdir()
    shutil.copy(grays / "photos/1.png", grays / "a/x.png")
    shutil.copy(grays / "photos/2.png", grays / "b/x.jpg")
    # Not upkeep's own jobs, which come and go. Their ids have no hyphens.
    before = set(stack.redis.scan_iter("agewell:job:*-*"))
    files = (grays / "a/x.png", grays / "b/x.jpg")
    done = stack.ok("enqueue", "hsv", *files, "--out", grays / "out", "--dry-run")
    assert done.stdout.splitlines() == [
        f"{grays}/a/x.png -> {grays}/out/x.hsv.png",
        f"{grays}/b/x.jpg -> {grays}/out/x.hsv-2.png",
    ]
    assert not (grays / "out").exists()
    assert set(stack.redis.scan_iter("agewell:job:*-*")) == before
    [job_id] = stack.enqueue("hsv", *files)
    stack.wait_ended([job_id])
    assert [Path(each).name for each in stack.documents(
        "result", job_id, "--out", grays / "later")[0]["files"]
    ] == ["x.hsv.png", "x.hsv-2.png"]  # fmt: skip


def test_an_output_folder_that_cannot_be_made_sends_nothing(stack: Stack, grays: Path):
    (grays / "file").touch()
    done = stack.run("enqueue", "hsv", grays / "photos", "--out", grays / "file" / "out", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--out is {grays}/file/out; allowed: a folder to write into" in done.stderr


def test_unreadable_files_are_named_and_the_others_go_on(stack: Stack, tmp_path: Path):
    for name in (b"ok.png", b"caf\xe9.png", b"evil\x1b[31m.png"):
        cv2.imwrite(str(tmp_path / "ok.png"), np.zeros((8, 8, 3), np.uint8))
        shutil.copy(os.fsencode(tmp_path / "ok.png"), os.fsencode(tmp_path) + b"/in-" + name)
    os.mkfifo(tmp_path / "in-pipe.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "ok.png").unlink()
    patterns = (tmp_path / "empty", tmp_path / "*.gif", tmp_path)
    done = stack.run("enqueue", "hsv", *patterns, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "\x1b" not in done.stderr
    for words in (
        "empty: no image in this folder",
        "*.gif: no file matches",
        r"in-caf\xe9.png: its name is not UTF-8",
        "in-pipe.png: a pipe, not a regular file",
    ):
        assert f"{tmp_path}/{words}" in done.stderr
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == [r"in-evil\x1b[31m.hsv.png", "in-ok.hsv.png"]


IDS_PER_RUN = 12


def ids_in(stack: Stack, text: str) -> list[str]:
    """The ids in a command's output, and in the file that it names."""
    lines = text.splitlines()
    for line in lines:
        _, named, path = line.partition(" are in ")
        if named:
            assert path.startswith(str(stack.state_dir))
            lines = Path(path).read_text().splitlines()
    return [line for line in lines if len(line) == 36]


@pytest.mark.parametrize(
    ("flags", "to"),
    [
        ("", ">&-"),
        ("", "2>&-"),
        ("", "2>/dev/full"),
        ("--json", ">&-"),
        ("--json", ">/dev/full"),
        ("--json", "| head -1"),
        ("--wait", ">&- 2>/dev/full"),
    ],
)
def test_no_id_is_lost_with_the_output(stack: Stack, grays: Path, to: str, flags: str):
    command = f"{COMMAND} enqueue hsv {grays}/photos --images-per-job 1 {flags} {to}"
    env = stack.env | {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    if flags == "--wait":
        assert done.returncode == 0  # nothing had to be printed
        return
    stderr_is_lost = to.startswith("2")
    ids = ids_in(stack, done.stdout if stderr_is_lost else done.stderr)
    if to == "| head -1" and done.returncode == 0:
        return  # all of it went into the pipe before `head` ended
    assert len(set(ids)) == IDS_PER_RUN
    assert all(stack.states(ids))
    assert done.returncode == (0 if stderr_is_lost else 1)


@pytest.fixture
def interrupted(stack: Stack, long_job: str, grays: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that waits for its results, behind a long job."""
    command = [COMMAND, "enqueue", "hsv", grays / "photos", "--images-per-job", "1", "--wait"]

    def waiting() -> int:
        return sum(stack.waiting())

    before = waiting()
    process = subprocess.Popen(
        list(map(str, command)), env=stack.env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip

    until(lambda: waiting() >= before + IDS_PER_RUN, 30, process.poll)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_names_its_open_jobs(
    stack: Stack, interrupted: subprocess.Popen[str], number: signal.Signals
):
    interrupted.send_signal(number)
    stdout, stderr = interrupted.communicate(timeout=30)
    assert interrupted.returncode == 130
    assert "Traceback" not in stderr
    ids = stdout.splitlines()
    assert len(set(ids)) == IDS_PER_RUN
    assert all(stack.states(ids))
    stack.ok("cancel", *ids)
