import pytest

from shared.redis_client import without_password


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
    ],
)
def test_no_password_is_shown(url, shown):
    assert without_password(url) == shown
