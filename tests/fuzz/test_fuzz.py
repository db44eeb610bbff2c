"""The short form of `python -m tests.fuzz`: broken input is refused, and breaks nothing."""

from collections.abc import Iterator

import pytest

from tests.fuzz.images import CLEAR
from tests.fuzz.run import Found, fuzz_images, fuzz_inlet, fuzz_messages
from tests.support.stack import Stack, started, state_directory

COUNT = 320
GROWTH_MAX_MIB = 60
"""A decoder's first use takes some. A leak of one image an item would be far more."""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with state_directory() as folder, started(folder, LOG_LEVEL="ERROR") as running:
        yield running
        running.stop()


def assert_unharmed(found: Found) -> None:
    assert found.sent == COUNT
    assert found.replaced == 0
    assert found.growth_mib() < GROWTH_MAX_MIB, found.rss_mib


def test_mutated_images_are_decoded_or_refused(stack: Stack):
    found = fuzz_images(stack, COUNT)
    assert set(found.outcomes) <= CLEAR | {"image"}, found.outcomes
    assert sum(found.outcomes.values()) == COUNT
    assert found.outcomes["UndecodableError"] > COUNT / 10
    assert_unharmed(found)


def test_hostile_messages_are_refused_or_run_and_hold_up_nothing(stack: Stack):
    found = fuzz_inlet(stack, COUNT // 2)
    assert found.sent == COUNT // 2
    assert found.replaced == 0
    assert found.growth_mib() < GROWTH_MAX_MIB, found.rss_mib


def test_mutated_messages_are_run_or_refused(stack: Stack):
    found = fuzz_messages(stack, COUNT)
    assert found.outcomes["done"] > COUNT / 10
    assert_unharmed(found)
