"""Sends jobs, and counts how they end, from a container of the stack.

It prints one line of JSON. It runs in the producer's image, at the place of the checkout.
"""

import argparse
import json
import random
import sys
import time
from pathlib import Path

from kombu.exceptions import OperationalError

from agewell import Client, HsvItem, HsvJob, ImageRef, State
from agewell.errors import AgewellError
from tests.chaos.observer import Observer


def send(client: Client, image: ImageRef, images: int, later_s: float) -> str | None:
    """Send one job. None if Redis did not acknowledge it.

    Args:
        client: a connection.
        image: the job's image.
        images: how often the job has it.
        later_s: if not 0, a plain Celery client sends it, with this countdown.
    """
    job = HsvJob(items=(HsvItem(image=image),) * images)
    try:
        if not later_s:
            return client.send(job)
        document = job.model_dump(mode="json")
        app = client.session.app
        return str(app.send_task("cv.hsv", [document], queue="cv", countdown=later_s).id)
    except (AgewellError, OperationalError):
        time.sleep(0.2)
        return None


def send_all(client: Client, image: ImageRef, args: argparse.Namespace) -> list[str]:
    """Send so many jobs, at most so many a second."""
    sent: list[str] = []
    began = time.monotonic()
    while len(sent) < args.jobs:
        if job_id := send(client, image, args.images, args.later_s):
            sent.append(job_id)
        if args.rate:
            ahead_s = len(sent) / args.rate - (time.monotonic() - began)
            time.sleep(max(0.0, ahead_s + random.uniform(0, 1 / args.rate)))
    return sent


def wait_until_one_runs(client: Client, sent: list[str]) -> None:
    """Return as soon as one of the jobs runs.

    Raises:
        TimeoutError: none did within 30 s.
    """
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        records = filter(None, map(client.status, sent))
        if any(record.state is State.RUNNING for record in records):
            return
        time.sleep(0.05)
    raise TimeoutError("no job ran within 30 s")


def ends(client: Client, sent: list[str], timeout_s: float) -> dict[str, int]:
    """Count the states of jobs, once all have ended or the time is over."""
    deadline = time.monotonic() + timeout_s
    states: dict[str, State | None] = dict.fromkeys(sent)
    while (left := [each for each in sent if not _ended(states[each])]) and (
        time.monotonic() < deadline
    ):
        try:
            for job_id in left:
                record = client.status(job_id)
                states[job_id] = None if record is None else record.state
        except AgewellError:
            time.sleep(0.2)
        time.sleep(0.2)
    found = ["lost" if state is None else state.value for state in states.values()]
    return {name: found.count(name) for name in sorted(set(found))}


def _ended(state: State | None) -> bool:
    return state is not None and state.ended


def main() -> int:
    """Send jobs, or look at those that were sent, and print what was seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("send", "follow", "look"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--images", type=int, default=1, help="images of a job")
    parser.add_argument("--image", type=Path, default=Path("examples/images/bird.jpg"))
    parser.add_argument("--rate", type=float, default=0.0, help="jobs a second")
    parser.add_argument("--later-s", type=float, default=0.0)
    parser.add_argument("--until-one-runs", action="store_true")
    parser.add_argument("--timeout-s", type=float, default=120.0)
    parser.add_argument("--ids", type=Path, default=Path("ids.json"))
    args = parser.parse_args()
    with Client.open() as client:
        seen = Observer(client.session.client)
        if args.what == "look":
            sent = json.loads(args.ids.read_text())
        else:
            (image,) = client.put(args.image)
            sent = send_all(client, image, args)
            args.ids.write_text(json.dumps(sent))
        if args.until_one_runs:
            wait_until_one_runs(client, sent)
        found = {} if args.what == "send" else ends(client, sent, args.timeout_s)
        twice = len({*seen.twice()} & {*sent})
        seen.close()
    sys.stdout.write(json.dumps({"sent": len(sent), "ended_twice": twice, **found}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
