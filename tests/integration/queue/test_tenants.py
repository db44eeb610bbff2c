"""Tenants in Redis: shares, limits, costs, and what remains of those who went idle."""

from collections import Counter

import pytest

from agewell.shared.errors import ParameterError
from agewell.shared.queue.tenants import (
    TenantLimits,
    TenantStatus,
    all_limits,
    set_limits,
    tenant_statuses,
)
from agewell.shared.redis import keys
from tests.support.ordering import START, Scripts

COST_S = 0.1
"""The cost of an operation that was never measured."""


@pytest.fixture
def scripts(client):
    return Scripts(client)


def send(scripts, tenant, count, now=START, level=5, prefix=""):
    names = [f"{prefix}{tenant}-{number}" for number in range(count)]
    for name in names:
        scripts.publish(name, level, now, tenant=tenant, enqueued_at=now)
    return names


def serve(scripts, seconds, workers=2, now=START):
    """Run jobs of COST_S each on some workers, by the test's clock. Returns who was served."""
    served, busy = [], []
    end = now + seconds
    while now < end:
        while len(busy) < workers and (taken := scripts.take(now)):
            served.append(taken[0].rpartition("-")[0])
            busy.append(taken)
        now += COST_S
        for job_id, tag, _ in busy:
            scripts.end(job_id, tag, now=now)
        busy.clear()
    return served


def test_a_newcomer_is_served_during_somebody_elses_flood(scripts):
    send(scripts, "flood", 300)
    serve(scripts, 5)
    send(scripts, "newcomer", 1, START + 5)
    assert "newcomer" in serve(scripts, 2 * COST_S, now=START + 5)


def test_a_newcomer_does_not_wait_for_what_lagged_without_workers(scripts):
    for name in "abc":
        send(scripts, name, 300)
    after = START + 3600
    serve(scripts, 5, now=after)
    send(scripts, "newcomer", 1, after + 5)
    assert "newcomer" in serve(scripts, 3 * COST_S, now=after + 5)


def test_shares_are_those_of_the_weights(scripts):
    weights = {"a": 1, "b": 2, "c": 5}
    for name, weight in weights.items():
        set_limits(scripts.client, name, TenantLimits(weight), START)
        send(scripts, name, 600)
    served = Counter(serve(scripts, 40))
    for name, weight in weights.items():
        assert served[name] / served.total() == pytest.approx(weight / 8, rel=0.03)


def test_a_changed_weight_holds_from_the_next_job_on(scripts):
    for name in "ab":
        send(scripts, name, 400)
    assert Counter(serve(scripts, 10))["a"] == pytest.approx(100, abs=3)
    set_limits(scripts.client, "a", TenantLimits(4), START + 10)
    served = Counter(serve(scripts, 10, now=START + 10))
    assert served["a"] == pytest.approx(160, abs=5)


def test_a_team_bounds_its_members_together(scripts):
    send(scripts, "alone", 300)
    for user in range(9):
        send(scripts, f"team/{user}", 60)
    served = Counter(serve(scripts, 28))
    assert served["alone"] == pytest.approx(280, rel=0.03)
    members = [count for name, count in served.items() if name != "alone"]
    assert max(members) <= 1.2 * min(members)


def test_an_urgent_job_of_a_flooder_goes_before_its_own_others(scripts):
    send(scripts, "a", 100, level=7)
    serve(scripts, 1)
    send(scripts, "a", 1, START + 1, level=0, prefix="urgent-")
    assert serve(scripts, COST_S, now=START + 1)[0] == "urgent-a"


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_jobs_run_than_the_limit_allows_and_others_go_on(scripts, most):
    set_limits(scripts.client, "a", TenantLimits(max_running=most), START)
    send(scripts, "a", 10)
    send(scripts, "b", 4)
    taken = [scripts.take(START) for _ in range(10)]
    names = Counter(each[0].partition("-")[0] for each in taken if each)
    assert names == {"a": most, "b": 4}
    first = next(each for each in taken if each and each[0].startswith("a"))
    scripts.end(first[0], first[1])
    assert scripts.take(START)[0].startswith("a")
    assert scripts.take(START) is None


@pytest.mark.parametrize("apart_s", [0.5, 3600, 86_400])
def test_a_rate_spaces_the_starts_and_others_go_on(scripts, apart_s):
    set_limits(scripts.client, "a", TenantLimits(rate_per_s=1 / apart_s), START)
    send(scripts, "a", 10)
    send(scripts, "b", 3)
    starts = []
    for step in range(30):
        now = START + step * apart_s / 5
        while taken := scripts.take(now):
            starts.append((taken[0][0], step / 5))
            scripts.end(taken[0], taken[1])
    assert [at for name, at in starts if name == "b"] == [0, 0, 0]
    assert [at for name, at in starts if name == "a"] == [0, 1, 2, 3, 4, 5]


def test_without_tenants_nothing_of_them_is_written(scripts):
    for number in range(3):
        scripts.publish(str(number), 5, START)
    job_id, tag, _ = scripts.take(START)
    scripts.end(job_id, tag)
    scripts.take(START)
    left = {key.decode() for key in scripts.client.scan_iter("agewell:*")}
    assert not [each for each in left if "tenant" in each or "pace" in each or "held" in each]


def test_nothing_remains_of_idle_tenants(scripts):
    for number in range(50):
        send(scripts, f"t{number}", 2)
    serve(scripts, 100 * COST_S)
    assert scripts.take(START + 1000) is None
    left = {key.decode() for key in scripts.client.scan_iter("agewell:*")}
    clocks = {each for each in left if each.startswith("agewell:tenant:")}
    assert all(scripts.client.pttl(each) != -1 for each in clocks)  # -2: it has expired by now
    assert [each for each in left - clocks if "tenant" in each or "held" in each] == []


@pytest.mark.parametrize("name", ["", "a/b/c", "/a", "a/", "a b", "-a", "ü", "a" * 65, "a\n"])
def test_a_bad_name_is_refused_and_a_plain_client_s_is_ignored(scripts, name):
    with pytest.raises(ParameterError):
        set_limits(scripts.client, name, TenantLimits(), START)
    scripts.push("job", 5, tenant=name)
    assert scripts.take(START)[0] == "job"
    assert scripts.client.hget(keys.job("job"), "tenant") is None


@pytest.mark.parametrize("name", ["a", "A.b_c@d-1", "team/user", "a" * 64 + "/" + "b" * 64])
def test_a_plain_client_names_a_tenant_by_a_header(scripts, name):
    scripts.push("job", 5, tenant=name)
    assert scripts.take(START)[0] == "job"
    assert scripts.client.hget(keys.job("job"), "tenant") == name.encode()


def test_statuses_name_those_with_limits_and_those_with_the_most_jobs(scripts):
    limits = TenantLimits(2, 4, 10)
    set_limits(scripts.client, "limited", limits, START)
    for number, count in enumerate((1, 5, 3)):
        send(scripts, f"t{number}", count)
    scripts.take(START)
    found = tenant_statuses(scripts.client, most=2)
    assert found == [
        TenantStatus("limited", limits, 0, 0),
        TenantStatus("t1", TenantLimits(), 5, 0),
        TenantStatus("t2", TenantLimits(), 3, 0),
    ]
    set_limits(scripts.client, "limited", None, START)
    assert all_limits(scripts.client) == {}


@pytest.mark.parametrize(
    "values", [{"weight": 0}, {"weight": float("nan")}, {"max_running": -1}, {"rate_per_s": 1e9}]
)
def test_limits_outside_their_range_are_refused(values):
    with pytest.raises(ParameterError):
        TenantLimits(**values)


def test_a_deleted_record_does_not_block_its_tenant(scripts):
    first, second = send(scripts, "a", 2)
    scripts.client.delete(keys.job(first))
    assert scripts.take(START)[0] == second
    assert scripts.take(START) is None
    assert not scripts.client.exists(keys.held("cv"), keys.candidates("cv"), keys.tenants("cv"))


def test_a_due_job_goes_before_what_arrives_too_late_to_wait_for(scripts):
    """With k = 0.001, a level is 1,000 s. A job of level 5 that is due in 100 s costs 0.8 s."""
    k = 0.001
    scripts.publish("due", 5, START, k, wanted_by=START + 100, items=8, enqueued_at=START)
    scripts.publish("early", 0, START + 99, k, enqueued_at=START + 99)
    scripts.publish("late", 0, START + 99.5, k, enqueued_at=START + 99.5)
    scripts.publish("bulk", 5, START, k, enqueued_at=START)
    assert [scripts.take(START + 99.5, k)[0] for _ in range(4)] == ["early", "due", "late", "bulk"]


def test_a_due_job_that_would_go_earlier_anyway_keeps_its_place(scripts):
    scripts.publish("due", 0, START, wanted_by=START + 1e6, enqueued_at=START)
    scripts.publish("other", 0, START + 1, enqueued_at=START + 1)
    assert scripts.take(START + 1)[0] == "due"


def test_a_due_job_is_delayed_like_its_tenant_s_others(scripts):
    send(scripts, "flood", 100)
    serve(scripts, 2)
    for number in range(30):
        scripts.publish(
            f"flood-due{number}", 9, START + 2, tenant="flood", enqueued_at=START + 2,
            wanted_by=START + 2,
        )  # fmt: skip
    send(scripts, "newcomer", 2, START + 2, level=0)
    assert serve(scripts, 3 * COST_S, now=START + 2).count("newcomer") == 2


@pytest.mark.parametrize("given", ["soon", -1, float("nan"), [], True, None])
def test_a_due_time_that_is_none_is_ignored(scripts, given):
    scripts.push("job", 5, wanted_by=given)
    assert scripts.take(START)[0] == "job"
    assert scripts.client.hget(keys.job("job"), "start_by") is None


def test_a_due_job_keeps_its_place_when_it_is_given_back_or_k_changes(scripts):
    scripts.publish("due", 9, START, wanted_by=START + 10, enqueued_at=START)
    scripts.publish("first", 5, START - 95, enqueued_at=START - 95)
    assert scripts.take(START)[0] == "first"
    _, due_tag, _ = scripts.take(START)
    scripts.give_back(due_tag, now=START)
    scripts.change_k(0.01, START)
    scripts.publish("later", 0, START + 11, 0.01, enqueued_at=START + 11)
    assert scripts.take(START + 11, 0.01)[0] == "due"


def test_purge_and_a_change_of_k_reach_the_jobs_of_tenants(scripts):
    send(scripts, "a", 3, level=9)
    send(scripts, "b", 1, START + 100, level=0)
    scripts.change_k(1.0, START + 100)
    assert scripts.take(START + 100, 1.0)[0] == "a-0"
    scripts.change_k(0.001, START + 100)
    assert scripts.take(START + 100, 0.001)[0] == "b-0"
