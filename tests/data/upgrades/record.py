"""Records all keys of a Redis in which a version of agewell has jobs: README.md says how.

python record.py OUT.json
"""

import base64
import hashlib
import importlib.util
import io
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import redis
from celery import Celery, chain, chord
from PIL import Image

IS_OLD = (
    importlib.util.find_spec("shared") is not None
    and importlib.util.find_spec("shared.messages") is not None
)
"""True for the versions whose packages were not yet parts of `agewell`."""

if IS_OLD:
    from shared.messages import HsvItem, HsvJob, InferItem, InferJob

    from producer.client import Client

    CV = "workers.app"
else:
    from agewell import Client, HsvItem, HsvJob, InferItem, InferJob

    CV = "agewell.workers.cv"

YEARS_S = str(10 * 365 * 86_400)
DUE_S = 60


def png(seed: int, width: int = 16, height: int = 12) -> bytes:
    """Encode an image of random pixels, or of one colour if it is large."""
    if width > 1000:
        pixels = np.full((height, width, 3), (10, 200, 90), np.uint8)
    else:
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def document(*seeds: int) -> dict[str, object]:
    """Return an HSV job over inline images, as a program without agewell writes it."""
    return {"op": "hsv", "items": [{"image": inline(seed)} for seed in seeds]}


def inline(seed: int) -> dict[str, object]:
    data = png(seed)
    return {
        "uri": f"data:image/png;base64,{base64.b64encode(data).decode()}",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "media_type": "image/png",
        "name": f"{seed}.png",
    }


def send_waiting(client: Client, app: Celery) -> dict[str, str]:
    """Send a job of each kind. Returns their ids by name."""
    refs = client.put(*((f"{seed}.png", png(seed)) for seed in range(6)))
    hsv = [HsvJob(items=(HsvItem(image=ref),)) for ref in refs]
    urgent = client.send(hsv[0], priority="urgent")
    several = client.send(HsvJob(items=tuple(HsvItem(image=ref) for ref in refs[1:3])), "bulk")
    batch = client.send_many(hsv[3:6], "low")
    infer = client.send(InferJob(model="digits", items=(InferItem(image=refs[0]),)))

    def step(*args: object) -> object:
        return app.signature("cv.hsv", args=args, queue="cv")

    chained = chain(step(document(6)), step({"op": "hsv"})).apply_async(priority=2)
    counted = chord([step(document(7)), step(document(8))], step({"op": "hsv"})).apply_async()
    scheduled = app.send_task("cv.hsv", [document(9)], queue="cv", priority=4, countdown=DUE_S)
    plain = app.send_task("cv.hsv", [document(10)], queue="cv", priority=3)
    return {
        "urgent": urgent,
        "several": several,
        **{f"batch-{number}": each for number, each in enumerate(batch)},
        "infer": infer,
        "chain": chained.id,
        "chord": counted.id,
        "scheduled": scheduled.id,
        "plain": plain.id,
    }


def send_running(client: Client, url: str, folder: Path) -> dict[str, str]:
    """Have a worker run a job, kill it, and leave another job waiting. Returns their ids."""
    large, small = client.put(("large.png", png(0, 2000, 1500)), ("1.png", png(1)))
    words = ("-A", CV, "worker", "-Q", "cv", "-n", "cv@recorded", "--concurrency=1")
    with (folder / "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", *words],
            env=os.environ | {"AGEWELL_REDIS_URL": url},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        running = client.send(HsvJob(items=(HsvItem(image=large),) * 64))
        deadline = time.monotonic() + 60
        while str(client.status(running).state) != "running":  # type: ignore[union-attr]
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    waiting = client.send(HsvJob(items=(HsvItem(image=small),)))
    return {"running": running, "waiting": waiting}


def dump(client: redis.Redis) -> dict[str, object]:
    """Return all keys but heartbeats, each as its type and its value in latin-1."""
    found: dict[str, object] = {}
    for key in sorted(client.scan_iter()):
        if 0 <= client.ttl(key) <= DUE_S:
            continue
        kind = client.type(key).decode()
        found[key.decode("latin-1")] = [kind, _value(client, key, kind)]
    return found


def _value(client: redis.Redis, key: bytes, kind: str) -> object:
    if kind == "string":
        return client.get(key).decode("latin-1")
    if kind == "hash":
        pairs = client.hgetall(key).items()
        return {a.decode("latin-1"): b.decode("latin-1") for a, b in sorted(pairs)}
    if kind == "list":
        return [each.decode("latin-1") for each in client.lrange(key, 0, -1)]
    if kind == "set":
        return sorted(each.decode("latin-1") for each in client.smembers(key))
    scored = client.zrange(key, 0, -1, withscores=True)
    return {member.decode("latin-1"): score for member, score in scored}


def main(out: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        password = secrets.token_hex(8)
        options = ("--port", str(port), "--save", "", "--dir", name, "--requirepass", password)
        server = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        url = f"redis://:{password}@127.0.0.1:{port}/0"
        os.environ |= {
            "AGEWELL_REDIS_URL": url,
            "AGEWELL_BLOB_URL": "redis",
            "AGEWELL_STATE_DIR": name,
            "AGEWELL_BLOB_TTL_S": YEARS_S,
            "AGEWELL_RESULT_TTL_S": YEARS_S,
        }
        try:
            time.sleep(0.5)
            app = Celery("somebody-else", broker=url, backend=url)
            app.conf.broker_transport_options = {"priority_steps": list(range(10))}
            with Client.open() as client:
                ids = send_running(client, url, Path(name)) | send_waiting(client, app)
            app.close()
            found = dump(redis.Redis.from_url(url))
        finally:
            server.terminate()
            server.wait()
    out.write_text(json.dumps({"ids": ids, "keys": found}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
