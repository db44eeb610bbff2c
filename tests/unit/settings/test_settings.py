from typing import get_args

import pytest

from agewell.shared.cores import usable_cores
from agewell.shared.errors import SettingsError
from agewell.shared.settings import Settings
from agewell.workers.operations.poisson.fpie import BACKENDS


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AGEWELL_CONCURRENCY", "0"),
        ("AGEWELL_CONCURRENCY", "many"),
        ("AGEWELL_MAX_PIXELS", "-1"),
        ("AGEWELL_POOL", "eventlet"),
        ("AGEWELL_FLOWER_PORT", "70000"),
        ("AGEWELL_METRICS_PORT", "-1"),
        ("AGEWELL_FLOWER_USER", "a:b"),
        ("AGEWELL_FLOWER_PASSWORD", ""),
        ("AGEWELL_FLOWER_URL_PREFIX", "a b"),
        ("AGEWELL_DRAIN_S", "nan"),
        ("AGEWELL_BLOB_URL", "somewhere"),
        ("AGEWELL_BLOB_URL", "file://"),
        ("AGEWELL_BLOB_URL", "file://blobs"),
        ("AGEWELL_BLOB_URL", "local://~/blobs"),
        ("AGEWELL_STATE_DIR", ""),
        ("AGEWELL_POISSON_BACKEND", "cuda"),
        ("AGEWELL_MODELS_DIR", ""),
        ("AGEWELL_REDIS_URL", "http://localhost"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        Settings.load()


@pytest.mark.parametrize(
    "url",
    [
        "KEY:hunter2@s3://bucket",
        "s3:KEY:hunter2@://bucket",
        "sftp://me:a::hunter2@host/blobs",
        "://hunter2@host",
        "::s3://hunter2@bucket",
        "file://me:hunter2@host/blobs",
    ],
)
def test_a_blob_url_that_cannot_be_read_is_refused_without_showing_it(monkeypatch, url):
    monkeypatch.setenv("AGEWELL_BLOB_URL", url)
    with pytest.raises(SettingsError, match=r"^AGEWELL_BLOB_URL: must ") as caught:
        Settings.load()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["file://blobs", "file://./blobs", "local://srv/blobs", "file://"])
def test_relative_blob_directory_is_refused(url):
    with pytest.raises(SettingsError, match="must have an absolute path"):
        Settings(blob_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "redis",
        "file:///srv/a b",
        "s3://bucket/a",
        "simplecache::s3://bucket",
        "memory://",
        "gs://a:b@c",
    ],
)
def test_a_blob_url_that_fsspec_reads_is_taken(url):
    assert Settings(blob_url=url).blob_url == url


def test_the_backends_that_a_setting_takes_are_those_that_there_are():
    taken = get_args(Settings.model_fields["poisson_backend"].annotation)
    assert set(taken) == {"auto", *BACKENDS}


def test_a_password_is_never_shown(monkeypatch):
    monkeypatch.setenv("AGEWELL_REDIS_URL", "redis://user:hunter2@localhost:1/0")
    loaded = Settings.load()
    assert "hunter2" not in repr(loaded)
    assert "hunter2" not in loaded.model_dump_json()


def test_a_bad_password_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv("AGEWELL_FLOWER_PASSWORD", "hünter2")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert "nter2" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_flower_on_loopback_needs_no_password(host):
    assert Settings(flower_host=host).flower_login() is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org", ""])
def test_flower_on_a_network_needs_a_password(host):
    with pytest.raises(SettingsError, match=r"^AGEWELL_FLOWER_PASSWORD: must be set"):
        Settings(flower_host=host).flower_login()
    assert Settings(flower_host=host, flower_password="x:y").flower_login() == "agewell:x:y"


def test_a_bad_url_with_a_password_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv("AGEWELL_REDIS_URL", "amqp://user:hunter2@localhost")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert "hunter2" not in str(caught.value)


def test_state_lies_under_the_xdg_state_home(monkeypatch, tmp_path):
    monkeypatch.delenv("AGEWELL_STATE_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert Settings.load().state_dir == tmp_path / "agewell"


@pytest.mark.parametrize("concurrency", [1, 2, 3, 64])
def test_concurrency_times_threads_never_exceeds_the_cores_but_for_one_thread_each(concurrency):
    threads = Settings(concurrency=concurrency).threads_per_job
    assert threads >= 1
    assert threads == 1 or threads * concurrency <= usable_cores()


def test_a_secret_may_lie_in_a_file(monkeypatch, tmp_path):
    (tmp_path / "agewell_flower_password").write_text("from the file\n")
    (tmp_path / "agewell_flower_user").write_text("not-this")
    monkeypatch.setenv("AGEWELL_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("AGEWELL_FLOWER_USER", "environment")
    settings = Settings.load()
    assert settings.flower_password.get_secret_value() == "from the file"
    assert settings.flower_user == "environment"


def test_a_directory_of_secrets_that_is_not_there_stops_the_start(monkeypatch, tmp_path):
    monkeypatch.setenv("AGEWELL_SECRETS_DIR", str(tmp_path / "nosuch"))
    with pytest.raises(SettingsError, match="AGEWELL_SECRETS_DIR: no such directory"):
        Settings.load()
