"""Jobs that wait beyond their deadlines expire, and fail the chords that wait for them."""

import pytest
from celery import states
from celery.app.task import Context
from celery.exceptions import TaskRevokedError

from agewell.shared.metrics import Metric, counter
from agewell.shared.queue.documents import ID_MARK, document_of
from agewell.shared.queue.end_many import JOBS_A_CALL
from agewell.shared.queue.ending import EXPIRED
from agewell.shared.queue.ledger import Lifetimes
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.workers.maintenance.expire import expire, trim
from tests.support.consuming import waiting_ids
from tests.support.delivering import deliver, hsv
from tests.support.killing import killed_at
from tests.support.messages import good_job
from tests.support.taking import take

LIFETIMES = Lifetimes(1000, 1000)


@pytest.fixture
def expire_now(app, client):
    def run(after_s=0.0):
        return expire(app.backend, client, LIFETIMES, redis_now(client) + after_s)

    return run


def send(app, client, in_s, count=1, **options):
    """Jobs whose deadline is so many seconds away."""
    headers = {"deadline_at": redis_now(client) + in_s}
    return [
        app.send_task("cv.hsv", args=[good_job()], headers=headers, **options).id
        for _ in range(count)
    ]


def test_jobs_that_wait_beyond_their_deadlines_expire(app, tools, client, expire_now):
    [late], [early] = send(app, client, -1), send(app, client, 100)
    [scheduled] = send(app, client, -1, countdown=60)
    undated = app.send_task("cv.hsv", args=[good_job()]).id
    assert expire_now() == 2
    assert tools.ledger.states([late, scheduled, early, undated]) == [
        *(State.EXPIRED, State.EXPIRED, State.WAITING, State.WAITING),
    ]
    assert waiting_ids(client) == [early, undated]
    assert client.zcard(keys.scheduled("cv")) == 0
    assert app.AsyncResult(late).state == states.REVOKED
    assert isinstance(app.AsyncResult(late).result, TaskRevokedError)
    assert tools.ledger.get(late).error == EXPIRED
    assert [expire_now(), expire_now(101)] == [0, 1]
    assert client.zcard(keys.DEADLINES) == 0


def test_result_equals_celerys_own(app, client, expire_now):
    """Of two jobs, one is ended by upkeep and one by Celery's own backend."""
    [ours], [theirs] = send(app, client, -1), send(app, client, 100)
    expire_now()
    request = Context(id=theirs, task="cv.hsv", args=[good_job()])
    app.backend.mark_as_revoked(theirs, EXPIRED, request)
    found = [app.backend.decode(client.get(keys.result(each))) for each in (ours, theirs)]
    for each in found:
        del each["date_done"], each["task_id"]
    assert found[0] == found[1]
    assert ID_MARK not in document_of(ours, TaskRevokedError(EXPIRED), 1.0)


def test_a_running_job_does_not_expire(app, tools, client, expire_now):
    [job_id] = send(app, client, 100)
    take(client)
    assert expire_now(101) == 0
    assert tools.ledger.state(job_id) is State.RUNNING


def test_a_job_that_started_in_time_does_not_expire_while_it_is_tried_again(
    app, tools, client, expire_now
):
    [job_id] = send(app, client, 100)
    take(client)
    app.send_task("cv.hsv", args=[good_job()], task_id=job_id, retries=1, countdown=5)
    assert expire_now(101) == 0
    assert tools.ledger.state(job_id) is State.WAITING
    # It may be ended by hand nevertheless.
    assert app.backend.end_open(job_id, TaskRevokedError("by hand"), State.WAITING)
    assert tools.ledger.state(job_id) is State.CANCELLED


def test_a_job_that_is_sent_at_its_deadline_to_a_worker_is_turned_away(app, client, tools):
    [job_id] = send(app, client, -1)
    assert take(client).flag == "expired"
    assert tools.ledger.get(job_id).state is State.EXPIRED


def test_thousands_expire_in_calls_of_bounded_work(app, client, expire_now):
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        send(app, client, -1, 1000, producer=producer)
    assert JOBS_A_CALL <= 50
    client.config_resetstat()
    expired = 0
    while expired < 1000:
        expired += expire_now()
    calls = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert 1000 / JOBS_A_CALL <= calls <= 1000 / JOBS_A_CALL + 5
    assert client.zcard(keys.jobs("expired")) == 1000
    assert client.hget(keys.METRICS, counter(Metric.ENDED, "expired")) == b"1000"


def test_jobs_expire_in_a_redis_that_is_full(app, client, tools, expire_now):
    [job_id] = send(app, client, -1)
    client.config_set("maxmemory", 1)
    try:
        assert expire_now() == 1
    finally:
        client.config_set("maxmemory", 0)
    assert tools.ledger.state(job_id) is State.EXPIRED


def chord_of(app, client, deadlines_s):
    """Send as `chord` does. That would go on to listen for the parts."""
    callback = hsv(app, {"op": "hsv"}, task_id="callback")
    app.backend.set_chord_size("parts", len(deadlines_s))
    for index, in_s in enumerate(deadlines_s):
        headers = {"deadline_at": redis_now(client) + in_s}
        part = hsv(app, good_job(), task_id=f"part-{index}")
        options = {"group_id": "parts", "group_index": index, "chord": callback}
        part.apply_async(headers=headers, **options)


def chord_failed(app):
    result = app.AsyncResult("callback")
    return result.state == states.FAILURE and "part-" in str(result.result)


def test_a_chord_fails_when_a_part_expires(app, client, tools, expire_now):
    chord_of(app, client, [-1, 100])
    assert expire_now() == 1
    assert tools.ledger.states(["part-0", "part-1"]) == [State.EXPIRED, State.WAITING]
    assert app.AsyncResult("callback").state == states.PENDING
    deliver(app)
    assert chord_failed(app)


def test_a_chord_fails_when_all_of_its_parts_expire(app, client, tools, expire_now):
    chord_of(app, client, [-1] * 3)
    assert expire_now() == 3
    assert tools.ledger.states([f"part-{n}" for n in range(3)]) == [State.EXPIRED] * 3
    assert chord_failed(app)
    assert client.zcard(keys.DEADLINES) == 0


@pytest.mark.parametrize("when", ["before the chord counts", "before the job ends"])
def test_a_chord_fails_even_if_upkeep_is_killed_halfway(app, client, tools, expire_now, when):
    chord_of(app, client, [-1, -1])
    target = (
        (type(app.backend), "on_chord_part_return")
        if when == "before the chord counts"
        else (type(app.backend.ledger), "end")
    )
    with killed_at(*target):
        expire_now()
    assert expire_now() == 2
    assert chord_failed(app)
    assert tools.ledger.states(["part-0", "part-1"]) == [State.EXPIRED] * 2


def test_a_chord_is_told_when_redis_has_room_again_and_holds_up_no_other_job(
    app, client, tools, expire_now
):
    chord_of(app, client, [-2, -2])
    late = send(app, client, -1, 2 * JOBS_A_CALL)
    client.config_set("maxmemory", 1)
    try:
        assert expire_now() == len(late)
        assert expire_now() == 0
    finally:
        client.config_set("maxmemory", 0)
    assert tools.ledger.states(["part-0", "part-1"]) == [State.WAITING] * 2
    assert expire_now() == 2
    assert chord_failed(app)


def test_chord_with_a_bad_callback_delays_no_other_job(app, client, tools, expire_now):
    app.send_task(
        "cv.hsv",
        args=[good_job()],
        headers={"deadline_at": redis_now(client) - 2},
        task_id="odd",
        group_id="parts",
        chord="no signature",
    )
    [late] = send(app, client, -1)
    app.backend.set_chord_size("parts", 1)
    assert expire_now() == 2
    assert tools.ledger.states(["odd", late]) == [State.EXPIRED] * 2


def test_ended_jobs_whose_records_have_expired_are_forgotten(app, client, tools):
    now = redis_now(client)
    kept, gone = tools.ledger.lifetimes.of(State.DONE) - 10, tools.ledger.lifetimes.of(State.DONE)
    client.zadd(keys.jobs("done"), {f"old-{number}": now - gone - 1 for number in range(3000)})
    client.zadd(keys.jobs("done"), {"young": now - kept})
    trim(tools.ledger)
    assert client.zrange(keys.jobs("done"), 0, -1) == [b"young"]
