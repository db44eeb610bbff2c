"""The short form of `make chaos`: whatever happens, every job ends, and once."""

from collections.abc import Iterator

import pytest

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.run import Scenes, table


@pytest.fixture(scope="module")
def scenes() -> Iterator[Scenes]:
    with Scenes() as kept:
        yield kept


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", [each for each in FAULTS if not each.slow], ids=lambda fault: fault.name
)
def test_every_job_ends_once(scenes: Scenes, fault: Fault):
    if reason := fault.unless():
        pytest.skip(reason)
    row = scenes.run(fault, long=False)
    assert row.harmless(), table([row])
