"""Tells the program that started this process that it is ready: systemd's sd_notify(3) protocol."""

import os
import socket
from typing import Any

from celery import signals


def notify_ready(**_: Any) -> None:
    """Send READY=1 to the datagram socket in NOTIFY_SOCKET, if that is set."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        # systemd writes an abstract socket's leading zero byte as @.
        notify.sendto(b"READY=1", "\0" + address[1:] if address[0] == "@" else address)


def announce() -> None:
    """Have a Celery worker or beat report that it is ready."""
    signals.worker_ready.connect(notify_ready)
    signals.beat_init.connect(notify_ready)
