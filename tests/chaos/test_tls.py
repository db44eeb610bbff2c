"""docs/security.md's TLS, by its own lines: a whole stack over it, and nobody without the CA."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.redis_process import RedisProcess, make_certificates
from tests.support.image_files import file_of
from tests.support.programs import require_tls
from tests.support.stack import agewell, environment, started

pytestmark = pytest.mark.slow


@pytest.fixture
def server(short_path: Path) -> Iterator[RedisProcess]:
    require_tls()
    make_certificates(short_path)
    server = RedisProcess(short_path / "redis", "appendonly no", tls=short_path)
    yield server
    server.end()


def test_a_stack_over_tls(server: RedisProcess, short_path: Path):
    photo = short_path / "photo.png"
    photo.write_bytes(file_of("PNG"))
    with started(short_path / "state", REDIS_URL=server.url, CONCURRENCY=1) as stack:
        stack.ok("enqueue", "hsv", photo, "--out", short_path / "out")
        assert (short_path / "out" / "photo.hsv.png").exists()
        stack.stop()


def test_server_with_an_unknown_certificate_is_refused(server: RedisProcess, short_path: Path):
    url, _, _ = server.url.partition("?")
    done = agewell("queues", env=environment(short_path, REDIS_URL=url))
    assert done.returncode == 3
    assert "certificate verify failed" in done.stderr
    assert server.password not in done.stderr
