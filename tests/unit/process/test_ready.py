"""Messages of a process to systemd: that it is ready, alive and ending."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agewell.workers.process.ready import notify_alive, notify_ready, notify_stopping

QUEUE_MAX = 10_000


@pytest.fixture
def heard(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(short_path / "notify"))
        server.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(short_path / "notify"))
        yield server


def test_it_says_that_it_is_ready_and_that_it_stops(heard: socket.socket):
    notify_ready()
    notify_stopping()
    assert [heard.recv(99), heard.recv(99)] == [b"READY=1", b"STOPPING=1"]


def test_it_says_that_it_is_alive_to_a_watchdog_of_its_own(
    heard: socket.socket, monkeypatch: pytest.MonkeyPatch
):
    notify_alive()
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    notify_alive()
    with pytest.raises(BlockingIOError):
        heard.recv(99)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    notify_alive()
    assert heard.recv(99) == b"WATCHDOG=1"


def test_a_socket_that_nobody_reads_stops_nobody(heard: socket.socket):
    for _ in range(QUEUE_MAX):
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
                other.setblocking(False)
                other.sendto(b"", os.environ["NOTIFY_SOCKET"])
        except BlockingIOError:
            break
    notify_stopping()  # returns


def test_without_systemd_it_says_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify_ready()
