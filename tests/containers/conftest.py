"""One engine, one checkout, one set of images and one running stack for all these tests."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.base_images import PackageServer
from tests.containers.engine import Engine, cannot_run, folder, running_engine
from tests.containers.stack import Stack, checkout

MEASURED: list[tuple[str, str]] = []
"""Measured values with their names, for the table at the end."""


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    reason = cannot_run()
    if reason:
        pytest.skip(reason)
    before = _network()
    with PackageServer.running(folder() / "base"), running_engine() as engine:
        yield engine
    assert _network() == before


def _network() -> list[str]:
    """This machine's interfaces and firewall rules."""
    ip = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=False)
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False)
    links = [line.split()[0] for line in ip.stdout.splitlines()]
    return links + [line for line in rules.stdout.splitlines() if line.startswith("-")]


@pytest.fixture(scope="session")
def unbuilt(engine: Engine) -> Stack:
    """A user's checkout, with secrets and without images."""
    return Stack(engine, checkout(engine.folder))


@pytest.fixture(scope="session")
def images(unbuilt: Stack, measured) -> Stack:
    """A checkout whose images are built."""
    for name in ("producer", "cv", "infer"):
        took_s = unbuilt.build(name)
        size = unbuilt.engine.get(f"/images/agewell-{name}:0.1.0/json")["Size"]
        measured(f"build {name}", f"{took_s:.0f} s, {size / 1e6:.0f} MB")
    return unbuilt


@pytest.fixture(scope="session")
def stack(images: Stack, measured) -> Iterator[Stack]:
    """A running stack, with all that `docker compose up` starts."""
    try:
        images.up_s = images.up()
        measured("up, until all are healthy", f"{images.up_s:.1f} s")
        yield images
    finally:
        images.down()


@pytest.fixture(scope="session")
def measured():
    """Notes a measured value for the table at the end."""
    return lambda name, value: MEASURED.append((name, value))


@pytest.fixture
def out(stack: Stack, request) -> Path:
    """A folder of the user, for the results of one test. The command makes it."""
    name = re.sub(r"\W+", "-", request.node.name)[:40]
    return stack.folder / f"results-{name}-{time.time_ns()}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MEASURED:
        terminalreporter.section("containers")
        for name, value in MEASURED:
            terminalreporter.write_line(f"{name:<44} {value}")
