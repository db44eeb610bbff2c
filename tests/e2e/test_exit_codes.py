"""Exit statuses and error messages of the command."""

import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.stack import Stack, agewell, environment, state_directory

UNREACHABLE_S = 5.0


@pytest.fixture(scope="module")
def nothing_there():
    """The environment of a machine on which no stack runs."""
    with state_directory() as folder:
        yield environment(folder)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


USAGE = {
    "unknown_operation": (["nonesuch", "a.png"], ["nonesuch"]),
    "no_operation": ([], ["Usage"]),
    "bad_priority_name": (["hsv", "a.png", "--priority", "soon"], ["priority", "soon", "urgent"]),
    "priority_past_nine": (["hsv", "a.png", "--priority", "10"], ["priority", "10", "0 to 9"]),
    "alpha_above_one": (
        ["blend", "a.png", "b.png", "--alpha", "1.5"],
        ["1.5", "at most 1"],
    ),
    "negative_alpha": (["blend", "a.png", "b.png", "--alpha", "-0.1"], ["alpha", "-0.1"]),
    "nan_alpha": (["blend", "a.png", "b.png", "--alpha", "nan"], ["alpha", "nan"]),
    "wordy_alpha": (["blend", "a.png", "b.png", "--alpha", "half"], ["--alpha", "number"]),
    "unknown_gradient": (
        ["poisson", "a.png", "b.png", "c.png", "--gradient", "min"],
        ["gradient", "min", "src", "max", "avg"],
    ),
    "bad_offset": (
        ["blend", "a.png", "b.png", "--offset", "20"],
        ["--offset", "20", "2 values"],
    ),
    "fraction_in_offset": (["blend", "a.png", "b.png", "--offset", "1.5,2"], ["--offset", "1.5"]),
    "offset_past_32_bits": (
        ["blend", "a.png", "b.png", "--offset", "2147483648,0", "--dry-run"],
        ["--offset", "2147483648,0", "2147483647"],
    ),
    "place_past_32_bits": (
        ["poisson", "a.png", "b.png", "c.png", "--source-at", "0,-2147483649"],
        ["--source-at", "0,-2147483649", "-2147483648"],
    ),
    "bad_place": (["poisson", "a.png", "b.png", "c.png", "--at", "x,y"], ["--at", "x,y"]),
    "unknown_format": (["hsv", "a.png", "--format", "gif"], ["gif", "png"]),
    "quality_of_png": (["hsv", "a.png", "--quality", "80"], ["--quality", "png"]),
    "quality_past_100": (["hsv", "a.png", "-f", "jpeg", "--quality", "101"], ["--quality", "100"]),
    "no_path": (["hsv"], ["PATH"]),
}


@pytest.fixture(scope="module")
def misused(nothing_there: dict[str, str]) -> dict[str, subprocess.CompletedProcess[str]]:
    """Every wrong usage, run two at a time."""
    with ThreadPoolExecutor(2) as pool:
        done = pool.map(
            lambda args: agewell("enqueue", *args, env=nothing_there),
            [args for args, _ in USAGE.values()],
        )
        return dict(zip(USAGE, done, strict=True))


@pytest.mark.parametrize("usage", USAGE)
def test_wrong_usage_exits_with_2_and_names_the_allowed_values(
    misused: dict[str, subprocess.CompletedProcess[str]], usage: str
):
    done, (_, words) = misused[usage], USAGE[usage]
    assert done.returncode == 2
    for word in words:
        assert word in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "setting", "value"),
    [
        ("up", "CONCURRENCY", "none"),
        ("queues", "MAX_PIXELS", -1),
        ("queues", "REDIS_URL", "http://:secret@localhost"),
    ],
)
def test_a_bad_setting_exits_with_2_and_is_named(
    nothing_there: dict[str, str], command: str, setting: str, value: object
):
    done = agewell(command, env=nothing_there | {f"AGEWELL_{setting}": str(value)})
    assert done.returncode == 2
    assert f"AGEWELL_{setting}" in done.stderr
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["cancel"],
        ["result", "--out", "."],
        ["dead", "show"],
        ["dead", "retry"],
        ["models", "info"],
    ],
)
def test_an_id_or_a_name_that_is_not_utf_8_exits_with_2(stack: Stack, command: list[str]):
    done = stack.run(*command, "\udcff\udcfe")  # the bytes FF FE, which are UTF-8 of nothing
    assert done.returncode == 2
    assert "not UTF-8" in done.stderr


def test_failed_images_are_named_and_the_exit_status_is_1(
    stack: Stack, tmp_path: Path, photos: Path
):
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "good.jpg").write_bytes((photos / "bird.jpg").read_bytes())
    (folder / "cut.jpg").write_bytes((photos / "bird.jpg").read_bytes()[:2000])
    (folder / "letter.jpg").write_text("Dear Sir or Madam,")
    (folder / "nothing.png").touch()
    missing = tmp_path / "missing.jpg"
    done = stack.run("enqueue", "hsv", folder, missing, "--out", tmp_path / "out")
    assert done.returncode == 1
    for name, word in {
        "cut.jpg": "truncated",
        "letter.jpg": "Dear Sir",
        "nothing.png": "empty (0 bytes)",
        "missing.jpg": "no such file",
    }.items():
        assert any(name in line and word in line for line in done.stderr.splitlines()), name
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.hsv.png"]


def test_a_file_past_the_limit_is_refused_before_it_is_sent(stack: Stack, photos: Path):
    done = stack.run("enqueue", "hsv", photos / "bird.jpg", MAX_FILE_BYTES=1000)
    size = (photos / "bird.jpg").stat().st_size
    assert done.returncode == 1
    for word in ("bird.jpg", f"{size:,} bytes", "AGEWELL_MAX_FILE_BYTES is 1,000"):
        assert word in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("pattern", ["", "*.jpg"])
def test_a_folder_or_glob_without_images_exits_with_1(stack: Stack, tmp_path: Path, pattern: str):
    done = stack.run("enqueue", "hsv", tmp_path / pattern)
    assert done.returncode == 1
    assert str(tmp_path / pattern) in done.stderr


def test_unequal_numbers_of_files_exit_with_1(stack: Stack, small_folder: Path, tmp_path: Path):
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    for name in ("0.png", "1.png"):
        (fewer / name).write_bytes((small_folder / name).read_bytes())
    done = stack.run("enqueue", "blend", small_folder, fewer, "--alpha", "0.5")
    assert done.returncode == 1
    assert f"{small_folder}: has 8 files, but {fewer} has 2" in done.stderr
    assert done.stdout == ""


COMMANDS = {
    "enqueue": ["enqueue", "hsv", "a.png"],
    "result": ["result", "some-id", "--out", "a.png"],
}


@pytest.mark.alone
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_without_a_stack_the_exit_status_is_3_within_seconds(
    nothing_there: dict[str, str], command: list[str]
):
    began = time.monotonic()
    done = agewell(*command, env=nothing_there, installed=True)
    assert time.monotonic() - began < UNREACHABLE_S
    assert done.returncode == 3
    for word in (nothing_there["AGEWELL_STATE_DIR"], "agewell up", "AGEWELL_REDIS_URL"):
        assert word in done.stderr


@pytest.mark.alone
@pytest.mark.parametrize("command", [["queues"], ["up"]], ids=["queues", "up"])
def test_a_closed_port_exits_with_3_within_seconds(
    nothing_there: dict[str, str], command: list[str], closed_port: int
):
    url = f"redis://:secret@127.0.0.1:{closed_port}/0"
    began = time.monotonic()
    env = nothing_there | {"AGEWELL_REDIS_URL": url}
    done = agewell(*command, env=env, installed=True)
    assert time.monotonic() - began < UNREACHABLE_S
    assert done.returncode == 3
    assert f"127.0.0.1:{closed_port}" in done.stderr
    assert "agewell up" in done.stderr
    assert "secret" not in done.stderr
