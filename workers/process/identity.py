"""Worker ids: one for each start of a worker, with the number of its process.

Another process on the same machine can see at once that the worker's process has ended.
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
"""After this many seconds without a heartbeat, a worker's successor may take it for dead. A
worker beats once a second, and a container takes longer than this to restart."""


@cache
def _machine() -> str:
    """Identify the machine, and the container on it, in which process numbers are unique.

    Returns:
        A hash of the host's name and boot, a dash, and the number of the process namespace. A
        container
        A hash of the host's name and boot, a dash, and the number of the process namespace. A
        container that restarts has a new namespace. Empty if unknown.
    """
    try:
        host = f"{socket.gethostname()}\n{_BOOT_ID.read_text()}"
        namespace = "".join(filter(str.isdecimal, str(_NAMESPACE.readlink())))
    except OSError:
        return ""
    return f"{hashlib.sha256(host.encode()).hexdigest()[:16]}-{namespace}"


_MINE: set[str] = set()


def name_worker(name: str) -> str:
    """Return a new id for a worker in this process. It is unique."""
    worker_id = f"{name}:{_machine()}.{os.getpid()}:{uuid.uuid4().hex}"
    _MINE.add(worker_id)
    return worker_id


def is_predecessor(worker_id: str, mine: str, silent_s: float) -> bool:
    """True if an id belongs to a dead worker that was replaced by a worker of this process.

    The dead worker had the same name and host. Its process is gone, or had the number of this one.
    A restarted container has another process namespace, and a second copy of it may run at the same
    time. So in that case the other worker must also have been silent for `SILENT_S`.

    Args:
        worker_id: id of the other worker.
        mine: id of this worker. A worker that has lost its connection has a new id but has not
            died.
        silent_s: seconds since the other worker's last heartbeat.
    """
    name, machine, pid = _parts(worker_id)
    my_name, my_machine, my_pid = _parts(mine)
    if worker_id in _MINE or name != my_name or not machine:
        return False
    if machine == my_machine:
        return pid == my_pid or process_has_ended(worker_id)
    is_same_host = machine.partition("-")[0] == my_machine.partition("-")[0]
    return is_same_host and pid == my_pid and silent_s >= SILENT_S


def _parts(worker_id: str) -> tuple[str, str, str]:
    """Return the name, the machine and the process number in a worker id."""
    name, _, place = worker_id.rpartition(":")[0].rpartition(":")
    machine, _, pid = place.partition(".")
    return name, machine, pid


def process_has_ended(worker_id: str) -> bool:
    """True if a worker's process is certainly gone.

    False if it exists or cannot be seen from here.
    """
    _, machine, pid = _parts(worker_id)
    if not machine or machine != _machine() or not pid.isdecimal():
        return False
    try:
        # Signal 0 is not sent. For another user's process this fails with EPERM: it exists.
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return _is_zombie(int(pid))


def _is_zombie(pid: int) -> bool:
    """True if a process has ended but its parent has not read its exit status yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # proc(5): the state follows the command, which stands in parentheses and may contain some.
    return stat.rpartition(")")[2].split()[0] in ("Z", "X")
