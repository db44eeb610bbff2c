"""Shares of tenants over the last looks, compared with sums over all looks."""

import random

import pytest

from agewell.shared.queue.status import QueueStatus
from agewell.shared.queue.tenant_load import TenantLoad
from agewell.workers.monitoring.shares import LOOKS, Shares


def queue(name, reserved, running):
    loads = tuple(TenantLoad(each, 1, None, None, 0, n, None) for each, n in running.items())
    return QueueStatus(name, (), reserved, 0, 0.05, 0.0, None, loads)


def test_shares_are_those_of_the_last_looks():
    seeded, shares, looks = random.Random(1), Shares(), []
    for _ in range(3 * LOOKS):
        looks.append({name: seeded.randrange(5) for name in "abc" if seeded.random() < 0.7})
        shares.add([queue("cv", sum(looks[-1].values()) + 1, looks[-1]), queue("infer", 0, {})])
    last = looks[-LOOKS:]
    total = sum(sum(look.values()) + 1 for look in last)
    for name in "abc":
        expected = sum(look.get(name, 0) for look in last) / total
        assert shares.of("cv", name) == pytest.approx(expected, rel=1e-12)
    assert shares.of("infer", "a") == shares.of("upkeep", "a") == 0


def test_a_tenant_that_went_idle_is_forgotten():
    shares = Shares()
    shares.add([queue("cv", 2, {"a": 2})])
    assert shares.of("cv", "a") == 1
    for _ in range(LOOKS):
        shares.add([queue("cv", 1, {"b": 1})])
    assert (shares.of("cv", "a"), shares.of("cv", "b")) == (0, 1)
    assert ("cv", "a") not in shares._sums
