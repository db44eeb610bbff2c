"""Worker ids: one for each lifetime of a worker, with the process that it is.

Whoever shares the worker's machine sees at once that the process has ended.
"""

import hashlib
import os
import socket
import uuid
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")


@cache
def _machine() -> str:
    """Where numbers of processes mean the same: this boot, this container; empty where unknown."""
    try:
        parts = (socket.gethostname(), _BOOT_ID.read_text(), str(_NAMESPACE.readlink()))
    except OSError:
        return ""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


_MINE: set[str] = set()


def name_worker(name: str) -> str:
    """A worker id for a lifetime in this process, unlike every other."""
    worker_id = f"{name}:{_machine()}.{os.getpid()}:{uuid.uuid4().hex}"
    _MINE.add(worker_id)
    return worker_id


def precedes(worker_id: str, mine: str) -> bool:
    """True if an id is of a dead worker in whose place a worker of this process has come.

    It has the same name and the same machine. Its process is gone, or its number is this one's, as
    it is in a container that was started again.
    """
    if (
        worker_id in _MINE
        or worker_id.rpartition(":")[0].rpartition(".")[0]
        != (mine.rpartition(":")[0].rpartition(".")[0])
    ):
        return False
    pid = worker_id.rpartition(":")[0].rpartition(".")[2]
    return pid == str(os.getpid()) or has_ended(worker_id)


def has_ended(worker_id: str) -> bool:
    """True if a worker's process is seen to be gone; False if it is there or cannot be seen."""
    _, _, place = worker_id.rpartition(":")[0].rpartition(":")
    machine, _, pid = place.partition(".")
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
    """Whether a process has ended and nobody has asked for its status yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # proc(5): the state follows the command, which is in parentheses and may hold some itself.
    return stat.rpartition(")")[2].split()[0] in ("Z", "X")
