"""Checks of `agewell doctor` on Redis: version, memory, persistence and clock."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import redis

from agewell.producer.doctor.finding import Finding, Verdict, note, ok, problem
from agewell.shared.redis.clock import redis_now
from agewell.shared.redis.connection import CONNECT_TIMEOUT_S, REDIS_ERRORS, url_of
from agewell.shared.redis.loading import loading_of
from agewell.shared.settings import Settings
from agewell.shared.text.urls import without_password

OLDEST = (6, 2)
"""The oldest Redis that works. It is the first one with LMOVE and GETEX."""

CLOCKS_APART_S = 5.0
MEMORY_HIGH = 0.9

Clock = Callable[[], float]


def check_redis(settings: Settings, client: redis.Redis, clock: Clock) -> Iterator[Finding]:
    """Check that Redis answers and is fit to hold jobs. Later checks need an answer to this one."""
    url = without_password(url_of(settings))
    try:
        info = _info(settings, client)
    except REDIS_ERRORS as error:
        yield _unanswered(url, error)
        return
    trouble = _takes_no_jobs(url, info)
    if trouble is not None:
        yield trouble
        return
    yield ok("redis", f"answers at {url}")
    version = _version(info)
    yield version
    if version.verdict is Verdict.PROBLEM:
        return
    yield _policy(info)
    yield _memory(info)
    yield _persistence(info)
    yield _clocks(client, clock)


def _info(settings: Settings, client: redis.Redis) -> dict[str, Any]:
    try:
        return client.info()
    except redis.ResponseError as error:
        if "unknown command" not in str(error):
            raise
    # A Redis older than 6.0 has no HELLO, the first command of a connection today.
    with redis.Redis.from_url(
        url_of(settings), protocol=2, socket_connect_timeout=CONNECT_TIMEOUT_S
    ) as old:
        found: dict[str, Any] = old.info()
        return found


def answers(client: redis.Redis) -> bool:
    """Tell if Redis answers, so that other checks make sense."""
    try:
        client.ping()
    except REDIS_ERRORS:
        return False
    return True


def _unanswered(url: str, error: Exception) -> Finding:
    text = str(error)
    if isinstance(error, redis.AuthenticationError) or "WRONGPASS" in text or "NOAUTH" in text:
        return problem(
            "redis",
            f"refuses the password, or asks for one: {text}",
            "set AGEWELL_REDIS_URL=redis://USER:PASSWORD@HOST:PORT/0 as in its ACL; "
            "write @, : and / in a password as %40, %3A, %2F",
        )
    if isinstance(error, redis.exceptions.NoPermissionError):
        return problem(
            "redis",
            f"knows the user, who may not do this: {text}",
            "give the user the commands of deploy/redis-users.acl",
        )
    return problem(
        "redis",
        f"does not answer at {url}: {_why(error)}",
        "start it (`agewell up` starts its own), or set AGEWELL_REDIS_URL to its address",
    )


def _takes_no_jobs(url: str, info: dict[str, Any]) -> Finding | None:
    """Report a Redis that answers, but takes no jobs (yet). Returns None if it takes them."""
    if info.get("loading"):
        return problem(
            "redis",
            f"{loading_of(info)} (at {url})",
            "wait until it has loaded, or run your command now: it waits too",
        )
    if info.get("role") == "slave":
        master = f"{info.get('master_host')}:{info.get('master_port')}"
        link = "" if info.get("master_link_status") == "up" else ", to which its link is down"
        return problem(
            "redis",
            f"the one at {url} is a replica of {master}{link}, and takes no jobs",
            "set AGEWELL_REDIS_URL to the master, or to the sentinels that know which one it is",
        )
    if info.get("redis_mode") == "cluster":
        return problem(
            "redis",
            f"the one at {url} is part of a Redis Cluster, which agewell does not support",
            "use one Redis, with replicas behind Sentinel if you need them",
        )
    return None


def _why(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, socket.gaierror):
        cause = cause.__cause__ or cause.__context__
    return f"no such host ({error})" if cause is not None else str(error)


def _version(info: dict[str, Any]) -> Finding:
    version = str(info["redis_version"])
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < OLDEST:
        return problem(
            "version",
            f"Redis {version}; aging needs LMOVE, which came with 6.2",
            "use Redis 6.2 or newer (`agewell up` brings one)",
        )
    return ok("version", f"Redis {version}")


def _policy(info: dict[str, Any]) -> Finding:
    policy, limit = info.get("maxmemory_policy", "noeviction"), int(info.get("maxmemory", 0))
    if policy == "noeviction":
        return ok("eviction", "none: a full Redis refuses new jobs and drops no old ones")
    do = "CONFIG SET maxmemory-policy noeviction, and the same line in redis.conf"
    if not limit:
        return note("eviction", f"{policy}, once a maxmemory is set", do)
    return problem("eviction", f"{policy}: a full Redis would silently drop jobs", do)


def _memory(info: dict[str, Any]) -> Finding:
    used, limit = int(info["used_memory"]), int(info.get("maxmemory", 0))
    if not limit:
        return note(
            "memory",
            f"{_mib(used)} used, no limit: Redis grows until the machine kills it",
            "set maxmemory to the memory that you can spare; agewell then refuses jobs in time",
        )
    found = f"{_mib(used)} of {_mib(limit)} used"
    if used > MEMORY_HIGH * limit:
        return problem("memory", found, "raise maxmemory, or wait until workers have caught up")
    return ok("memory", found)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.0f} MiB"


def _persistence(info: dict[str, Any]) -> Finding:
    for name in ("aof_last_write_status", "rdb_last_bgsave_status"):
        if info.get(name, "ok") != "ok":
            return problem(
                "persistence",
                f"{name} is {info[name]}: Redis cannot write to its disk",
                "read Redis's log; the usual causes are a full disk and missing rights",
            )
    if int(info.get("aof_enabled", 0)):
        return ok("persistence", "append-only file: a restart keeps the jobs")
    return note(
        "persistence",
        "no append-only file: a restart loses the jobs since the last snapshot, if there is one",
        "CONFIG SET appendonly yes, and the same line in redis.conf",
    )


def _clocks(client: redis.Redis, clock: Clock) -> Finding:
    asked = clock()
    there = redis_now(client)
    apart_s = there - (asked + clock()) / 2
    if abs(apart_s) <= CLOCKS_APART_S:
        return ok("clocks", f"{abs(apart_s) * 1000:.0f} ms between Redis's and this machine's")
    now = time.strftime("%H:%M:%S", time.gmtime(there))
    return problem(
        "clocks",
        f"this machine is {abs(apart_s):,.0f} s {'behind' if apart_s > 0 else 'ahead of'} "
        f"Redis's, which has {now} UTC: tasks may expire before they start",
        "run a time service (chrony, systemd-timesyncd) on both machines",
    )
