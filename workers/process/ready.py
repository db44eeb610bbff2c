"""Tells the program that started this process how it fares: systemd's sd_notify(3) protocol."""

import os
import socket
from typing import Any

from celery import signals

SEND_TIMEOUT_S = 1.0
"""Nobody may read the socket, and a worker must not hang because of that."""


def notify_ready(**_: Any) -> None:
    """Report that this process is ready."""
    _notify(b"READY=1")


def notify_stopping(**_: Any) -> None:
    """Report that this process ends, so that systemd no longer expects signs of life."""
    _notify(b"STOPPING=1")


def notify_alive() -> None:
    """Report that the main loop goes round, if the unit of this very process has a watchdog."""
    if "WATCHDOG_USEC" in os.environ and os.environ.get("WATCHDOG_PID") == str(os.getpid()):
        _notify(b"WATCHDOG=1")


def announce() -> None:
    """Have a Celery worker or beat report that it is ready, and later that it stops."""
    signals.worker_ready.connect(notify_ready)
    signals.beat_init.connect(notify_ready)
    signals.worker_shutting_down.connect(notify_stopping)


def _notify(state: bytes) -> None:
    """Send a state to the datagram socket in NOTIFY_SOCKET, if that is set."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.settimeout(SEND_TIMEOUT_S)
        try:
            # systemd writes an abstract socket's leading zero byte as @.
            notify.sendto(state, "\0" + address[1:] if address[0] == "@" else address)
        except TimeoutError:
            return
