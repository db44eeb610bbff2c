"""Jobs that upkeep gives up: their letters have all that their messages say."""

import json

import pytest
from celery import chain, states

from agewell.shared.errors import DeadJobError
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.record import State
from agewell.shared.queue.request import signature_of
from agewell.shared.redis import keys
from agewell.workers.maintenance import give_up
from agewell.workers.maintenance.give_up import give_up_lost_jobs
from tests.support.consuming import waiting_ids
from tests.support.delivering import deliver, hsv, lose_worker, run, taken
from tests.support.killing import killed_at
from tests.support.messages import good_job

REASON = "its worker ended 3 times while it ran"


@pytest.fixture
def take_down(app, client):
    """Let the next job take three workers down."""

    def run_three_times():
        for _ in range(3):
            with taken(app):
                lose_worker(client)

    return run_three_times


WAYS = {
    "alone": {},
    "linked": {"link": [{"task": "cv.hsv", "args": [], "kwargs": {}, "options": {}}]},
    "with an errback": {
        "link_error": [{"task": "cv.hsv", "args": [], "kwargs": {}, "options": {}}]
    },
    "in a group": {"group_id": "group", "group_index": 3},
    "in a chord": {
        "group_id": "group",
        "group_index": 0,
        "chord": {"task": "cv.hsv", "args": [], "kwargs": {}, "options": {"task_id": "body"}},
    },
    "stamped": {"stamped_headers": ["tenant"], "tenant": "anna"},
    "with headers": {"headers": {"kept": {"a": [1]}, "deadline_at": 4e9}},
    "with a priority": {"priority": 7},
    "with limits": {"time_limit": 20, "soft_time_limit": 10, "expires": 4e9},
    "answering": {"reply_to": "them", "shadow": "shown", "ignore_result": True},
    "compressed": {"compression": "zlib"},
    "retried": {"retries": 2, "root_id": "root", "parent_id": "parent"},
}


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_letter_has_the_signature_that_celery_would_retry(app, client, options):
    """The oracle is Celery's `Task.signature_from_request`, in the task that runs the message."""
    found = {}
    del app.tasks["cv.hsv"]

    @app.task(bind=True, shared=False, name="cv.hsv")
    def look(task, *_, **__):
        found.update(task.signature_from_request(retries=0))

    job_id = app.send_task("cv.hsv", args=[good_job()], kwargs={"a": 1}, queue="cv", **options).id
    ours = signature_of(app, client.hget(keys.job(job_id), "message"))
    with taken(app) as message:
        run(app, message)
    theirs = json.loads(json.dumps(found))
    headers = theirs["options"]["headers"]
    for name in [each for each in headers if each.startswith("agewell_")]:
        del headers[name]  # notes of the delivery
    ours = json.loads(json.dumps(ours))
    assert ours["options"] == theirs["options"]
    assert ours == theirs


def test_a_chain_is_in_the_letter_of_its_first_step(app, client, take_down):
    last = chain(hsv(app, good_job()), hsv(app, {"op": "hsv"}), hsv(app, {"op": "hsv"}))()
    first = last.parent.parent.id
    sent = signature_of(app, client.hget(keys.job(first), "message"))
    take_down()
    assert give_up_lost_jobs(app, client, 3) == 1
    [letter] = DeadLetters(client).latest()
    assert letter.job == json.loads(json.dumps(sent))
    assert [step["options"]["task_id"] for step in letter.job["options"]["chain"]] == [
        last.id,
        last.parent.id,
    ]


def test_the_job_and_the_rest_of_its_chain_end_as_dead(app, client, tools, take_down):
    last = chain(hsv(app, good_job()), hsv(app, {"op": "hsv"}))()
    take_down()
    assert give_up_lost_jobs(app, client, 3) == 1
    assert tools.ledger.states([last.parent.id, last.id]) == [State.DEAD] * 2
    for job_id in (last.parent.id, last.id):
        assert isinstance(app.AsyncResult(job_id).result, DeadJobError)
        assert REASON in str(app.AsyncResult(job_id).result)
    record = tools.ledger.get(last.parent.id)
    assert (record.error, len(record.history)) == (f"given up: {REASON}", 3)
    assert client.hget(keys.job(last.parent.id), "message") is None
    assert client.scard(keys.GIVEN_UP) == 0
    assert client.zcard(keys.jobs("running")) == 0
    assert give_up_lost_jobs(app, client, 3) == 0


def test_its_errbacks_are_called(app, client, take_down):
    errback = hsv(app, {"op": "hsv"}, task_id="errback", immutable=True)
    hsv(app, good_job()).apply_async(link_error=errback)
    take_down()
    give_up_lost_jobs(app, client, 3)
    assert waiting_ids(client) == ["errback"]


def test_a_chord_waits_for_its_dead_part(app, client, tools, take_down):
    app.backend.set_chord_size("parts", 1)
    callback = hsv(app, {"op": "hsv"}, task_id="callback")
    hsv(app, good_job()).apply_async(group_id="parts", group_index=0, chord=callback)
    take_down()
    give_up_lost_jobs(app, client, 3)
    assert tools.ledger.get("callback") is None
    assert waiting_ids(client) == []


@pytest.mark.parametrize("step", ["notify_followers", "keep_job"])
def test_a_job_is_given_up_even_if_upkeep_is_killed_halfway(app, client, tools, take_down, step):
    last = chain(hsv(app, good_job()), hsv(app, {"op": "hsv"}))()
    take_down()
    owner = type(app.backend) if step == "notify_followers" else DeadLetters
    with killed_at(owner, step):
        give_up_lost_jobs(app, client, 3)
    assert give_up_lost_jobs(app, client, 3) == 1
    assert tools.ledger.states([last.parent.id, last.id]) == [State.DEAD] * 2
    [letter] = DeadLetters(client).latest()
    assert letter.job["options"]["chain"]
    assert client.scard(keys.GIVEN_UP) == 0


def test_a_worker_that_was_taken_for_dead_may_end_its_job_first(app, client, tools, take_down):
    job_id = hsv(app, good_job()).apply_async().id
    take_down()
    app.backend.mark_as_done(job_id, {"items": []}, give_up.request_of(raw_of(client, job_id)))
    assert give_up_lost_jobs(app, client, 3) == 0
    assert tools.ledger.state(job_id) is State.DONE
    assert DeadLetters(client).count() == 0
    assert client.scard(keys.GIVEN_UP) == 0


def raw_of(client, job_id):
    return client.hget(keys.job(job_id), "message")


def test_followers_that_make_no_sense_hinder_nothing(app, client, tools, take_down):
    job_id = app.send_task("cv.hsv", args=[good_job()], queue="cv", link_error=[5]).id
    take_down()
    assert give_up_lost_jobs(app, client, 3) == 1
    assert tools.ledger.state(job_id) is State.DEAD
    assert DeadLetters(client).get(job_id).job["task"] == "cv.hsv"


def test_a_job_is_given_up_in_a_redis_that_is_full(app, client, tools, take_down):
    errback = hsv(app, {"op": "hsv"}, task_id="errback", immutable=True)
    last = chain(hsv(app, good_job()), hsv(app, {"op": "hsv"}))
    result = last.apply_async(link_error=errback)
    take_down()
    client.config_set("maxmemory", 1)
    try:
        assert give_up_lost_jobs(app, client, 3) == 1
    finally:
        client.config_set("maxmemory", 0)
    assert tools.ledger.states([result.parent.id, result.id]) == [State.DEAD] * 2
    assert DeadLetters(client).count() == 1


def test_a_job_that_was_sent_again_is_a_new_one(app, client, tools, take_down):
    """The letter is there, so its record is nobody's any more but the new job's."""
    job_id = hsv(app, good_job()).apply_async().id
    take_down()
    give_up_lost_jobs(app, client, 3)
    tools.ledger.forget(job_id)
    hsv(app, good_job(), task_id=job_id).apply_async()
    assert give_up_lost_jobs(app, client, 3) == 0
    deliver(app)
    assert tools.ledger.state(job_id) is State.DONE
    assert app.AsyncResult(job_id).state == states.SUCCESS
