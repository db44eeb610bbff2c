"""Misspelt settings are named with the nearest name that exists. Values are not shown."""

import os
import subprocess
import sys

import pytest
import yaml

from agewell.shared.errors import SettingsError
from agewell.shared.setting_names import check_files
from agewell.shared.settings import Settings
from tests.support.compose import filled_in
from tests.support.paths import ROOT


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"AGEWELL_{name.upper()}", raising=False)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("AGEWELL_FLOWERPORT", "AGEWELL_FLOWER_PORT"),
        ("AGEWELL_FLOWER_PROT", "AGEWELL_FLOWER_PORT"),
        ("AGEWELL_REDISURL", "AGEWELL_REDIS_URL"),
        ("AGEWELL_METRIC_PORT", "AGEWELL_METRICS_PORT"),
        ("AGEWELL_CONCURENCY", "AGEWELL_CONCURRENCY"),
        ("AGEWELL_BLOB_TTL", "AGEWELL_BLOB_TTL_S"),
        ("AGEWELL_SECRET_DIR", "AGEWELL_SECRETS_DIR"),
        ("agewell_redis_uri", "AGEWELL_REDIS_URL"),
    ],
)
def test_the_nearest_name_is_suggested(monkeypatch, variable, meant):
    monkeypatch.setenv(variable, "hunter2")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert str(caught.value) == f"{variable}: no such setting; did you mean {meant}?"


def test_a_name_like_no_other_is_refused_as_well(monkeypatch):
    monkeypatch.setenv("AGEWELL_QUUX", "hunter2")
    monkeypatch.setenv("AGEWELL_XYZZY", "hunter2")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert str(caught.value).startswith("AGEWELL_QUUX: no such setting; ")
    assert str(caught.value).endswith("(1 more are unknown)")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AGEWELL_SERVICE_HOST", "10.0.0.1"),
        ("AGEWELL_REDIS_SERVICE_PORT", "6379"),
        ("AGEWELL_REDIS_SERVICE_PORT_TCP_REDIS", "6379"),
        ("AGEWELL_REDIS_PORT", "tcp://10.0.0.1:6379"),
        ("AGEWELL_REDIS_PORT_6379_TCP_ADDR", "10.0.0.1"),
        ("AGEWELLS_OWN", "1"),
        ("_AGEWELL_COMPLETE", "bash_source"),
    ],
)
def test_variables_of_kubernetes_and_others_are_ignored(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    Settings.load()


def test_variables_of_the_compose_file_are_settings(monkeypatch):
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
    for service in services:
        for name, value in service.get("environment", {}).items():
            if name.startswith("AGEWELL_") and name != "AGEWELL_SECRETS_DIR":
                monkeypatch.setenv(name, filled_in(value))
    Settings.load()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("{", "must be JSON, such as "),
        ("[", "must be JSON, such as "),
        ("infer=0.1", "must be JSON, such as "),
        ("", "must be JSON, such as "),
        ("3", "must be an object"),
        ('{"infer": -1}', "infer: must be at least 0"),
        ('{"infer": "fast"}', "infer: must be a number"),
        ('{"inferr": 1}', "'inferr' is not one of the queues with aging: cv, infer"),
    ],
)
def test_a_bad_setting_in_json_is_named(monkeypatch, value, reason):
    monkeypatch.setenv("AGEWELL_AGING_K_BY_QUEUE", value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert str(caught.value).startswith(f"AGEWELL_AGING_K_BY_QUEUE: {reason}")


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("AGEWELL_FLOWER_PORT", "70000", "must be at most 65535 (found '70000')"),
        ("AGEWELL_CONCURRENCY", "many", "must be a whole number (found 'many')"),
        ("AGEWELL_POOL", "eventlet", "must be 'prefork' or 'threads' (found 'eventlet')"),
        (
            "AGEWELL_MODELS_DIR",
            "~nobody-of-this-name/models",
            "must be a full path: the home directory for its ~ is unknown "
            "(found '~nobody-of-this-name/models')",
        ),
        ("AGEWELL_SENTINEL_MASTER", "", "must have a length of at least 1 (found '')"),
    ],
)
def test_a_bad_value_is_named_in_plain_english(monkeypatch, variable, value, line):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert str(caught.value) == f"{variable}: {line}"


@pytest.fixture
def secrets(monkeypatch, tmp_path):
    monkeypatch.setenv("AGEWELL_SECRETS_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("text", ["redis://h:1/0\n", "redis://h:1/0\r\n", "redis://h:1/0"])
def test_a_secrets_last_line_may_end(secrets, text):
    (secrets / "agewell_redis_url").write_bytes(text.encode())
    assert Settings.load().redis_url.get_secret_value() == "redis://h:1/0"


@pytest.mark.parametrize("name", ["agewell_redisurl", "agewell_redis_url.txt", "AGEWELL_REDIS_URI"])
def test_a_misspelt_file_is_named(secrets, name):
    (secrets / name).write_text("redis://:hunter2@h")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    text = str(caught.value)
    assert text.startswith(f"AGEWELL_SECRETS_DIR: the file {name} in ")
    assert text.endswith("did you mean agewell_redis_url?")


def test_other_files_are_let_be(secrets):
    (secrets / "agewell_redis_url").write_text("redis://h:1/0")
    for name in ("agewell_redis_url.bak", "agewell_ca.pem", "grafana_password", "..data"):
        (secrets / name).write_bytes(b"\xff")
    assert Settings.load().redis_url is not None


def test_a_file_that_is_no_text_is_named(secrets):
    (secrets / "agewell_flower_password").write_bytes(b"hunter2\xff")
    with pytest.raises(SettingsError, match=r"^AGEWELL_FLOWER_PASSWORD: .*not text") as caught:
        Settings.load()
    assert "hunter2" not in str(caught.value)


def test_a_folder_in_place_of_a_file_is_named(secrets):
    (secrets / "agewell_redis_url").mkdir()
    with pytest.raises(SettingsError, match=r"^AGEWELL_REDIS_URL: its file .*: Is a directory"):
        Settings.load()


def test_a_bad_value_in_a_file_is_not_shown(secrets):
    (secrets / "agewell_redis_url").write_text("redis://hunter2/A=@h")
    with pytest.raises(SettingsError, match=r"^AGEWELL_REDIS_URL: ") as caught:
        Settings.load()
    assert "hunter2" not in str(caught.value)


def test_user_without_a_home_is_told_the_setting():
    """As in a container that runs under a number that is no user's."""
    program = (
        "import os; from agewell.shared.settings import Settings; os.setuid(54321); Settings.load()"
    )
    if os.geteuid() != 0:
        pytest.skip("setuid: only root may become another user")
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "AGEWELL_STATE_DIR: must be set, because this user has no home directory" in done.stderr


def test_a_secret_that_is_no_regular_file_is_refused_without_a_wait(tmp_path):
    secret = tmp_path / "agewell_redis_url"
    os.mkfifo(secret)
    with pytest.raises(SettingsError, match=r"agewell_redis_url is no regular file"):
        check_files(tmp_path, ["redis_url"])
    secret.unlink()
    secret.symlink_to("/dev/zero")
    with pytest.raises(SettingsError, match=r"agewell_redis_url is no regular file"):
        check_files(tmp_path, ["redis_url"])
