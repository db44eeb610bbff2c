"""Flower in its container: its password, and what it keeps when it starts anew."""

import base64
import urllib.error
import urllib.request

from tests.containers.stack import Stack
from tests.support.stack import until


def status_of(stack: Stack, password: str | None = None, page: str = "/") -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{stack.flower_port}{page}")
    if password is not None:
        pair = base64.b64encode(f"agewell:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {pair}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def password_of(stack: Stack) -> str:
    return (stack.folder / "deploy/secrets/agewell_flower_password").read_text().strip()


def test_it_asks_for_its_password(stack: Stack):
    assert status_of(stack) == 401
    assert status_of(stack, "wrong") == 401
    assert status_of(stack, password_of(stack)) == 200


def test_it_remembers_tasks_when_it_starts_anew(stack: Stack):
    stack.load("follow", "--jobs", 1, "--ids", "of-flower.json")
    job_id = (stack.folder / "of-flower.json").read_text().strip('[]"\n')
    password = password_of(stack)

    def is_known() -> bool:
        return status_of(stack, password, f"/task/{job_id}") == 200

    until(is_known, 30, lambda: stack.logs("flower"))
    stack.compose("restart", "flower")
    stack.wait_healthy("flower")
    assert stack.inside("flower", "sh", "-c", "ls /state") != ""
    assert "Traceback" not in stack.logs("flower")
    until(is_known, 30, lambda: stack.logs("flower"))
