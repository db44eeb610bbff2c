"""Slots of tenants that jobs without a record take are free again after a tick of upkeep."""

import pytest

from agewell.shared.queue.tenants import TenantLimits, set_limits
from agewell.shared.redis import keys
from agewell.workers.maintenance import tenant_slots
from agewell.workers.maintenance.tenant_slots import free_tenant_slots
from tests.support.ordering import START, Scripts


@pytest.fixture
def scripts(client):
    return Scripts(client)


def send(scripts, tenant, count):
    for number in range(count):
        scripts.publish(f"{tenant}-{number}", 5, START, tenant=tenant)


@pytest.mark.parametrize("tenant", ["ana", "lab/ana"])
@pytest.mark.parametrize("gone", ["deleted", "expired"])
def test_a_limit_is_not_used_up_by_deleted_records(scripts, client, tenant, gone):
    names = {tenant, tenant.partition("/")[0]}
    for name in names:
        set_limits(client, name, TenantLimits(max_running=2), START)
    send(scripts, tenant, 4)
    ids = [scripts.take(START)[0] for _ in range(2)]
    assert scripts.take(START) is None
    for job_id in ids:
        if gone == "deleted":
            client.delete(keys.job(job_id))
        else:
            client.hset(keys.job(job_id), "state", "done")
    assert scripts.take(START + 60) is None
    assert free_tenant_slots(client) == len(ids) * len(names)
    assert scripts.take(START + 120) is not None
    assert scripts.take(START + 120) is not None
    assert scripts.take(START + 120) is None


def test_jobs_that_run_keep_their_slots(scripts, client):
    set_limits(client, "ana", TenantLimits(max_running=3), START)
    send(scripts, "ana", 5)
    taken = [scripts.take(START) for _ in range(3)]
    assert free_tenant_slots(client) == 0
    assert scripts.take(START + 60) is None
    scripts.end(taken[0][0], taken[0][1])
    assert scripts.take(START + 60) is not None


def test_a_walk_over_many_keys_goes_on_in_the_next_tick(scripts, client, monkeypatch):
    monkeypatch.setattr(tenant_slots, "KEYS_A_CALL", 10)
    monkeypatch.setattr(tenant_slots, "CALLS", 2)
    for number in range(30):
        send(scripts, f"t{number}", 1)
        client.delete(keys.job(scripts.take(START)[0]))
    ticks = [free_tenant_slots(client) for _ in range(30)]
    assert sum(ticks) == 30
    assert max(ticks) < 30
    assert client.keys(keys.tenant_running("*")) == []
