"""`agewell aging`: its tables, and k set while jobs wait."""

import json

import pytest
from typer.testing import CliRunner

from agewell.producer.cli.main import app
from agewell.shared.redis.clock import redis_now
from agewell.workers.maintenance.aging import reprioritise
from tests.support.ordering import Scripts


@pytest.fixture
def agewell(client, settings, monkeypatch):
    """Run the command against an empty Redis. Returns its exit code, JSON documents and stderr."""
    assert not client.keys("*")
    monkeypatch.setenv("AGEWELL_REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("AGEWELL_STATE_DIR", str(settings.state_dir))

    def run(*arguments):
        done = CliRunner().invoke(app, ["aging", *arguments])
        lines = done.stdout.splitlines() if "--json" in arguments else []
        return done.exit_code, [json.loads(line) for line in lines], done.stderr

    return run


def test_settings_k_is_shown(agewell, client, settings):
    reprioritise(client, settings, redis_now(client))
    code, (cv, infer), said = agewell("--json")
    assert (code, said) == (0, "")
    assert (cv["queue"], infer["queue"]) == ("cv", "infer")
    assert (cv["k_per_s"], cv["set_by"], cv["is_rescored"]) == (0.05, "settings", True)
    assert 0 <= cv["changed_s_ago"] < 60
    assert 0 <= cv["last_tick_s_ago"] < 60


def test_k_that_is_set_holds_for_jobs_that_wait(agewell, client, settings):
    now = redis_now(client)
    reprioritise(client, settings, now)
    scripts = Scripts(client)
    scripts.publish("old bulk", 9, now, enqueued_at=now - 150)
    scripts.publish("new urgent", 0, now, enqueued_at=now)
    code, [cv], _ = agewell("--queue", "cv", "--k", "0.1", "--json")
    assert code == 0
    assert (cv["k_per_s"], cv["set_by"], cv["waiting"]) == (0.1, "operator", 2)
    assert (cv["is_rescored"], cv["rescored"]) == (False, 0)
    reprioritise(client, settings, now + 1)
    assert scripts.waiting() == ["old bulk", "new urgent"]
    _, (cv, infer), _ = agewell("--json")
    assert (cv["is_rescored"], cv["rescored"]) == (True, 2)
    assert infer["k_per_s"] == 0.05


def test_reset_returns_to_the_settings(agewell, client, settings):
    agewell("--k", "0.1")
    agewell("--queue", "cv", "--reset")
    reprioritise(client, settings, redis_now(client))
    _, (cv, infer), _ = agewell("--json")
    assert (cv["k_per_s"], cv["set_by"]) == (0.05, "settings")
    assert (infer["k_per_s"], infer["set_by"]) == (0.1, "operator")


def test_zero_makes_levels_strict(agewell, client, settings):
    reprioritise(client, settings, redis_now(client))
    code, [cv], _ = agewell("--queue", "cv", "--k", "0", "--json")
    assert (code, cv["k_per_s"]) == (0, 0)
    done = CliRunner().invoke(app, ["aging"])
    assert "strict" in done.stdout


def test_missing_beat_task_is_reported(agewell):
    code, _, said = agewell("--json")
    assert code == 0
    assert "The beat task has not run" in said


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["--k", "fast"], "'fast'"),
        (["--k", "-1"], "'-1'"),
        (["--k", "nan"], "'nan'"),
        (["--k", "inf"], "'inf'"),
        (["--queue", "cw", "--k", "1"], "cw"),
        (["--queue", "upkeep", "--k", "1"], "upkeep"),
        (["--k", "1", "--reset"], "--reset"),
    ],
)
def test_bad_value_is_named_and_changes_nothing(agewell, client, arguments, about):
    code, _, said = agewell(*arguments)
    assert code == 2
    assert about in said
    assert not client.keys("*")


def test_redis_that_is_away_ends_with_its_code(monkeypatch, short_path):
    monkeypatch.setenv("AGEWELL_REDIS_URL", f"unix://{short_path}/none.sock")
    assert CliRunner().invoke(app, ["aging"]).exit_code == 3
