"""`agewell simulate`: its output, and options that it refuses."""

import json
import re
import shlex
import sys

import pytest
import typer
from typer.testing import CliRunner

from agewell.producer.cli.main import app
from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.settings import Settings
from tests.support.paths import ROOT

DOCS = ROOT / "docs"
PAGE = (DOCS / "aging.md").read_text()

QUICK = ["--rate", "urgent=2", "--rate", "bulk=8", "--service", "0.095", "--jobs", "3000"]


def run(*arguments):
    return CliRunner().invoke(app, ["simulate", *arguments], env={"COLUMNS": "80"})


def documents(*arguments):
    result = run(*QUICK, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_three_orders_are_compared_on_the_same_jobs():
    strict, aging, fifo = documents("--compare", "--k", "2")
    assert [each["order"] for each in (strict, aging, fifo)] == ["strict", "aging", "fifo"]
    assert [each["k_per_s"] for each in (strict, aging, fifo)] == [0.0, 2.0, None]
    urgent, bulk = (
        [each["waits_s"][number]["mean"] for each in (strict, aging, fifo)] for number in (0, 1)
    )
    assert urgent[0] < urgent[1] < urgent[2]
    assert bulk[0] > bulk[1] > bulk[2]
    assert len({each["waits_s"][0]["jobs"] for each in (strict, aging, fifo)}) == 1
    assert aging["load"] == pytest.approx(0.95)


def test_k_is_that_of_the_settings_unless_given(monkeypatch):
    monkeypatch.setenv("AGEWELL_AGING_K", "0.25")
    [unset] = documents()
    [given] = documents("--k", "0.5")
    assert (unset["k_per_s"], given["k_per_s"]) == (0.25, 0.5)


def test_a_seed_gives_the_same_figures_again():
    assert documents("--seed", "3") == documents("--seed", "3") != documents("--seed", "4")


def test_the_table_fits_a_terminal_of_eighty_columns():
    result = run(*QUICK, "--compare")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert [line.split()[0] for line in lines[1:7:2]] == ["strict", "aging", "fifo"]
    assert all("urgent" in line for line in lines[1:7:2])
    assert max(map(len, lines[:7])) <= 80


def test_measured_times_are_drawn_from_a_file(tmp_path):
    times = tmp_path / "times.txt"
    times.write_text("0.05\n0.05\n0.2\n")
    result = run("--rate", "5=5", "--service", str(times), "--jobs", "100", "--json")
    assert json.loads(result.stdout)["load"] == pytest.approx(0.5)


def test_target_prints_the_smallest_k_that_keeps_it():
    result = run(*QUICK, "--target", "bulk=6", "--measure", "p99", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["waits_s"][1]["p99"] <= 6
    assert f"k = {found['k_per_s']:g} is the smallest that keeps bulk=6 (p99)" in result.stderr


def test_target_that_no_k_keeps_is_reported():
    result = run(*QUICK, "--target", "bulk=0.01")
    assert result.exit_code == 1
    assert "no k keeps bulk=0.01 (longest)" in result.stderr


def test_a_target_that_strict_levels_keep_needs_no_aging():
    result = run(*QUICK, "--target", "bulk=100000")
    assert result.exit_code == 0
    assert "k = 0 is the smallest" in result.stderr
    assert "strict levels keep it already, at " in result.stderr


COMMANDS = (DOCS / "commands.md").read_text()
[COMPARED] = re.findall(r"^\$ agewell simulate (.* --compare)$", COMMANDS, re.MULTILINE)
[TARGETED] = re.findall(r"^\$ agewell simulate (.* --target \S+)$", COMMANDS, re.MULTILINE)


def test_comparison_shows_the_effect_of_aging():
    result = run(*COMPARED.split(), "--jobs", "40000", "--json")
    strict, aging, fifo = map(json.loads, result.stdout.splitlines())
    high, bulk = 0, 1
    longest = [[each["waits_s"][lv]["longest"] for each in (strict, aging, fifo)] for lv in (0, 1)]
    assert longest[bulk][0] > 1.05 * longest[bulk][1]  # aging shortens what bulk waits at worst
    assert longest[high][0] < longest[high][1] < longest[high][2]
    assert "Aging changes nothing" not in result.stderr


def test_the_readmes_target_needs_aging():
    result = run(*TARGETED.split(), "--json")
    assert result.exit_code == 0
    assert 0 < json.loads(result.stdout)["k_per_s"] < 1


def test_a_comparison_in_which_aging_does_nothing_says_why():
    result = run("--rate", "urgent=2", "--rate", "bulk=8", "--service", "0.08", "--jobs", "3000",
                 "--compare")  # fmt: skip
    assert "Aging changes nothing here: no job waited long enough" in result.stderr
    assert "a level is worth 20 s" in result.stderr


def test_overload_is_simulated_with_a_warning_that_names_it():
    result = run("--rate", "bulk=15", "--service", "0.1", "--jobs", "500")
    assert result.exit_code == 0
    assert "The load is 1.50" in result.stderr
    assert "bulk" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "asap=1", "--service", "1"], "one of urgent, high, normal, low, bulk"),
        (["--rate", "bulk", "--service", "1"], "--rate is 'bulk'; allowed: LEVEL=NUMBER"),
        (["--rate", "bulk=0", "--service", "1"], "jobs a second above 0"),
        (["--rate", "bulk=-1", "--service", "1"], "jobs a second above 0"),
        (["--rate", "bulk=nan", "--service", "1"], "jobs a second above 0"),
        (["--rate", "bulk=inf", "--service", "1"], "jobs a second above 0"),
        (["--rate", "bulk=1", "--rate", "9=1", "--service", "1"], "each level once"),
        (["--rate", "bulk=1", "--service", "0"], "--service is '0'; allowed: a time above 0"),
        (["--rate", "bulk=1", "--service", "nosuch.txt"], "'nosuch.txt'; allowed: a time above 0"),
        (["--rate", "bulk=1", "--service", "1", "--k", "-1"], "--k is -1"),
        (["--rate", "bulk=1", "--service", "1", "--k", "inf"], "--k is inf"),
        (["--rate", "bulk=1", "--service", "1", "--target", "urgent=1"], "that has a --rate"),
        (["--rate", "bulk=1", "--service", "1", "--target", "bulk=0"], "LEVEL=TIME, above 0"),
        (["--rate", "bulk=1", "--service", "1", "--plot", "waits.txt"], ".png, .svg, .pdf"),
        (["--rate", "bulk=1", "--service", "1", "--workers", "0"], "workers"),
        (["--rate", "bulk=1", "--service", "1", "--jobs", "0"], "jobs"),
        (["--rate", "bulk=1"], "service"),
        (["--service", "1"], "rate"),
    ],
)
def test_impossible_simulation_is_refused_in_words(arguments, said, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize("text", ["0.1\nfast\n", "0.1\n-1\n", "", b"\xff\xfe"])
def test_a_file_of_times_that_is_none_is_refused(text, tmp_path):
    path = tmp_path / "times.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    result = run("--rate", "bulk=1", "--service", str(path))
    assert result.exit_code == 2
    assert (
        "allowed: a time above 0, such as 80ms or 2s, or a file of times, one a line"
        in result.stderr
    )


def test_plot_without_matplotlib_is_refused_with_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(*QUICK, "--plot", str(tmp_path / "waits.png"))
    assert result.exit_code == 2
    assert "pip install 'agewell[plots]'" in result.stderr


def test_a_plot_is_drawn(tmp_path):
    path = tmp_path / "waits.png"
    result = run(*QUICK, "--jobs", "500", "--plot", str(path))
    assert result.exit_code == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert run(*QUICK, "--plot", str(tmp_path / "no" / "waits.png")).exit_code == 2


def test_simulating_needs_neither_a_stack_nor_numpy(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    monkeypatch.setenv("AGEWELL_REDIS_URL", "redis://127.0.0.1:1")
    assert run(*QUICK).exit_code == 0


def page_commands():
    return [
        shlex.split(line.removeprefix("$ "))[1:]
        for line in PAGE.splitlines()
        if line.startswith(("agewell ", "$ agewell "))
    ]


@pytest.mark.parametrize("arguments", page_commands(), ids=" ".join)
def test_every_command_on_the_page_about_aging_is_one_that_the_command_line_takes(arguments):
    command = typer.main.get_command(app).commands[arguments[0]]
    command.make_context("agewell", arguments[1:])  # parses, and runs nothing


def test_page_about_aging_shows_the_comparisons_output():
    shown = re.search(
        r"^\$ agewell simulate ([^\n]*--compare)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL
    )
    result = run(*shlex.split(shown.group(1)))
    assert result.exit_code == 0
    printed = [line.rstrip() for line in result.stdout.splitlines()]
    assert printed == shown.group(2).splitlines()


def test_the_table_of_head_starts_is_that_of_the_policy():
    rows = re.findall(
        r"^\| (0\.\d+|1)(?:, the default)? \| (.*) \| (.*) \| (.*) \|$", PAGE, re.MULTILINE
    )
    assert len(rows) == 5
    units = {"h": 3600, "min": 60, "s": 1}
    for k, *written in rows:
        policy = AgingPolicy(float(k))
        for text, level in zip(written, (1, 5, 9), strict=True):
            words = text.split()
            seconds = sum(
                int(number) * units[unit]
                for number, unit in zip(words[::2], words[1::2], strict=True)
            )
            assert policy.head_start_s(level) == pytest.approx(seconds, rel=0.005)
    assert f"{Settings.model_fields['aging_k'].default}, the default" in PAGE


def test_every_image_and_link_of_the_page_about_aging_is_there():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", PAGE)
    assert len(links) >= 2
    assert [link for link in links if not (DOCS / link).exists()] == []
