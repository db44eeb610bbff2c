"""docs/security.md's TLS, by its own lines: a whole stack over it, and nobody without the CA."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.redis_process import RedisProcess, make_certificates
from tests.e2e.stack import agewell, environment, started
from tests.image_files import file_of


def speaks_tls() -> bool:
    server = shutil.which("redis-server")
    if server is None or shutil.which("openssl") is None:
        return False
    done = subprocess.run([server, "--tls-port", "x"], capture_output=True, text=True, check=False)
    return "into an integer" in done.stdout + done.stderr


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not speaks_tls(), reason="no redis-server with TLS, or no openssl"),
]


@pytest.fixture
def server(short_path: Path) -> Iterator[RedisProcess]:
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


def test_a_server_that_nobody_vouches_for_is_refused(server: RedisProcess, short_path: Path):
    url, _, _ = server.url.partition("?")
    done = agewell("queues", env=environment(short_path, REDIS_URL=url))
    assert done.returncode == 3
    assert "certificate verify failed" in done.stderr
    assert server.password not in done.stderr
