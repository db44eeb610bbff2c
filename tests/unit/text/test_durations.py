"""Spans of time in options and settings: the same forms everywhere, and clear errors."""

from datetime import timedelta
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from agewell.producer.cli.main import app
from agewell.shared.errors import SettingsError
from agewell.shared.settings import Settings
from agewell.shared.text.durations import parse_duration

GOOD = {
    "0": timedelta(),
    "90": timedelta(seconds=90),
    "2.5": timedelta(seconds=2.5),
    "1e3": timedelta(seconds=1000),
    "90s": timedelta(seconds=90),
    "80ms": timedelta(milliseconds=80),
    "5m": timedelta(minutes=5),
    " 5 m ": timedelta(minutes=5),
    "2 min 5 s": timedelta(minutes=2, seconds=5),
    "3 h 4 min": timedelta(hours=3, minutes=4),
    "1h": timedelta(hours=1),
    "1.5h": timedelta(minutes=90),
    "1h30m": timedelta(minutes=90),
    "2d": timedelta(days=2),
    "1w": timedelta(weeks=1),
}
BAD = [
    "",
    "m",
    "5x",
    "5M",
    "5 5",
    "5m5m",
    "1h30",
    "nan",
    "0x10",
    "1..5s",
    "five",
    "\u0665m",
    "1:30",
]


@pytest.mark.parametrize(("text", "meant"), GOOD.items())
def test_a_time_is_read_in_the_usual_forms(text: str, meant: timedelta):
    assert parse_duration(text) == pytest.approx(meant.total_seconds())


@pytest.mark.parametrize("text", BAD)
def test_bad_time_is_answered_with_examples(text: str):
    with pytest.raises(ValueError, match="not a time: write 90, 90s, 5m, 1h30m, 2d"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["-1", "-5m", "-0.5s", "-1h30m"])
def test_a_negative_time_is_called_negative(text: str):
    with pytest.raises(ValueError, match="negative"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["inf", "1e400", "36501d", "9" * 400, "9" * 400 + "d"])
def test_a_time_beyond_a_century_is_too_long(text: str):
    with pytest.raises(ValueError, match="longer than a hundred years"):
        parse_duration(text)


WITH_TIMES = {
    ("enqueue", "hsv"): "--deadline",
    ("enqueue", "blend"): "--deadline",
    ("enqueue", "poisson"): "--deadline",
    ("enqueue", "infer"): "--deadline",
    ("jobs",): "--since",
    ("top",): "--interval",
    ("models", "load"): "--timeout",
    ("models", "unload"): "--timeout",
    ("models", "activate"): "--timeout",
}
ARGUMENTS = {
    "hsv": ["a.png"],
    "blend": ["a.png", "b.png"],
    "poisson": ["a.png", "b.png", "c.png"],
    "infer": ["digits", "a.png"],
    "load": ["digits"],
    "unload": ["digits"],
    "activate": ["digits", "2"],
}


@pytest.mark.parametrize(("path", "option"), WITH_TIMES.items(), ids=map(" ".join, WITH_TIMES))
@pytest.mark.parametrize("text", ["5x", "-5m", "nan", "1e400", "36501d"])
def test_every_option_that_takes_a_time_refuses_a_bad_one(path, option, text):
    arguments = ARGUMENTS.get(path[-1], [])
    done = CliRunner().invoke(app, [*path, *arguments, option, text])
    assert done.exit_code == 2
    assert option in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(("path", "option"), WITH_TIMES.items(), ids=map(" ".join, WITH_TIMES))
def test_every_option_that_takes_a_time_takes_one_with_a_unit(path, option):
    command: Any = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]
    arguments = [*ARGUMENTS.get(path[-1], []), option, "30s"]
    parsed = command.make_context("agewell", arguments).params
    assert parsed[option.removeprefix("--")] == 30.0


TIMES = [name for name in Settings.model_fields if name.endswith("_s")]


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize(("text", "seconds"), [("5m", 300), ("1h30m", 5400), ("90", 90)])
def test_every_setting_in_seconds_takes_a_unit(monkeypatch, name, text, seconds):
    monkeypatch.setenv(f"AGEWELL_{name.upper()}", text)
    found = getattr(Settings.load(), name)
    assert found == seconds
    annotation = Settings.model_fields[name].annotation
    # An optional setting is a union, whose first member says what it is otherwise.
    assert type(found) is (float if "float" in str(annotation) else int)


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("text", ["5x", "-5m", "-1", "nan", "inf", "1e400", "36501d", ""])
def test_every_setting_in_seconds_refuses_a_bad_time(monkeypatch, name, text):
    monkeypatch.setenv(f"AGEWELL_{name.upper()}", text)
    with pytest.raises(SettingsError, match=f"AGEWELL_{name.upper()}"):
        Settings.load()


def test_the_simulator_takes_times_with_units():
    given = ["simulate", "--rate", "bulk=8", "--service", "80ms", "--jobs", "500"]
    done = CliRunner().invoke(app, [*given, "--target", "bulk=5m"])
    assert done.exit_code == 0
    assert "load 0.64" in done.output  # 8 jobs a second of 0.08 s
