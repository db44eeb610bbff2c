"""Groups of tests that run in one process."""

import pytest

from tests.support.groups import FAULTS_OF_PROCESSES, FAULTS_OF_REDIS, FILES, FIRST, STACK, group_of
from tests.support.paths import ROOT


@pytest.mark.parametrize("name", " ".join(FILES.values()).split())
def test_every_file_of_a_group_exists(name):
    assert (ROOT / "tests" / "e2e" / f"test_{name}.py").exists()


@pytest.mark.parametrize("path", [each for each in FIRST if "/" in each])
def test_every_file_that_is_begun_first_exists(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/e2e/test_client.py::test_a[1]", STACK),
        ("tests/integration/blobs/test_blobs.py::test_a[valkey-1]", "valkey Redis"),
        ("tests/integration/blobs/test_blobs.py::test_a", "tests/integration/blobs/test_blobs.py"),
        ("tests/unit/test_errors.py::test_a[embedded]", "tests/unit/test_errors.py"),
        ("tests/chaos/test_faults.py::test_a[Redis: FLUSHALL]", FAULTS_OF_REDIS),
        ("tests/chaos/test_faults.py::test_a[SIGTERM of the worker]", FAULTS_OF_PROCESSES),
    ],
)
def test_group_of_a_test(nodeid, group):
    assert group_of(nodeid) == group
