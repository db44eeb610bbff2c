"""Checks of `agewell doctor` on the rest of the stack: workers, beat, blobs, dead letters, GPU."""

import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from agewell.producer.doctor.finding import Finding, note, ok, problem
from agewell.producer.session import Session
from agewell.shared.errors import AgewellError
from agewell.shared.protocol.tasks import WORK_QUEUES, Queue
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.paused_workers import paused_workers
from agewell.shared.queue.status import queue_status
from agewell.shared.text.units import duration
from agewell.shared.text.urls import without_password

INSPECT_TIMEOUT_S = 2.0
SWEEPS_MISSED = 5
SWEEP_LATE_MIN_S = 10.0
"""A sweep is not late before this, even with a short interval: the upkeep worker may be busy."""

LOOK_S = 0.25
LETTERS_READ, REASONS_SHOWN, REASON_CHARACTERS = 1000, 3, 80

PROBE_BYTES = 64 * 1024
DISK_LOW = 0.05

_COMMANDS = {
    Queue.CV: "celery -A agewell.workers.cv worker -Q cv",
    Queue.INFER: "celery -A agewell.workers.infer worker -Q infer",
    Queue.UPKEEP: "celery -A agewell.workers.upkeep worker -Q upkeep",
}


def check_workers(session: Session) -> Iterator[Finding]:
    """Check that each queue has a worker that answers, and that beat runs."""
    asked = session.app.control.inspect(timeout=INSPECT_TIMEOUT_S).active_queues() or {}
    takers = {
        queue: sorted(name for name, queues in asked.items() if queue in _names(queues))
        for queue in Queue
    }
    found = queue_status(session.client, session.settings, session.now())
    statuses = {each.queue: each for each in found}
    for queue, workers in takers.items():
        waiting = sum(level.waiting for level in statuses[queue].levels)
        yield _queue(queue, workers, waiting)
    yield from _paused(session)
    has_upkeep = bool(takers[Queue.UPKEEP])
    yield _beat(session, _sweep_ages_s(session, waits=has_upkeep), upkeep=has_upkeep)


def _names(queues: list[dict[str, Any]]) -> set[str]:
    return {each["name"] for each in queues}


def _queue(queue: Queue, workers: list[str], waiting: int) -> Finding:
    check = f"workers of {queue}"
    if workers:
        return ok(check, ", ".join(workers))
    if queue is Queue.INFER and not waiting:
        return note(check, "none", f"`{_COMMANDS[queue]}` starts one, if you want to run models")
    held = f"; {waiting:,} jobs wait there" if waiting else ""
    return problem(
        check,
        f"none answers within {INSPECT_TIMEOUT_S:g} s{held}",
        f"start one: `agewell up`, or `{_COMMANDS[queue]}` with the same AGEWELL_REDIS_URL",
    )


def _paused(session: Session) -> Iterator[Finding]:
    """Report workers that wait for their blob store. This machine may reach it all the same."""
    for run, reason in paused_workers(session.client).items():
        yield problem(
            "paused",
            f"{run.partition(':')[0]} takes no jobs: {reason}",
            "fix the store on that machine; the worker then goes on by itself, and no job is lost",
        )


def _late_s(session: Session) -> float:
    """Return the age in seconds from which on the last sweep is late."""
    return max(SWEEP_LATE_MIN_S, SWEEPS_MISSED * session.settings.aging_interval_s)


def _sweep_ages_s(session: Session, *, waits: bool) -> list[float]:
    """Return how long ago each queue was swept, in seconds. Queues that never were are left out.

    Args:
        session: names the Redis.
        waits: if no queue was swept ever, wait for the first sweep until it is late. A stack that
            has just started has swept none yet.
    """
    ends_at = time.monotonic() + (_late_s(session) if waits else 0)
    while True:
        found = queue_status(session.client, session.settings, session.now())
        ages = [each.last_sweep_s_ago for each in found if each.queue in WORK_QUEUES]
        known = [age for age in ages if age is not None]
        if known or time.monotonic() >= ends_at:
            return known
        time.sleep(LOOK_S)


def _beat(session: Session, ages_s: list[float], *, upkeep: bool) -> Finding:
    """Check beat by the age of the last sweep that it asked for."""
    if ages_s and min(ages_s) <= _late_s(session):
        return ok("beat", f"the queues were swept {max(0.0, min(ages_s)):.1f} s ago")
    when = f"for {min(ages_s):,.0f} s" if ages_s else "ever"
    if not upkeep:
        return problem(
            "beat",
            f"no sweep has run {when}: no worker takes the queue upkeep",
            "start that worker first; without it, jobs do not age, and dead workers keep theirs",
        )
    return problem(
        "beat",
        f"no sweep has run {when}, though a worker waits for it: beat is dead",
        "start it, once for all machines: `agewell up`, or `celery -A agewell.workers.upkeep beat`",
    )


def check_blobs(session: Session) -> Finding:
    """Check that the blob store takes bytes and gives them back."""
    url = session.settings.blob_url or "redis"
    data = os.urandom(PROBE_BYTES)
    try:
        [ref] = session.blobs.put([("doctor", "image/png", data)])
        session.blobs.get(ref)
    except AgewellError as error:
        return problem(
            "blobs",
            str(error),
            "free space, or set AGEWELL_BLOB_URL to a store with room that every machine can reach",
        )
    return _space(url) or ok("blobs", f"{without_password(url)} takes bytes and gives them back")


def _space(url: str) -> Finding | None:
    if not url.startswith("file://"):
        return None
    usage = shutil.disk_usage(url.removeprefix("file://"))
    if usage.free > DISK_LOW * usage.total:
        return None
    return note(
        "blobs",
        f"{url}: {usage.free / 2**30:.1f} GiB left, {usage.free / usage.total:.0%} of the disk",
        "free space, lower AGEWELL_BLOB_TTL_S, or set AGEWELL_BLOB_URL to another store",
    )


def check_dead_letters(session: Session) -> Finding:
    """Report the dead letters that are still there."""
    letters = DeadLetters(session.client)
    count = letters.count()
    if not count:
        return ok("dead letters", "none")
    oldest_s = max(0.0, session.now() - letters.oldest_at())
    reasons = Counter(_kind(each.reason) for each in letters.latest(LETTERS_READ))
    top = "; ".join(f"{number:,} x {kind}" for kind, number in reasons.most_common(REASONS_SHOWN))
    return note(
        "dead letters",
        f"{count:,}, the oldest given up {duration(oldest_s)} ago: {top}",
        "see them with `agewell dead list` and `agewell dead show ID`; once the cause is fixed, "
        "send them again with `agewell dead retry`, or delete them with `agewell dead drop`",
    )


def _kind(reason: str) -> str:
    """Return the beginning of a reason without its numbers, the same for the same cause."""
    return re.sub(r"[0-9]+", "N", reason)[:REASON_CHARACTERS]


def check_gpu() -> Finding:
    """Report the GPUs of this machine, as nvidia-smi lists them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ok("gpu", "none on this machine: models run on the processor")
    done = subprocess.run(
        [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        return problem("gpu", f"nvidia-smi fails: {said}", "reinstall or reload NVIDIA's driver")
    return ok("gpu", "; ".join(done.stdout.strip().splitlines()))
