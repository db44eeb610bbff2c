"""Tenants on real workers: fair shares, limits, and every way to name a tenant."""

import itertools

import pytest
from celery import chain

from agewell import Client, HsvItem, HsvJob
from tests.support.held_tenants import waiting_jobs
from tests.support.paths import PHOTOS
from tests.support.stack import Stack, started, state_directory, until
from tests.support.terminal import on_terminal

PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def stack():
    with state_directory() as folder, started(folder, CONCURRENCY=2) as running:
        yield running
        running.stop()


@pytest.fixture
def client(stack: Stack) -> Client:
    return stack.client


@pytest.fixture
def job(client: Client) -> HsvJob:
    (image,) = client.put(PHOTOS / "bird.jpg")
    return HsvJob(items=(HsvItem(image=image),))


def waits(stack: Stack, ids: list[str]) -> list[float]:
    records = stack.wait_ended(ids, PATIENCE_S)
    assert {record["state"] for record in records} == {"done"}
    return [float(each["started_at"]) - float(each["enqueued_at"]) for each in records]


def test_a_newcomer_is_served_during_a_flood(stack, client, job):
    client.wait(client.send(job), PATIENCE_S)  # pool processes import libraries for their first job
    flood = client.send_many([job] * 400, tenant="flood")
    newcomers = []
    while not newcomers or client.status(flood[300]).started_at is None:
        newcomers.append(client.send(job, tenant=f"new{len(newcomers)}"))
        client.wait(newcomers[-1], PATIENCE_S)
    assert len(newcomers) >= 3
    # The flood's jobs wait for seconds. A newcomer waits for a running job or two.
    assert max(waits(stack, newcomers)) < 0.1 * max(waits(stack, flood))


def test_the_command_line_names_tenants_and_shows_them(stack):
    photo = str(PHOTOS / "bird.jpg")
    set_to = ("tenants", "set", "lab", "--weight", 2, "--max-running", 1, "--rate", "600/m")
    [set_now] = stack.documents(*set_to)
    assert (set_now["weight"], set_now["max_running"], set_now["rate_per_s"]) == (2, 1, 10)
    [*_, ended] = stack.documents("enqueue", "hsv", photo, "--tenant", "lab/ana", "--wait")
    job_id = ended["id"]
    assert stack.redis.hget(f"agewell:job:{job_id}", "tenant") == b"lab/ana"
    assert "lab" in stack.ok("tenants", "list").stdout
    [removed] = stack.documents("tenants", "remove", "lab")
    assert (removed["weight"], removed["max_running"]) == (1, None)


@pytest.mark.parametrize("rate", ["10/s", "30/m", "1/h", "5/d"])
def test_a_rate_is_shown_as_it_was_given(stack, rate):
    assert stack.ok("tenants", "set", "rated", "--rate", rate)
    assert rate in stack.ok("tenants", "list").stdout
    stack.ok("tenants", "remove", "rated")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("enqueue", "hsv", "x.png", "--tenant", "a b"), "tenant is 'a b'; allowed: 1 to 64"),
        (("tenants", "set", "a/b/c", "--weight", "2"), "tenant is 'a/b/c'"),
        (("tenants", "set", "ana"), "the options is none; allowed: --weight"),
        (("tenants", "set", "ana", "--weight", "0"), "weight is 0; allowed: 0.001 to 1000"),
        (("tenants", "set", "ana", "--rate", "fast"), "'fast' is no rate; write 10/s"),
        (("tenants", "set", "ana", "--rate", "0.5/d"), "rate_per_s is 5.78704e-06; allowed: 1.15"),
        (("tenants", "remove", "nobody"), "the tenant is 'nobody'; allowed: one with limits"),
    ],
)
def test_impossible_values_are_clear_errors(stack, arguments, reason):
    done = stack.run(*arguments)
    assert done.returncode == 2
    assert reason in " ".join(done.stderr.split())


def test_a_chain_and_a_plain_client_keep_the_tenant(stack, client, job):
    document = job.model_dump(mode="json", exclude_none=True)
    first = stack.celery.signature("cv.hsv", args=[document], queue="cv")
    second = stack.celery.signature("cv.flip", args=[{"op": "flip", "items": [{}]}], queue="cv")
    ended = chain(first, second).apply_async(headers={"tenant": "ben"})
    assert ended.get(timeout=PATIENCE_S)["items"][0]["image"]
    ids = [ended.parent.id, ended.id]
    assert [stack.redis.hget(f"agewell:job:{each}", "tenant") for each in ids] == [b"ben"] * 2


def test_no_more_jobs_run_than_a_tenant_may_have(stack, client, job):
    stack.ok("tenants", "set", "capped", "--max-running", 1)
    ids = client.send_many([job] * 60, tenant="capped")
    most = 0

    def all_done() -> bool:
        nonlocal most
        most = max(most, stack.redis.scard("agewell:tenant-running:capped"))
        return set(stack.states(ids)) == {"done"}

    until(all_done, PATIENCE_S, lambda: stack.states(ids))
    spans = sorted(
        (float(each["started_at"]), float(each["ended_at"])) for each in stack.wait_ended(ids)
    )
    assert most == 1
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    stack.ok("tenants", "remove", "capped")


def test_queues_and_top_show_the_tenants(stack):
    assert all(queue["tenants"] == [] for queue in stack.documents("queues"))
    with waiting_jobs(stack, "slow", 3):

        def waiting() -> list[dict]:
            found = {queue["queue"]: queue["tenants"] for queue in stack.documents("queues")}
            assert found["infer"] == []
            return found["cv"]

        until(lambda: [each["waiting"] for each in waiting()] == [3], PATIENCE_S, waiting)
        [slow] = waiting()
        assert 0 < slow.pop("oldest_wait_s") < PATIENCE_S
        # One has started, so the next may in 15 minutes, and a new one is the third after that.
        assert 3600 - PATIENCE_S < slow.pop("predicted_wait_s") <= 3600
        assert slow == {
            "tenant": "slow", "weight": 2, "max_running": None, "rate_per_s": 4 / 3600,
            "waiting": 3, "running": 0,
        }  # fmt: skip
        [head, row] = stack.ok("queues").stdout.splitlines()[-2:]
        assert head.split()[:4] == ["queue", "tenant", "weight", "most"]
        assert row.split()[:7] == ["cv", "slow", "2", "-", "4/h", "3", "0"]
        lines = on_terminal("top", columns=84, env=stack.env, until="4/h")
        assert any(line.split()[:7] == row.split()[:7] for line in lines)
    assert len(stack.ok("queues").stdout.splitlines()) == 4
