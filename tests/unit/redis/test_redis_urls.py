"""Redis URLs: taken if redis-py, kombu and Celery read them alike, and never shown."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from agewell.shared.celery.app import make_app
from agewell.shared.errors import SettingsError
from agewell.shared.redis.connection import connect, unreachable
from agewell.shared.settings import Settings
from agewell.shared.text.urls import check_redis_url, scrubbed, without_password

OURS = ("host", "port", "username", "password", "db", "path")


def reading(options: dict[str, Any]) -> dict[str, Any]:
    """A library's options for a connection, with its defaults filled in."""
    found = {"host": "localhost", "port": 6379, "db": 0, "username": None, "password": None}
    found |= {name: options[name] for name in OURS if options.get(name)}
    found |= {name: value for name, value in options.items() if name.startswith("ssl_")}
    if "path" in found:
        del found["host"], found["port"]
    return found | {"db": int(found["db"])}


def read_by_all(url: str) -> list[dict[str, Any]]:
    """The URL as the program's own Redis client, kombu, and Celery's result backend read it."""
    settings = Settings(redis_url=url)
    app = make_app(settings)
    connection = app.connection_for_write()
    channel_class = connection.transport.Channel
    channel = channel_class.__new__(channel_class)  # to build one would connect
    channel.connection = SimpleNamespace(
        client=connection, default_port=connection.transport.default_port
    )
    channel.closed = True
    channel.keyprefix_fanout = ""
    found = [
        connect(settings).connection_pool.connection_kwargs,
        channel._connparams(),
        app.backend.connparams,
    ]
    return [reading(each) for each in found]


def alike(readings: list[dict[str, Any]]) -> bool:
    """True if all say the same. ssl_cert_reqs may be left to redis-py's default."""
    from ssl import CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED

    names = {CERT_NONE: "none", CERT_OPTIONAL: "optional", CERT_REQUIRED: "required"}
    plain = []
    for each in readings:
        reqs = each.pop("ssl_cert_reqs", "required")
        plain.append(each | {"ssl_cert_reqs": names.get(reqs, reqs)})
    return plain[0] == plain[1] == plain[2]


LOGINS = ["", "u:S3cret@", ":S3cret@", "u@", "u:S3cret%2F%40%3A%25%3F%23@", ":%25%34%31@", ":a:b@",
          ":a@b@", "%C3%BC:p@", ":%FF@", ":S3/cret@", ":S3?cret@", ":S3#cret@", ":S3;cret@",
          ":S3 cret@", ":S3%cret@", ":[S3cret@", ":S3\tcret@", ":é@", ":S3\\cret@"]  # fmt: skip
HOSTS = ["h", "h:6380", "10.0.0.1:1", "[::1]:6379", "[::1]", "", ":6379", "h:0", "h:65536", "h:x",
         "h:", "[::1", "H.Example", "h%41", "h,i"]  # fmt: skip
PATHS = ["", "/", "/0", "/15", "/1/2", "/abc", "/0/", "//1", "/-1", "/1.5", "/+1", "/%31", "/٣"]
QUERIES = ["", "?", "?db=5", "?password=S3cret", "?username=u", "?virtual_host=3", "?port=1",
           "?socket_timeout=5", "?protocol=2", "?x=1", "#frag", "?ssl_cert_reqs=none"]  # fmt: skip
SSL = ["?ssl_cert_reqs=none", "?ssl_cert_reqs=required", "?ssl_cert_reqs=CERT_NONE",
       "?ssl_cert_reqs=NONE", "?ssl_cert_reqs=", "?ssl_cert_reqs=none&ssl_cert_reqs=required",
       "?ssl_ca_certs=/a/b.pem", "?ssl_ca_certs=%2Fa%2Bb.pem", "?ssl_ca_certs=/a%2541.pem",
       "?ssl_check_hostname=false", "?ssl_check_hostname=no", "?ssl_check_hostname=0",
       "?ssl_certfile=/c&ssl_keyfile=/k&ssl_ca_path=/d", "?ssl_password=S3cret", "?db=1",
       "?ssl_min_version=771", "?password=S3cret", "?SSL_CA_CERTS=/a"]  # fmt: skip
UNIX = ["unix:///r.sock", "unix:///r.sock?db=3", "unix://u:S3cret@/r.sock", "unix://r.sock",
        "unix:///a%20b/r.sock?db=1", "unix:///r.sock?virtual_host=2", "unix:///r.sock?db=x",
        "unix:////r.sock", "unix:///r.sock?db=1&db=2", "unix:///r.sock?db=1&password=S3cret",
        "unix:///a@b.sock", "unix:///", "unix://", "unix:///a;b", "unix:///a%3Bb?db=2",
        "unix:///r.sock#x", "unix:///a%FF"]  # fmt: skip

CANDIDATES = [
    *(f"redis://{login}h:1/0" for login in LOGINS),
    *(f"redis://u:S3cret@{host}{path}" for host in HOSTS for path in PATHS),
    *(f"redis://h{path}{query}" for path in PATHS[:5] for query in QUERIES),
    *(f"rediss://u:S3cret@h:1/2{query}" for query in (*SSL, *QUERIES)),
    *UNIX,
]


@pytest.mark.parametrize("url", CANDIDATES)
def test_a_url_that_is_taken_is_read_alike_by_all(url: str):
    try:
        check_redis_url(url)
    except ValueError:
        return
    readings = read_by_all(url)
    assert alike(readings), readings


TAKEN = [
    "redis://h",
    "redis://h/",
    "redis://h:6380/15",
    "redis://:S3cret@h:1/0",
    "redis://u:S3cret%2F%40%3A%25%3F%23%3B@h:1/0",
    "redis://u@h/0",
    "redis://[::1]:6379/0",
    "rediss://u:p@h:1/0?ssl_ca_certs=/etc/ca.pem&ssl_cert_reqs=required",
    "rediss://h?ssl_certfile=/c&ssl_keyfile=/k",
    "unix:///run/redis.sock",
    "unix:///run/redis.sock?db=3",
    "unix://u:p@/run/redis%20a.sock?db=0",
    "sentinel://a:26379",
    "sentinel://:p@a:26379/2;sentinel://b:26379;sentinel://:p@[::1]:26379/2",
]


@pytest.mark.parametrize("url", TAKEN)
def test_a_plain_url_is_taken(url: str):
    assert Settings(redis_url=url).redis_url == SecretStr(url)


REFUSED = [
    "redis://S3cret/A=@host",
    "redis://:S3cret/A=@host:6379/0",
    "redis://:S3cret?A@host:6379/0",
    "redis://:S3cret#A@host:6379/0",
    "redis://:S3cret;A@host:6379/0",
    "redis://:S3cret A@host:6379/0",
    "redis://:[S3cret@host:6379/0",
    "redis://:S3cret\n@host:6379/0",
    "redis://:S3cret℀@host:6379/0",
    "redis://:S3cret@host:99999/0",
    "redis://:S3cret@host:port/0",
    "redis://:S3cret@/0",
    "redis://:S3cret@host/abc",
    "redis://:S3cret@host/1/2",
    "redis://host/0?password=S3cret",
    "redis://host/0?username=S3cret",
    "redis://:S3cret@host?db=5",
    "rediss://:S3cret@host/0?ssl_cert_reqs=CERT_NONE",
    "rediss://host/0?ssl_password=S3cret",
    "unix://:S3cret@relative/redis.sock",
    "unix://:S3cret@/redis.sock?virtual_host=1",
    "sentinel://:S3cret@a",
    "sentinel://:S3cret@a:1;b:2",
    "sentinel://:S3cret@a:1;",
    "sentinel://:S3cret@a:1;sentinel://:other@b:2",
    "sentinel://:S3cret@a:1/0;sentinel://b:2/1",
    "sentinel://:S3cret@a:1/0?db=1",
    "redis://:S3cret@a:1/0;redis://:S3cret@b:1/0",
    "http://:S3cret@host",
    " redis://:S3cret@host",
    "REDIS://:S3cret@host",
    "S3cret",
    "",
]


@pytest.mark.parametrize("url", REFUSED)
def test_refused_setting_is_named_and_not_shown(url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AGEWELL_REDIS_URL", url)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    text = str(caught.value)
    assert re.match("AGEWELL_REDIS_URL: (must|may|cannot) ", text)
    assert "s3cret" not in text.lower()
    assert "host:" not in text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:hunter2@host:6379/0", "redis://host:6379/0"),
        ("redis://host/0?password=hunter2&db=1", "redis://host/0?db=1"),
        ("rediss://host/0?ssl_password=hunter2", "rediss://host/0"),
        (
            "sentinel://:hunter2@a:1/0;sentinel://:hunter2@b:2/0",
            "sentinel://a:1/0;sentinel://b:2/0",
        ),
        ("s3://KEY:hunter2@bucket/prefix", "s3://bucket/prefix"),
        ("s3://KEY:hun/ter2@bucket/prefix", "s3://bucket/prefix"),
        ("ftp://me:hun@ter2@host/a", "ftp://host/a"),
        ("gs://bucket/a?token=hunter2", "gs://bucket/a"),
        ("file:///srv/a@b", "file:///srv/a@b"),
        ("unix:///run/a@b.sock?db=1", "unix:///run/a@b.sock?db=1"),
        ("s3://[KEY:hunter2@bucket", "s3://bucket"),
        ("sftp://me:hun;ter2@host/a", "sftp://host/a"),
        ("simplecache::sftp://me:hun;ter2@host/a", "simplecache::sftp://host/a"),
        ("redis", "redis"),
    ],
)
def test_no_password_is_shown(url, shown):
    assert without_password(url) == shown


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("redis://user:hunter2@host", "hunter2"),
        ("redis://user:hunter%2F2@host", "hunter/2"),
        ("s3://KEY:hun/ter2@bucket", "hun/ter2"),
        ("sentinel://:one@a:1;sentinel://:two@b:2", "two"),
        ("gs://bucket?token=hunter2", "hunter2"),
        ("sftp://me:hun;ter2@host/a", "hun;ter2"),
    ],
)
def test_a_librarys_error_is_rid_of_the_passwords(url, secret):
    assert secret not in scrubbed(f"cannot open {url}, with {secret}", url)


def test_an_unreachable_redis_is_named_without_its_password():
    settings = Settings(redis_url="redis://me:hunter2@host:1/0")
    error = unreachable(settings, redis.ConnectionError("at redis://me:hunter2@host:1/0"))
    assert "hunter2" not in str(error)
    assert "host:1" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "redis://me:hunter2@h:1/0",
        "redis://me:hun%2Fter2@h:1/0",
        "rediss://me:hunter2@h:1/0?ssl_ca_certs=/a",
        "unix://me:hunter2@/run/redis.sock?db=1",
        "sentinel://:hunter2@a:1/0;sentinel://:hunter2@b:2/0",
    ],
)
def test_celery_shows_no_password(url):
    """Its banner, `inspect conf` and `inspect stats`, which Flower has on its pages as well."""
    app = make_app(Settings(redis_url=url))
    stats = app.connection().info()
    del stats["password"]  # Celery's worker leaves this one out itself
    shown = [
        app.connection().as_uri(),
        app.backend.as_uri(),
        app.conf.table(with_defaults=True, censored=True),
        app.conf.humanize(),
        stats,
        app.connection(),
        repr(Settings(redis_url=url, blob_url="s3://KEY:hunter2@bucket")),
    ]
    assert not re.search("hun(ter2|/|%2F)", str(shown))
