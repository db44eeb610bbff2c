"""One run of kombu's tests against a connection class, on a Redis that is started for it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import redis

from agewell.shared.redis.scripts import load_all
from tests.chaos.redis_process import RedisProcess
from tests.kombu_suite.substitute import CONNECTION
from tests.support.paths import ROOT

FILES = ("test_redis.py", "test_redis_brpop_qos.py")
TIMEOUT_S = 240
ONE_TEST_TIMEOUT_S = 60

MORE_RUNS = 3
BESIDE = 8
"""Processes that run tests beside each other: most of them sleep most of the time."""


@dataclass(frozen=True)
class Outcome:
    """The tests that ran, by name: `test_redis.py::class::function[parameter]`."""

    passed: frozenset[str]
    failed: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        """Every test that ran."""
        return self.passed | self.failed


def run_suite(suite: Path, connection: str, expected: Collection[str] = ()) -> Outcome:
    """Run all tests. Those that fail unexpectedly run again, alone, up to `MORE_RUNS` times.

    The tests wait for seconds on clocks of their own, and a busy machine is late. kombu's own
    continuous integration runs a test that failed up to five times.

    Args:
        suite: the folder that `fetch_suite` returned.
        connection: the class to test: its module, a colon, its name.
        expected: tests that need no other run when they fail.
    """
    found = run_tests(suite, connection, FILES, "--numprocesses", str(BESIDE))
    for _ in range(MORE_RUNS):
        unexpected = found.failed - set(expected)
        if not unexpected:
            break
        again = run_tests(suite, connection, sorted(unexpected))
        found = Outcome(found.passed | again.passed, found.failed - again.passed)
    return found


def run_tests(suite: Path, connection: str, tests: Sequence[str], *options: str) -> Outcome:
    """Run some tests on an empty Redis."""
    with tempfile.TemporaryDirectory(prefix="aw-") as folder:
        report = Path(folder, "report.xml")
        server = RedisProcess(Path(folder, "redis"), password="")
        try:
            # A take on a new Redis first answers that it has no script, and a worker takes again.
            # A test that calls the event loop's readers itself has no second try.
            with redis.Redis(port=server.port) as client:
                load_all(client)
            done = subprocess.run(
                [*_command(report), *options, *(f"t/integration/{each}" for each in tests)],
                cwd=suite,
                env=_environment(connection, server.port),
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        finally:
            server.end()
        # 0: all tests passed, 1: some failed; all else is no run of tests.
        assert done.returncode in {0, 1}, done.stdout + done.stderr
        return _read(report)


def _command(report: Path) -> list[str]:
    """Start pytest as kombu's setup.cfg says. Its reports go to a file."""
    plugin = "tests.kombu_suite.substitute"
    return [
        *(sys.executable, "-m", "pytest", "-p", plugin, "-p", "no:cacheprovider"),
        *("--timeout", str(ONE_TEST_TIMEOUT_S), "--junit-xml", str(report), "--tb", "short"),
    ]


def _environment(connection: str, port: int) -> dict[str, str]:
    """kombu's tests read the server's address from variables."""
    return os.environ | {
        CONNECTION: connection,
        "PYTHONPATH": str(ROOT),
        "REDIS_HOST": "127.0.0.1",
        "REDIS_6379_TCP": str(port),
    }


def _read(report: Path) -> Outcome:
    """Read pytest's report. A test that failed and whose teardown failed as well is in it twice."""
    ran, failed = set(), set()
    for case in ElementTree.parse(report).iter("testcase"):
        _, _, module, *group = case.attrib["classname"].split(".")
        name = "::".join([f"{module}.py", *group, case.attrib["name"]])
        ran.add(name)
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(name)
    return Outcome(frozenset(ran - failed), frozenset(failed))
