"""A password in a URL shows nowhere: not in output, not in logs, not in a process list."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.redis_process import RedisProcess
from tests.support.image_files import file_of
from tests.support.stack import Stack, started
from tests.support.watched import basic, get


@pytest.mark.slow
def test_no_password_shows(short_path: Path):
    server = RedisProcess(short_path / "redis", "appendonly no", password="hunter2-re/d@i#s%")
    try:
        settings = {
            "REDIS_URL": server.url,
            "CONCURRENCY": 1,
            "LOG_LEVEL": "DEBUG",
            "LOG_MAX_BYTES": 4000,
        }
        secrets = ["hunter2", "re/d@", "re%2Fd"]
        with started(short_path / "state", **settings, FLOWER_PASSWORD="hunter2-flower") as stack:
            said = use(stack, short_path)
            said += [
                celery_shows(stack, "conf"),
                celery_shows(stack, "stats"),
                *flower_shows(stack),
            ]
            lines = [" ".join(each.cmdline()) for each in stack.family]
            assert len(lines) >= 5
            server.kill()
            said += [str(stack.run("queues").stderr)]
            assert "cannot be reached" in said[-1]
            server.restart()
            stack.stop()
            said += [stack.log, *lines]
            logs = list((short_path / "state" / "logs").iterdir())
            assert {"cv-worker.log", "cv-worker.log.1"} <= {path.name for path in logs}
            said += [path.read_text(errors="replace") for path in logs]
        for secret in secrets:
            for text in said:
                at = text.find(secret)
                assert at < 0, text[max(0, at - 300) : at + 100]
    finally:
        server.end()


def use(stack: Stack, folder: Path) -> list[str]:
    """Run commands that succeed, fail and print help. Returns all their output."""
    (folder / "good.png").write_bytes(file_of("PNG"))
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    commands = [
        ["enqueue", "hsv", folder / "good.png", folder / "bad.png", "--wait"],
        ["queues", "--json"],
        ["status", "nobody"],
        ["--help"],
        ["up", "--help"],
        ["up"],
    ]
    done = [stack.run(*command) for command in commands]
    done += [stack.run("queues", **setting) for setting in wrong(stack)]
    return [each.stdout + each.stderr for each in done]


def wrong(stack: Stack) -> list[dict[str, str]]:
    """Settings with passwords in them that cannot be used."""
    return [
        {"REDIS_URL": stack.env["AGEWELL_REDIS_URL"] + "/not-a-number"},
        {"REDIS_URL": "redis://hunter2/A=@x"},
        {"REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"},
        {"BLOB_URL": "s3://KEY:hunter2/x@bucket"},
    ]


def celery_shows(stack: Stack, what: str) -> str:
    """The output of `celery inspect`."""
    command = [sys.executable, "-m", "celery", "-A", "agewell.workers.upkeep", "inspect", what]
    done = subprocess.run(command, env=stack.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "redis" in done.stdout
    return done.stdout + done.stderr


def flower_shows(stack: Stack) -> list[str]:
    """Flower's pages of brokers and workers."""
    login = basic("agewell:hunter2-flower")
    url = stack.running.flower_url
    pages = [get(f"{url}/{page}", login) for page in ("broker", "workers")]
    assert [page.status for page in pages] == [200, 200]
    return [page.text for page in pages]
