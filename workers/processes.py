"""Which process a run of a worker is: whoever shares its machine sees at once that it has ended."""

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


def name_run(worker: str) -> str:
    """A name for a run of a worker in this process, unlike that of every other run."""
    return f"{worker}:{_machine()}.{os.getpid()}:{uuid.uuid4().hex}"


def has_ended(run: str) -> bool:
    """Whether a run's process is seen not to be there any more; False where it cannot be seen."""
    _, _, place = run.rpartition(":")[0].rpartition(":")
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
