"""A stack with Flower behind a password and a prefix, and with metrics, as a site has it."""

import base64
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any

from tests.support.messages import good_job, send
from tests.support.stack import Stack, until

USER, PASSWORD = "agewell", "p:ss word-4711"
PREFIX = "ops/queue"
SETTINGS = {
    "CONCURRENCY": 1,
    "AGING_K": 0.2,  # a level is worth five seconds: slow enough to be looked at
    "FLOWER_PASSWORD": PASSWORD,
    "FLOWER_URL_PREFIX": f"/{PREFIX}/",
    "METRICS_PORT": 0,
}


def basic(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


LOGIN = basic(f"{USER}:{PASSWORD}")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        return json.loads(self.body)


def get(url: str, authorization: str | None = LOGIN, method: str = "GET", **headers: str) -> Answer:
    """Ask once, without following redirections."""
    sent = dict(headers) if authorization is None else headers | {"Authorization": authorization}
    request = urllib.request.Request(url, headers=sent, method=method)
    opener = urllib.request.build_opener(_NoRedirection)
    try:
        with opener.open(request, timeout=30) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


def flower(stack: Stack, path: str, **options: Any) -> Answer:
    """Ask Flower."""
    return get(stack.running.flower_url + path, **options)


def wait_heard(stack: Stack) -> None:
    """Wait until Flower listens to the workers. It misses their earlier events."""

    def heard() -> bool:
        job_id = send(stack, "cv.hsv", good_job())
        stack.wait_ended([job_id])
        return flower(stack, f"/api/task/info/{job_id}").status == 200

    until(heard, 60, lambda: flower(stack, "/api/tasks").text)
