"""The load of tenants, held to the jobs that were sent and taken."""

import itertools
from collections import Counter

import pytest

from agewell.shared.queue.status import queue_status
from agewell.shared.queue.tenant_load import LARGEST, READ, OtherTenants, TenantLoad
from agewell.shared.queue.tenants import TenantLimits, set_limits
from agewell.shared.redis import keys
from tests.support.ordering import START, Scripts

WORKER = "cv@here:1.1:x"


@pytest.fixture
def scripts(client):
    client.sadd(keys.WORKER_IDS, WORKER)
    return Scripts(client, WORKER)


@pytest.fixture
def cv(client, settings):
    def look(now=START):
        [found] = [each for each in queue_status(client, settings, now) if each.queue == "cv"]
        return found

    return look


def send(scripts, tenant, count, now=START):
    for number in range(count):
        job_id = f"{tenant or 'nobody'}:{number}:{now}"
        scripts.publish(job_id, 5, now, tenant=tenant, enqueued_at=now)


def numbers(found):
    return {each.tenant: (each.waiting, each.running) for each in found.tenants}


def test_without_tenants_there_is_nothing_to_show(scripts, cv):
    send(scripts, None, 3)
    scripts.take(START)
    assert (cv().tenants, cv().other_tenants) == ((), OtherTenants())


def test_each_tenant_has_its_jobs_its_limits_and_its_wait(scripts, cv):
    set_limits(scripts.client, "ana", TenantLimits(2, 4, 10), START)
    send(scripts, "ben", 2, START)
    send(scripts, "ana", 3, START + 5)
    send(scripts, None, 4)
    assert cv(START + 12).tenants == (
        TenantLoad("ana", 2, 4, 10, 3, 0, 7),
        TenantLoad("ben", 1, None, None, 2, 0, 12),
    )


def test_running_jobs_are_counted_until_they_end(scripts, cv):
    send(scripts, "ana", 1)
    job_id, tag, _ = scripts.take(START)
    [ana] = cv().tenants
    assert (ana.waiting, ana.running, ana.oldest_wait_s) == (0, 1, None)
    scripts.end(job_id, tag)
    assert scripts.take(START) is None
    assert cv().tenants == ()


def test_a_team_counts_as_one_tenant_with_its_members(scripts, cv):
    for name, count in {"lab": 1, "lab/ana": 3, "lab/ben": 2, "eve": 4}.items():
        send(scripts, name, count)
    assert numbers(cv()) == {"lab": (6, 0), "eve": (4, 0)}
    taken = Counter(scripts.take(START)[0].split(":")[0].split("/")[0] for _ in range(4))
    expected = {name: (sent - taken[name], taken[name]) for name, sent in (("lab", 6), ("eve", 4))}
    assert numbers(cv()) == expected
    assert cv().other_tenants == OtherTenants()


def test_the_largest_tenants_are_named_and_the_others_counted(scripts, cv):
    sent = {f"t{number:02}": number + 1 for number in range(LARGEST + 5)}
    for name, count in sent.items():
        send(scripts, name, count)
    taken = Counter(scripts.take(START)[0].split(":")[0] for _ in range(LARGEST + 5))
    found = cv()
    largest = sorted(sent, key=lambda name: -sent[name])[:LARGEST]
    assert [each.tenant for each in found.tenants] == largest
    assert numbers(found) == {name: (sent[name] - taken[name], taken[name]) for name in largest}
    others = sent.keys() - set(largest)
    assert found.other_tenants == OtherTenants(
        sum(sent[name] - taken[name] for name in others), sum(taken[name] for name in others)
    )


def test_a_tenant_behind_a_crowded_team_is_named_while_its_job_runs(scripts, cv):
    for number in range(READ):
        send(scripts, f"crowd/u{number}", 2)
    send(scripts, "ana", 1)
    assert numbers(cv()) == {"crowd": (2 * READ, 0)}
    assert cv().other_tenants == OtherTenants(1, 0)
    send(scripts, "ana", 1, START - 1000)
    assert scripts.take(START)[0].startswith("ana:")
    assert numbers(cv()) == {"crowd": (2 * READ, 0), "ana": (1, 1)}
    assert cv().other_tenants == OtherTenants()


def test_the_work_does_not_grow_with_tenants_and_jobs(scripts, cv, client):
    def look(tenants, jobs):
        client.flushall()
        for number, _ in itertools.product(range(tenants), range(jobs)):
            client.zincrby(keys.tenants("cv"), 1, f"t{number}")
        client.config_resetstat()
        cv()
        stats = client.info("commandstats")
        return {name: each["calls"] for name, each in stats.items() if name != "cmdstat_time"}

    assert look(LARGEST, 1) == look(4 * READ, 2)
