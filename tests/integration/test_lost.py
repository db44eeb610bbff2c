"""Jobs that no worker will end: those too late, and those whose message somebody took away."""

import pytest
from celery.exceptions import TaskRevokedError
from shared.waiting import take_out
from workers.lost import MESSAGES_A_READ, WALK_EVERY_S, end_lost_jobs, expire_jobs
from workers.reserved import give_back

from shared import keys
from shared.celery_app import make_app
from shared.errors import LostJobError
from shared.oversize import shrinking_script
from shared.queue.ledger import Ledger, Start
from shared.queue.record import State
from shared.stamp import redis_now


@pytest.fixture
def app(settings, client):
    return make_app(settings)


@pytest.fixture
def ledger(client):
    return Ledger(client, 1000)


def send(app, **options):
    return app.send_task("cv.hsv", args=[{}], **options).id


def states(ledger, ids):
    return [entry.state for entry in ledger.get_all(ids)]


def test_only_jobs_that_wait_beyond_their_deadline_expire(app, ledger, client):
    now = redis_now(client)
    late, started, early = (
        send(app, headers={"deadline_at": now + seconds}) for seconds in (-1, -1, 100)
    )
    # Started in time, by a clock that is behind; the record says so, and that counts.
    client.hdel(keys.job(started), "deadline_at")
    ledger.start(Start(started, "hsv", 1, "cv@here", 5, None), 3)
    assert expire_jobs(app, client) == 1
    assert states(ledger, [late, started, early]) == [
        State.EXPIRED,
        State.RUNNING,
        State.WAITING,
    ]
    assert isinstance(app.AsyncResult(late).result, TaskRevokedError)
    assert app.AsyncResult(late).state == "REVOKED"
    assert expire_jobs(app, client) == 0


def test_a_job_that_has_started_in_time_does_not_expire_while_it_waits_to_be_tried_again(
    app, ledger, client
):
    job_id = send(app, headers={"deadline_at": redis_now(client) + 1000})
    ledger.start(Start(job_id, "hsv", 1, "cv@here", 5, None), 3)
    app.send_task("cv.hsv", args=[{}], task_id=job_id, retries=1, countdown=5)
    client.hset(keys.job(job_id), "deadline_at", 1)
    client.zadd(keys.DEADLINES, {job_id: 1})
    assert expire_jobs(app, client) == 0
    assert states(ledger, [job_id]) == [State.WAITING]
    # What cannot start any more is not what may not be ended.
    assert app.backend.end_open(job_id, TaskRevokedError("by hand"), State.WAITING)
    assert states(ledger, [job_id]) == [State.CANCELLED]


def test_a_job_whose_message_was_deleted_ends_at_the_second_look(app, ledger, client):
    kept, deleted = send(app), send(app, priority=9)
    client.delete(keys.waiting_list("cv", 9))
    assert end_lost_jobs(app, client, ledger) == 0
    assert end_lost_jobs(app, client, ledger) == 1
    assert states(ledger, [kept, deleted]) == [State.WAITING, State.FAILED]
    assert isinstance(app.AsyncResult(deleted).result, LostJobError)
    assert end_lost_jobs(app, client, ledger) == 0


def test_a_message_that_a_worker_holds_is_not_lost(app, ledger, client):
    waiting, running = send(app), send(app)
    run = "cv@here:1"
    client.sadd(keys.WORKER_IDS, run)
    raw = client.lpop(keys.waiting_list("cv", 5))
    client.hset(keys.reserved(run), "tag", keys.waiting_list("cv", 5).encode() + b"\n" + raw)
    ledger.start(Start(running, "hsv", 1, "cv@here", 5, None), 3)
    # A third makes the counts disagree, so that the lists are walked.
    third = send(app, priority=0)
    client.delete("cv")
    for _ in range(3):
        end_lost_jobs(app, client, ledger)
    assert states(ledger, [waiting, running, third]) == [
        State.WAITING,
        State.RUNNING,
        State.FAILED,
    ]


def test_messages_of_upkeep_do_not_pass_for_those_of_jobs(app, ledger, client):
    client.set(keys.LISTS_WALKED, 1)
    deleted = send(app)
    client.delete(keys.waiting_list("cv", 5))
    client.sadd(keys.WORKER_IDS, "upkeep@here:1")
    client.hset(keys.reserved("upkeep@here:1"), "tag", 'upkeep\n{"headers": {"id": "a look"}}')
    assert [end_lost_jobs(app, client, ledger) for _ in range(2)] == [0, 1]
    assert states(ledger, [deleted]) == [State.FAILED]


def test_a_lost_job_is_found_although_another_has_two_messages(app, ledger, client):
    twice, deleted = send(app, priority=3), send(app, priority=9)
    waiting = keys.waiting_list("cv", 3)
    client.lpush(waiting, client.lindex(waiting, 0))
    client.delete(keys.waiting_list("cv", 9))
    client.set(keys.LISTS_WALKED, 1)
    assert [end_lost_jobs(app, client, ledger) for _ in range(3)] == [0, 0, 0]
    client.delete(keys.LISTS_WALKED)  # as it expires
    assert [end_lost_jobs(app, client, ledger) for _ in range(2)] == [0, 1]
    assert states(ledger, [twice, deleted]) == [State.WAITING, State.FAILED]
    assert 0 < client.ttl(keys.LISTS_WALKED) <= WALK_EVERY_S


def test_a_redis_that_is_full_is_no_error_where_nothing_is_lost(app, ledger, client):
    send(app)
    client.config_set("maxmemory", 1)
    try:
        assert end_lost_jobs(app, client, ledger) == 0
    finally:
        client.config_set("maxmemory", 0)


class Busy:
    """A client that lets something happen before each read of a list."""

    def __init__(self, client, happen):
        self._client, self._happen = client, happen

    def eval(self, text, keys_count, name, start, *rest):
        if text == shrinking_script("shared", "read_waiting"):
            self._happen(name, start)
        return self._client.eval(text, keys_count, name, start, *rest)

    def __getattr__(self, name):
        return getattr(self._client, name)


@pytest.fixture
def lost(app, client):
    """A job that is lost indeed: every list is walked for it."""
    job_id = send(app, priority=0)
    client.delete("cv")
    return job_id


def test_a_job_that_climbs_away_before_each_look_at_its_list_is_not_lost(app, ledger, client, lost):
    climbing = send(app, priority=9)

    def climb(name, _start):
        level = int(name[-1]) if keys.PRIORITY_SEPARATOR in name else 0
        if level and name.startswith("cv"):
            client.lmove(name, keys.waiting_list("cv", level - 1), "RIGHT", "LEFT")

    busy = Busy(client, climb)
    assert [end_lost_jobs(app, busy, ledger) for _ in range(2)] == [0, 1]
    assert states(ledger, [climbing, lost]) == [State.WAITING, State.FAILED]


def reserve(client, level, run="cv@here:1"):
    """Take the head of a level's list as a worker does."""
    client.sadd(keys.WORKER_IDS, run)
    waiting = keys.waiting_list("cv", level)
    held = (keys.reserved(run), keys.WORKER_IDS, waiting)
    client.eval(shrinking_script("workers", "take"), len(held), *held, "", "tag", 2**22)


def test_a_job_that_is_taken_before_its_list_is_read_is_not_lost(app, ledger, client, lost):
    taken = send(app, priority=9)

    def take(name, _start):
        if name == keys.waiting_list("cv", 9):
            reserve(client, 9)

    assert [end_lost_jobs(app, Busy(client, take), ledger) for _ in range(2)] == [0, 1]
    assert states(ledger, [taken, lost]) == [State.WAITING, State.FAILED]


def test_a_job_that_is_given_back_behind_the_walk_is_not_lost(app, ledger, client, lost):
    given_back = send(app, priority=9)

    def give(name, _start):
        if name == keys.waiting_list("cv", 8):
            give_back(client, keys.reserved("cv@here:1"), "tag")

    for ended in (0, 1):
        reserve(client, 9)
        assert end_lost_jobs(app, Busy(client, give), ledger) == ended
    assert states(ledger, [given_back, lost]) == [State.WAITING, State.FAILED]


def test_a_job_that_two_walks_missed_is_searched_once_more_before_it_ends(
    app, ledger, client, lost
):
    hiding, walks = send(app, priority=9), []

    def hide(name, _start):
        """Be taken before the walk comes by, and given back behind it: in the first two walks."""
        if name == keys.waiting_list("cv", 9) and len(walks) < 2:
            reserve(client, 9)
        if name == keys.waiting_list("cv", 8):
            walks.append(name)
            give_back(client, keys.reserved("cv@here:1"), "tag")

    assert [end_lost_jobs(app, Busy(client, hide), ledger) for _ in range(2)] == [0, 1]
    assert len(walks) == 3
    assert states(ledger, [hiding, lost]) == [State.WAITING, State.FAILED]


def test_a_job_is_not_lost_when_one_behind_it_is_taken_out(app, ledger, client, lost):
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        ids = [send(app, producer=producer) for _ in range(MESSAGES_A_READ + 2)]

    def cancel(name, start):
        """Once in each look; and there is one job more at the next."""
        if start and client.llen(name) > MESSAGES_A_READ + 1:
            client.lpop(name)

    busy = Busy(client, cancel)
    assert end_lost_jobs(app, busy, ledger) == 0
    ids.append(send(app))
    assert end_lost_jobs(app, busy, ledger) == 1
    assert set(states(ledger, ids[:-2])) == {State.WAITING}
    assert states(ledger, [lost]) == [State.FAILED]
    assert states(ledger, [lost]) == [State.FAILED]


def test_jobs_by_the_thousand_are_walked(app, ledger, client):
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        ids = [send(app, producer=producer) for _ in range(2_500)]
    gone = keys.waiting_list("cv", 5)
    client.ltrim(gone, 0, -501)  # the five hundred at the head
    end_lost_jobs(app, client, ledger)
    assert end_lost_jobs(app, client, ledger) == 500
    assert set(states(ledger, ids[:500])) == {State.FAILED}
    assert set(states(ledger, ids[500:])) == {State.WAITING}


@pytest.mark.parametrize("place", [0, 700, 1_499])
def test_a_message_is_taken_out_from_wherever_it_is(app, client, place):
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        ids = [send(app, producer=producer) for _ in range(1_500)]
    assert take_out(client, "cv", ids[place])
    assert client.llen(keys.waiting_list("cv", 5)) == 1_499
    assert not take_out(client, "cv", ids[place])


def test_a_message_that_only_names_a_job_as_its_parent_stays(app, client):
    parent = send(app)
    send(app, parent_id=parent, root_id=parent)
    assert take_out(client, "cv", parent)
    assert client.llen(keys.waiting_list("cv", 5)) == 1
    assert not take_out(client, "cv", parent)
