"""Manners of every command: an example, --json, a guess at the word behind a typo."""

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from agewell.producer.cli.main import app

ROOT: Any = typer.main.get_command(app)


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(leaves(ROOT))
IDS = [" ".join(path) for path in COMMANDS]


@pytest.mark.parametrize("path", COMMANDS, ids=IDS)
def test_every_command_has_an_example_that_it_takes(path: tuple[str, ...]):
    _, _, example = COMMANDS[path].help.partition("Example: ")
    words = shlex.split(" ".join(example.split()))
    start = words.index("agewell") if words[0] != "agewell" else 0
    arguments = [*words[start + 1 :], "|"]
    arguments = arguments[: arguments.index("|")]
    command = ROOT
    while hasattr(command, "commands"):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    command.make_context("agewell", list(arguments))  # parses, and runs nothing


def test_help_lists_every_command_the_most_needed_first():
    shown = CliRunner().invoke(app, ["--help"]).output
    listed = ROOT.list_commands(None)
    assert sorted(listed) == sorted(ROOT.commands)
    assert listed[:2] == ["up", "enqueue"]
    places = [shown.index(f"│ {name} ") for name in listed]
    assert places == sorted(places)
    assert shown.index("Run jobs") < shown.index("Watch") < shown.index("Fix")


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_that_of_the_installed_package(option: str):
    done = CliRunner().invoke(app, [option])
    assert done.exit_code == 0
    first, second = done.output.splitlines()
    assert first == f"agewell {version('agewell')}"
    for name in ("celery", "redis"):
        assert f"{name} {version(name)}" in second


PASSED_ON = {("models", "train", "colorizer"), ("models", "train", "digits")}
"""Another program's output, which is progress and a file."""


@pytest.mark.parametrize("path", COMMANDS, ids=IDS)
def test_every_command_speaks_json(path: tuple[str, ...]):
    if path in PASSED_ON:
        return
    assert any("--json" in option.opts for option in COMMANDS[path].params)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["enqeue"], "'enqueue'"),
        (["enqueue", "hvs"], "'hsv'"),
        (["queus"], "'queues'"),
        (["queues", "--jsn"], "--json"),
        (["dokter"], "'doctor'"),
    ],
)
def test_a_typo_is_answered_with_a_guess(typed: list[str], meant: str):
    done = CliRunner().invoke(app, typed)
    assert done.exit_code == 2
    assert meant in done.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how_to_complete(shell: str):
    environment = {"_AGEWELL_COMPLETE": f"source_{shell}"}
    done = CliRunner().invoke(app, [], env=environment, prog_name="agewell")
    assert "agewell" in done.output
    assert "_AGEWELL_COMPLETE=complete_" + shell in done.output


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("agewell enq", "enqueue"),
        ("agewell enqueue p", "poisson"),
        ("agewell queues --j", "--json"),
        ("agewell enqueue hsv --priority bu", "bulk"),
    ],
)
def test_half_typed_word_is_completed(line: str, offers: str):
    environment = {
        "_AGEWELL_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
    }
    done = CliRunner().invoke(app, [], env=environment, prog_name="agewell")
    assert offers in done.output.split()


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("enqueue hsv a.png --images-per-job 0", "must be at least 1, found '0'"),
        ("enqueue hsv a.png --images-per-job 65", "must be at most 64, found '65'"),
        ("enqueue hsv a.png --quality best", "must be a whole number, found 'best'"),
        ("enqueue hsv a.png --format jpg", "'jpg' is not one of 'png', 'jpeg', 'webp'"),
        ("enqueue blend a.png b.png --alpha half", "must be a number, found 'half'"),
        ("enqueue poisson a b c --gradient min", "'min' is not one of 'src', 'max', 'avg'"),
        ("jobs --limit 1.5", "must be a whole number, found '1.5'"),
        ("jobs --state asleep", "'asleep' is not one of 'waiting', 'running'"),
        ("simulate --seed x", "must be a whole number, found 'x'"),
        ("models train digits --out o --epochs 0", "must be at least 1, found '0'"),
    ],
)
def test_a_bad_value_of_an_option_is_told_in_plain_words(typed: str, reason: str):
    done = CliRunner().invoke(app, shlex.split(typed), env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert reason in done.output
    assert "Value error" not in done.output


INTERRUPTED_WHILE_IT_IMPORTS = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupt())
from agewell.producer.__main__ import main
main()
"""


def test_ctrl_c_while_the_command_starts_shows_no_trace():
    program = [sys.executable, "-c", INTERRUPTED_WHILE_IT_IMPORTS]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
