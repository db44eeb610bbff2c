"""A password in a URL shows nowhere: not in what is said, not in logs, not in a process list."""

from pathlib import Path

import pytest

from tests.chaos.redis_process import RedisProcess
from tests.e2e.stack import Stack, agewell, started
from tests.image_files import file_of


@pytest.mark.slow
def test_no_password_shows(short_path: Path):
    server = RedisProcess(short_path / "redis", "appendonly no", password="hunter2-redis")
    try:
        settings = {"REDIS_URL": server.url, "CONCURRENCY": 1, "LOG_LEVEL": "DEBUG"}
        secrets = ["hunter2-redis", "hunter2-flower"]
        with started(short_path / "state", **settings, FLOWER_PASSWORD="hunter2-flower") as stack:
            said = use(stack, short_path)
            lines = [" ".join(each.cmdline()) for each in stack.family]
            assert len(lines) >= 5
            server.kill()
            said += [str(stack.run("queues").stderr)]
            assert "cannot be reached" in said[-1]
            server.restart()
            stack.stop()
            said += [stack.said, *lines]
            logs = list((short_path / "state" / "logs").iterdir())
            assert len(logs) >= 4
            said += [path.read_text(errors="replace") for path in logs]
        for secret in secrets:
            for text in said:
                at = text.find(secret)
                assert at < 0, text[max(0, at - 300) : at + 100]
    finally:
        server.end()


def use(stack: Stack, folder: Path) -> list[str]:
    """Run what succeeds, what fails, and what helps; all that was said."""
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
    wrong = stack.run("queues", REDIS_URL=stack.env["AGEWELL_REDIS_URL"] + "/not-a-number")
    other = agewell("queues", env=stack.env | {"AGEWELL_REDIS_URL": "http://:hunter2-redis@x"})
    return [each.stdout + each.stderr for each in (*done, wrong, other)]
