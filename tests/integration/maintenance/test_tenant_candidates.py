"""Tenants' jobs that wait are taken, whichever key of theirs somebody has deleted."""

import pytest

from agewell.shared.celery.app import make_app
from agewell.shared.queue.tenants import TenantLimits, set_limits
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.workers.maintenance import orphans, tenant_candidates
from agewell.workers.maintenance.orphans import find_orphans
from agewell.workers.maintenance.tenant_candidates import settle_tenants
from tests.support.ordering import Scripts

TENANTS = ("plain", "rated", "team/x", "team/y")
JOBS = 3


@pytest.fixture
def scripts(client):
    return Scripts(client)


@pytest.fixture
def tick(client, settings):
    """One run of upkeep's duty, by Redis's clock."""
    with make_app(settings) as app:

        def run():
            now = redis_now(client)
            settle_tenants(client, now)
            return find_orphans(app, client, settings, now)

        yield run


def send_all(scripts, now):
    set_limits(scripts.client, "rated", TenantLimits(rate_per_s=1), now)
    for tenant in TENANTS:
        for number in range(JOBS):
            scripts.publish(f"{tenant}-{number}", 5, now, tenant=tenant, enqueued_at=now)


def take_all(scripts, now):
    found = set()
    for step in range(10):  # the rate allows one job a second
        while taken := scripts.take(now + step):
            found.add(taken[0])
            scripts.end(taken[0], taken[1], now=now + step)
    return found


DELETED = [
    *(each("cv") for each in (keys.candidates, keys.held, keys.paused_tenants, keys.pace)),
    *(keys.tenant("cv", name) for name in ("plain", "rated", "team", "team/x")),
    *(keys.tenant_jobs("cv", name) for name in ("plain", "rated", "team", "team/x")),
    *(keys.TENANT_LIMITS, keys.COSTS),
]


@pytest.mark.parametrize("key", DELETED)
def test_every_waiting_job_is_taken_after_a_key_was_deleted(scripts, client, tick, key):
    now = redis_now(client)
    send_all(scripts, now)
    first = scripts.take(now), scripts.take(now), scripts.take(now), scripts.take(now)
    for job_id, tag, _ in first:
        scripts.end(job_id, tag, now=now)
    client.delete(key)
    tick()
    taken = take_all(scripts, now)
    assert len(taken) == len(TENANTS) * JOBS - len(first)
    assert not client.exists(keys.held("cv"), keys.candidates("cv"), keys.paused_tenants("cv"))
    assert client.hget(keys.pace("cv"), "weights") is None


def test_many_tenants_are_looked_at_in_bounded_steps(scripts, client, monkeypatch):
    monkeypatch.setattr(tenant_candidates, "CALLS", 2)
    now = redis_now(client)
    for number in range(500):
        scripts.publish(str(number), 5, now, tenant=f"t{number}", enqueued_at=now)
    client.delete(keys.candidates("cv"))
    settle_tenants(client, now)
    assert 0 < client.zcard(keys.candidates("cv")) < 500
    for _ in range(10):
        settle_tenants(client, now)
    assert client.zcard(keys.candidates("cv")) == 500


def test_waiting_jobs_of_tenants_are_no_reason_to_walk(scripts, client, tick):
    send_all(scripts, redis_now(client))
    tick()
    before = client.hget(keys.ORPHANS, "walked_at")
    assert tick().put_back == 0
    assert client.hget(keys.ORPHANS, "walked_at") == before
    assert before is not None
    assert orphans.WALK_EVERY_S > 60
