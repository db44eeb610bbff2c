"""Jobs whose keys somebody has deleted get their places again, or end as lost."""

import json

import pytest

from agewell.shared.celery.app import make_app
from agewell.shared.errors import LostJobError
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.workers.consuming.unacked import acknowledge
from agewell.workers.maintenance import orphans
from agewell.workers.maintenance.orphans import Found, find_orphans
from agewell.workers.maintenance.rescue import rescue_jobs
from agewell.workers.process.heartbeat import beat
from tests.support.consuming import waiting_ids
from tests.support.taking import WORKER, order_of, take

NOTHING = Found(put_back=0, lost=0)


@pytest.fixture
def app(settings, client):
    with make_app(settings) as made:
        yield made


@pytest.fixture
def look(app, client, settings):
    def once(after_s=0.0, **options):
        return find_orphans(app, client, settings, redis_now(client) + after_s, **options)

    return once


def send(app, count=1, **options):
    return [app.send_task("cv.hsv", args=[{}], **options).id for _ in range(count)]


def send_many(app, count):
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        return send(app, count, producer=producer)


def test_nothing_is_an_orphan_in_a_queue_that_is_whole(app, client, look):
    send(app, 3)
    send(app, countdown=60)
    take(client)
    before = order_of(client), client.zrange(keys.scheduled("cv"), 0, -1)
    assert [look(), look(orphans.WALK_EVERY_S + 1)] == [NOTHING, NOTHING]
    assert (order_of(client), client.zrange(keys.scheduled("cv"), 0, -1)) == before


def test_jobs_get_the_places_that_they_had_if_the_order_is_deleted(app, client, look):
    for priority in (9, 0, 5):
        send(app, priority=priority)
    places = order_of(client)
    client.delete(keys.order("cv"))
    client.zadd(keys.idle("cv"), {keys.wake("idle"): redis_now(client)})
    assert look() == Found(put_back=3, lost=0)
    assert order_of(client) == places
    assert client.llen(keys.wake("idle")) == 1
    assert look() == NOTHING


def test_scheduled_jobs_get_their_times_back(app, client, look):
    send(app, countdown=60)
    scheduled = client.zrange(keys.scheduled("cv"), 0, -1, withscores=True)
    client.delete(keys.scheduled("cv"))
    assert look() == Found(put_back=1, lost=0)
    assert client.zrange(keys.scheduled("cv"), 0, -1, withscores=True) == scheduled


def test_a_scheduled_job_whose_time_has_come_meanwhile_is_in_order(app, client, look):
    [job_id] = send(app, countdown=60)
    client.delete(keys.scheduled("cv"))
    assert look(after_s=61) == Found(put_back=1, lost=0)
    assert waiting_ids(client) == [job_id]


def test_one_place_of_many_is_found(app, client, look):
    ids = send(app, 50)
    places = order_of(client)
    client.zrem(keys.order("cv"), places[20][0])
    assert look() == Found(put_back=1, lost=0)
    assert waiting_ids(client) == ids


def test_many_places_are_given_back_over_several_ticks(app, client, look):
    ids = send_many(app, 2500)
    client.delete(keys.order("cv"))
    looks = 0
    while client.zcard(keys.order("cv")) < len(ids):
        assert look(budget_s=0).lost == 0
        looks += 1
        assert looks < 100
    assert looks > 5
    assert waiting_ids(client) == ids


def test_a_place_is_missed_although_another_tasks_message_hides_it_from_the_counts(
    app, client, look
):
    [job_id] = send(app)
    client.delete(keys.order("cv"))
    app.send_task("their.task", queue="cv")
    look()
    client.zrem(keys.order("cv"), *[p for p, _ in order_of(client) if job_id in p.decode()])
    assert look() == NOTHING
    assert look(orphans.WALK_EVERY_S + 1) == Found(put_back=1, lost=0)


def test_a_job_whose_record_is_gone_ends_as_lost(app, client, look, ledger):
    kept, gone = send(app, 2)
    client.delete(keys.job(gone))
    client.zrem(keys.order("cv"), *[p for p, _ in order_of(client) if gone in p.decode()])
    assert look() == Found(put_back=0, lost=1)
    assert isinstance(app.AsyncResult(gone).result, LostJobError)
    assert ledger.state(gone) is State.FAILED
    assert ledger.state(kept) is State.WAITING
    assert client.hget(keys.COUNTS, "lost") == b"1"
    assert look() == NOTHING


def test_a_running_job_whose_record_is_gone_ends_as_lost_if_no_worker_has_it(app, client, look):
    [job_id] = send(app)
    delivery = take(client)
    client.delete(keys.job(job_id))
    assert [look(), look()] == [NOTHING, NOTHING]  # the worker may end it still
    acknowledge(client, keys.reserved(WORKER), [delivery.tag])
    assert [look().lost, look().lost] == [0, 1]
    assert isinstance(app.AsyncResult(job_id).result, LostJobError)
    assert client.zcard(keys.jobs("running")) == 0


def test_living_worker_keeps_its_jobs_if_its_reservations_are_deleted(app, client, look):
    send(app)
    delivery = take(client)
    client.delete(keys.reserved(WORKER), keys.WORKER_IDS)
    beat(client, WORKER, ["cv"], redis_now(client))
    assert look() == Found(put_back=1, lost=0)
    assert client.hgetall(keys.reserved(WORKER)) == {
        delivery.tag.encode(): f"\ncv\n{delivery.job_id}".encode()
    }
    assert [look(), look()] == [NOTHING, NOTHING]


def test_a_dead_workers_job_returns_even_if_its_reservations_are_deleted(
    app, client, look, settings, ledger
):
    [job_id] = send(app)
    place = order_of(client)
    take(client)
    client.delete(keys.reserved(WORKER), keys.WORKER_IDS)
    look()
    assert rescue_jobs(client, settings) == 1
    assert order_of(client) == place
    assert ledger.state(job_id) is State.WAITING


def test_a_running_job_that_no_worker_has_ends_as_lost_at_the_second_look(
    app, client, look, ledger
):
    """Its worker has acknowledged it, and its end never came."""
    [job_id] = send(app)
    delivery = take(client)
    acknowledge(client, keys.reserved(WORKER), [delivery.tag])
    assert look() == NOTHING
    assert ledger.state(job_id) is State.RUNNING
    assert look() == Found(put_back=0, lost=1)
    assert ledger.state(job_id) is State.FAILED
    assert client.hgetall(keys.ORPHANS).keys() == {b"walked_at"}


def test_a_job_that_is_tried_again_between_two_looks_is_not_lost(app, client, look, ledger):
    [job_id] = send(app)
    delivery = take(client)
    acknowledge(client, keys.reserved(WORKER), [delivery.tag])
    assert look() == NOTHING
    app.send_task("cv.hsv", args=[{}], task_id=job_id, retries=1)
    assert [look(), look()] == [NOTHING, NOTHING]
    assert ledger.state(job_id) is State.WAITING


def test_a_job_that_is_to_be_given_up_is_not_lost(app, client, look, ledger):
    [job_id] = send(app)
    delivery = take(client)
    acknowledge(client, keys.reserved(WORKER), [delivery.tag])
    client.sadd(keys.GIVEN_UP, job_id)
    assert [look(), look(), look()] == [NOTHING] * 3
    assert ledger.state(job_id) is State.RUNNING


def test_a_cancelled_job_that_is_being_turned_away_has_no_place_and_needs_none(
    app, client, look, ledger
):
    [job_id] = send(app)
    client.hset(keys.job(job_id), "cancelled_at", 1)
    assert take(client).flag == "cancelled"
    assert [look(), look(orphans.WALK_EVERY_S + 1)] == [NOTHING, NOTHING]
    client.delete(keys.reserved(WORKER))  # and comes to a worker again if that one's is gone
    assert look() == Found(put_back=1, lost=0)
    assert take(client).flag == "cancelled"


def old_message(job_id):
    return json.dumps({"headers": {"id": job_id, "task": "cv.hsv"}, "properties": {}, "body": ""})


@pytest.mark.parametrize("state", ["waiting", "running"])
def test_job_of_the_previous_version_with_a_message_is_not_lost(client, look, state):
    client.hset(keys.job("old"), mapping={"state": state, "op": "hsv", "level": 5, "items": 1})
    client.zadd(keys.jobs(state), {"old": 1})
    client.sadd(keys.WORKER_IDS, "cv@old")
    client.hset(keys.reserved("cv@old"), "tag", f"cv\n{old_message('old')}")
    assert [look(), look(), look()] == [NOTHING] * 3
    client.lpush("cv", old_message("old"))
    client.delete(keys.reserved("cv@old"))
    assert [look(), look(), look()] == [NOTHING] * 3
    client.delete("cv")
    assert look().lost + look().lost == 1


def test_a_duty_of_upkeep_runs_again_although_its_order_was_deleted(app, client):
    """No look would help: looks are such duties themselves."""

    def send_duty():
        app.send_task("upkeep.return_jobs", task_id="upkeep.return_jobs", queue="upkeep")

    send_duty()
    client.delete(keys.order("upkeep"))
    for _ in range(2):
        send_duty()
        assert waiting_ids(client, "upkeep") == ["upkeep.return_jobs"]
    assert take(client, "upkeep@here:m.1:1", "upkeep").job_id == "upkeep.return_jobs"
    send_duty()
    assert waiting_ids(client, "upkeep") == ["upkeep.return_jobs"]


def test_orphans_are_found_in_a_redis_that_is_full(app, client, look):
    ids = send(app, 3)
    client.delete(keys.order("cv"))
    client.config_set("maxmemory", 1)
    try:
        assert look() == Found(put_back=3, lost=0)
    finally:
        client.config_set("maxmemory", 0)
    assert waiting_ids(client) == ids
