"""Worker ids: one for each lifetime of a worker, with the number of its process.

Another process on the worker's machine sees at once that the process has ended.
"""

import hashlib
import os
import socket
import uuid
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")

SILENT_S = 2.0
"""Seconds without a heartbeat by which a worker's successor may take it for dead: it beats once a
second, and a container takes longer than this to start again."""


@cache
def _machine() -> str:
    """Identify where process numbers mean the same: a host and, on it, a container.

    Returns:
        A hash of the host's name and boot, a dash, and the number of the process namespace, which
        is new if a container is started again. Empty if unknown.
    """
    try:
        host = f"{socket.gethostname()}\n{_BOOT_ID.read_text()}"
        namespace = "".join(filter(str.isdecimal, str(_NAMESPACE.readlink())))
    except OSError:
        return ""
    return f"{hashlib.sha256(host.encode()).hexdigest()[:16]}-{namespace}"


_MINE: set[str] = set()


def name_worker(name: str) -> str:
    """A worker id for a lifetime in this process, unlike every other."""
    worker_id = f"{name}:{_machine()}.{os.getpid()}:{uuid.uuid4().hex}"
    _MINE.add(worker_id)
    return worker_id


def precedes(worker_id: str, mine: str, silent_s: float) -> bool:
    """True if an id is of a dead worker whose place a worker of this process has taken.

    It has the same name and host. Its process is gone, or had the number of this one. A container
    that is started again has another process namespace, and a twin of it may run beside it: so the
    worker must have been silent for a while, too.

    Args:
        worker_id: of the other worker.
        mine: of this one. A worker that has lost its connection has another id than before, but
            has not died.
        silent_s: seconds since the other worker's last heartbeat.
    """
    name, machine, pid = _parts(worker_id)
    my_name, my_machine, my_pid = _parts(mine)
    if worker_id in _MINE or name != my_name or not machine:
        return False
    if machine == my_machine:
        return pid == my_pid or has_ended(worker_id)
    is_same_host = machine.partition("-")[0] == my_machine.partition("-")[0]
    return is_same_host and pid == my_pid and silent_s >= SILENT_S


def _parts(worker_id: str) -> tuple[str, str, str]:
    """The name, the machine and the process of a worker."""
    name, _, place = worker_id.rpartition(":")[0].rpartition(":")
    machine, _, pid = place.partition(".")
    return name, machine, pid


def has_ended(worker_id: str) -> bool:
    """True if a worker's process is seen to be gone; False if it is there or cannot be seen."""
    _, machine, pid = _parts(worker_id)
    if not machine or machine != _machine() or not pid.isdecimal():
        return False
    try:
        # A signal of 0 is not sent. A process of another user's is refused, which shows it as well.
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return _is_zombie(int(pid))


def _is_zombie(pid: int) -> bool:
    """True if a process has ended, and its parent has not asked for its status yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # proc(5): the state follows the command, which is in parentheses and may hold some itself.
    return stat.rpartition(")")[2].split()[0] in ("Z", "X")
