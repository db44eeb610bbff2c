"""The short form of `make chaos`: whatever happens, every job ends, and once."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.run import Scenes, table
from tests.support import groups


@pytest.fixture(scope="module")
def scenes() -> Iterator[Scenes]:
    with Scenes() as kept:
        yield kept


def _with_its_group(fault: Fault) -> Any:
    """Faults of Redis and faults of processes may run side by side."""
    of_redis = fault.name.startswith(("Redis", "Sentinel"))
    group = groups.FAULTS_OF_REDIS if of_redis else groups.FAULTS_OF_PROCESSES
    return pytest.param(fault, id=fault.name, marks=pytest.mark.xdist_group(group))


@pytest.mark.slow
@pytest.mark.parametrize("fault", [_with_its_group(each) for each in FAULTS if not each.slow])
def test_every_job_ends_once(scenes: Scenes, fault: Fault):
    if reason := fault.unless():
        pytest.skip(reason)
    row = scenes.run(fault, long=False)
    assert row.harmless(), table([row])
