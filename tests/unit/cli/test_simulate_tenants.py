"""`agewell simulate --tenant`: its output, options that it refuses, and the page about tenants."""

import json
import re
import shlex

import pytest
from typer.testing import CliRunner

from agewell.producer.cli.main import app
from tests.support.paths import ROOT

DOCS = ROOT / "docs"
PAGE = (DOCS / "tenants.md").read_text()
FLOOD = ["--tenant", "a:burst=400", "--tenant", "b:rate=1", "--service", "0.1"]


def run(*arguments):
    return CliRunner().invoke(app, ["simulate", *arguments], env={"COLUMNS": "80"})


def documents(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_flood_with_tenants_is_compared_with_the_same_jobs_without():
    fair, plain = documents(*FLOOD)
    assert [each["order"] for each in (fair, plain)] == ["tenants", "aging"]
    waits = [[each["tenants"][n]["waits_s"][0] for each in (fair, plain)] for n in (0, 1)]
    assert [each["jobs"] for each in waits[0]] == [400, 400]
    assert waits[1][0]["mean"] < 0.05 * waits[1][1]["mean"]
    assert waits[0][0]["mean"] < 1.2 * waits[0][1]["mean"]
    assert fair["sending_s"] == pytest.approx(40)  # as long as the burst needs
    assert fair["fairness"] > plain["fairness"]


def test_levels_of_a_tenant_are_shown_one_by_one_and_share_its_weight():
    given = ["--tenant", "a:level=bulk,burst=200,weight=3", "--tenant", "a:level=0,rate=0.5"]
    fair, _ = documents(*given, "--tenant", "b:burst=400", "--service", "0.1", "--for", "20s")
    first, second = fair["tenants"]
    assert [each["level"] for each in first["waits_s"]] == [0, 9]
    assert [each["name"] for each in first["waits_s"]] == ["urgent", "bulk"]
    assert (first["weight"], second["weight"]) == (3, 1)
    assert first["due"] == pytest.approx(0.75, abs=0.01)


def test_run_times_and_limits_of_a_tenant_count():
    given = ["--tenant", "slow:burst=50,service=1s,max-running=1", "--tenant", "quick:burst=100"]
    fair, _ = documents(*given, "--service", "0.1", "--law", "fixed", "--workers", "4")
    slow, quick = fair["tenants"]
    # One at a time, so the last of 50 waits for 49 seconds.
    assert slow["waits_s"][0]["longest"] == pytest.approx(49)
    assert quick["waits_s"][0]["longest"] < 4
    paced, _ = documents("--tenant", "a:burst=11,limit=2", "--service", "0.1", "--law", "fixed")
    assert paced["tenants"][0]["waits_s"][0]["longest"] == pytest.approx(5)


def test_a_team_s_limits_hold_for_its_members():
    given = ["--tenant", "lab/a:burst=20", "--tenant", "lab/b:burst=20"]
    free, _ = documents(*given, "--service", "1", "--law", "fixed", "--workers", "4")
    capped, _ = documents(
        *given,
        "--tenant",
        "lab:max-running=1",
        "--service",
        "1",
        "--law",
        "fixed",
        "--workers",
        "4",
    )
    assert free["utilisation"] == pytest.approx(1)
    assert capped["utilisation"] == pytest.approx(0.25)


def test_a_seed_gives_the_same_figures_again():
    found = [documents(*FLOOD, "--seed", seed) for seed in ("3", "3", "4")]
    assert found[0] == found[1] != found[2]


def test_the_table_fits_a_terminal_of_eighty_columns():
    result = run(*FLOOD)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert [line.split()[0] for line in lines[1:5]] == ["tenants", "b", "aging", "b"]
    assert "Jain's index" in lines[-1]
    assert max(map(len, lines)) <= 80


def test_overload_is_simulated_with_a_warning_that_names_it():
    result = run("--tenant", "a:rate=15", "--service", "0.1", "--jobs", "500")
    assert result.exit_code == 0
    assert "The load is 1.50" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a"], "--tenant is 'a'; allowed: NAME:KEY=VALUE,..."),
        (["a:"], "--tenant is 'a:'; allowed: NAME:KEY=VALUE,..."),
        (["a:rate"], "allowed: NAME:KEY=VALUE,..."),
        (["a:rate="], "allowed: NAME:KEY=VALUE,..."),
        (["a:rate=1,,"], "allowed: NAME:KEY=VALUE,..."),
        (["a:speed=1"], "with rate, burst, level, service, weight, max-running or limit"),
        (["a:rate=1,rate=2"], "each once"),
        ([":rate=1"], "tenant is ''; allowed: 1 to 64"),
        (["a b:rate=1"], "tenant is 'a b'; allowed: 1 to 64"),
        (["a:rate=0"], "rate of --tenant is '0'; allowed: a number above 0"),
        (["a:rate=-1"], "rate of --tenant is '-1'"),
        (["a:rate=nan"], "rate of --tenant is 'nan'"),
        (["a:rate=inf"], "rate of --tenant is 'inf'"),
        (["a:rate=1,weight=0"], "weight of --tenant is '0'; allowed: a number above 0"),
        (["a:rate=1,weight=2000"], "weight is 2000; allowed: 0.001 to 1000"),
        (["a:burst=1.5"], "burst of --tenant is '1.5'; allowed: a whole number"),
        (["a:rate=1,max-running=0"], "allowed: a whole number of jobs above 0"),
        (["a:rate=1,max-running=0.5"], "max-running of --tenant is '0.5'"),
        (["a:burst=0"], "burst of --tenant is '0'; allowed: a whole number of jobs above 0"),
        (["a:burst=1e9"], "--jobs is 200000; allowed: 1000000000 or more"),
        (["a:rate=1,level=asap"], "one of urgent, high, normal, low, bulk"),
        (["a:rate=1,service=0"], "--service is '0'"),
        (["a:weight=2"], "allowed: a tenant with rate=PER_S or burst=JOBS"),
        (["a:level=5"], "allowed: a tenant with rate=PER_S or burst=JOBS"),
        (["a:rate=1", "a:burst=2"], "each tenant and level once"),
        (["a:rate=1,weight=2", "a:rate=1,level=0,weight=2"], "weight and limits of a tenant once"),
        (["t:rate=1", "t/a:rate=1"], "a team's weight and limits, not its jobs"),
    ],
)
def test_impossible_tenants_are_refused_in_words(arguments, said):
    given = [part for text in arguments for part in ("--tenant", text)]
    result = run(*given, "--service", "0.1")
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--service is unset"),
        (["--service", "1", "--rate", "bulk=1"], "--rate is given; allowed: only without --tenant"),
        (["--service", "1", "--compare"], "--compare is given"),
        (["--service", "1", "--target", "bulk=1"], "--target is given"),
        (["--service", "1", "--reserved", "1"], "--reserved is given"),
        (["--measured", "cv"], "--measured is given"),
        (["--service", "1", "--for", "0.001s"], "no tenant sends a job in this one"),
        (["--service", "1", "--plot", "waits.txt"], ".png, .svg, .pdf"),
    ],
)
def test_options_that_do_not_go_with_tenants_are_refused(arguments, said):
    result = run("--tenant", "a:rate=1", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_the_time_of_sending_is_refused_without_tenants():
    result = run("--rate", "bulk=1", "--service", "1", "--for", "1m")
    assert result.exit_code == 2
    assert "--for is given; allowed: only with --tenant" in result.stderr


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_plot_is_drawn(tmp_path, suffix, begins):
    path = tmp_path / f"waits.{suffix}"
    assert run(*FLOOD, "--plot", str(path)).exit_code == 0
    assert path.read_bytes().startswith(begins)
    assert run(*FLOOD, "--plot", str(tmp_path / "no" / "waits.png")).exit_code == 2


SHOWN = re.findall(r"^\$ agewell simulate ([^\n]*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("arguments", "shown"), SHOWN)
def test_page_about_tenants_shows_the_output(arguments, shown):
    result = run(*shlex.split(arguments))
    assert result.exit_code == 0
    assert [line.rstrip() for line in result.stdout.splitlines()] == shown.splitlines()


def test_every_image_of_the_page_about_tenants_is_there():
    assert len(SHOWN) >= 2
    images = re.findall(r"!\[[^]]*\]\(([^)]+)\)", PAGE)
    assert images
    assert [each for each in images if not (DOCS / each).exists()] == []
