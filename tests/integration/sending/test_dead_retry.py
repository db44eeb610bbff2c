"""Dead letters that are sent again: each with all that its message says."""

import base64
import json

import pytest
from celery import chain
from typer.testing import CliRunner

from agewell.producer.cli import dead
from agewell.producer.cli.main import app as command
from agewell.producer.sending.retry_dead import Resender
from agewell.producer.session import make_session
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.ledger import Lifetimes
from agewell.shared.queue.letter import Letter
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.workers.consuming.refusal import refuse
from agewell.workers.maintenance.give_up import give_up_lost_jobs
from tests.support.consuming import message_of, scheduled_ids, waiting_ids
from tests.support.delivering import AWAY, deliver, hsv, lose_worker, make_due, taken
from tests.support.envelopes import encoded, message
from tests.support.messages import good_job

DIES = [AWAY] * 6


@pytest.fixture
def session(settings, tools):
    return make_session(settings)


@pytest.fixture
def agewell(session, monkeypatch):
    monkeypatch.setattr(dead, "open_session", lambda: session)

    def run(*args):
        return CliRunner().invoke(command, ["dead", *map(str, args)])

    return run


@pytest.fixture(params=["by its worker", "by upkeep"])
def kill(request, app, client, trouble):
    """Let the next job be given up."""

    def by_its_worker():
        trouble.extend(DIES)
        for _ in DIES:
            deliver(app)
            make_due(client)
        assert not trouble

    def by_upkeep():
        for _ in range(3):
            with taken(app):
                lose_worker(client)
        assert give_up_lost_jobs(app, client, 3) == 1

    return {"by its worker": by_its_worker, "by upkeep": by_upkeep}[request.param]


by_its_worker = pytest.mark.parametrize("kill", ["by its worker"], indirect=True)


@pytest.fixture
def die(app, kill):
    """Send a job that is given up. Returns its id."""

    def send_and_kill(**options):
        job_id = hsv(app, good_job(), **options).apply_async().id
        kill()
        return job_id

    return send_and_kill


def waiting(client):
    return len(waiting_ids(client)) + len(scheduled_ids(client))


def put_aside(client):
    """Let the next job wait longer, and say how to bring it back."""
    [(place, score)] = client.zpopmin(keys.order("cv"))
    return lambda: client.zadd(keys.order("cv"), {place: score})


def test_the_rest_of_a_chain_runs_after_its_first_step_is_sent_again(
    app, tools, client, agewell, kill
):
    steps = [hsv(app, good_job()), hsv(app, {"op": "hsv"}), hsv(app, {"op": "hsv"})]
    last = chain(*steps).apply_async()
    ids = [last.parent.parent.id, last.parent.id, last.id]
    kill()
    assert [entry and entry.state for entry in tools.ledger.get_all(ids)] == [State.DEAD] * 3
    assert agewell("retry", ids[0]).output == f"{ids[0]} sent again\n"
    for _ in ids:
        deliver(app)
    assert [entry and entry.state for entry in tools.ledger.get_all(ids)] == [State.DONE] * 3
    assert len(app.backend.get_result(ids[2])["items"]) == 1
    assert waiting(client) == 0


def chord_of_two(app):
    """Send a chord of two parts. `chord` itself would go on listening for them."""
    callback = hsv(app, {"op": "hsv"}, task_id="callback")
    app.backend.set_chord_size("parts", 2)
    for index in range(2):
        options = {"group_id": "parts", "group_index": index, "chord": callback}
        hsv(app, good_job(), task_id=f"part-{index}").apply_async(**options)


def test_a_chord_waits_for_a_dead_part_and_goes_on_when_that_is_sent_again(
    app, client, agewell, tools, kill
):
    chord_of_two(app)
    first = put_aside(client)
    other = put_aside(client)
    first()
    kill()  # part 0
    other()
    deliver(app)
    assert waiting(client) == 0
    assert tools.ledger.get("callback") is None
    assert agewell("retry", "part-0").exit_code == 0
    deliver(app)
    assert waiting(client) == 1  # the callback
    deliver(app)
    assert len(app.backend.get_result("callback")["items"]) == 2


def test_a_chord_fails_when_its_dead_part_is_dropped(app, client, agewell, kill):
    chord_of_two(app)
    first = put_aside(client)
    other = put_aside(client)
    first()
    kill()
    other()
    deliver(app)
    assert agewell("drop", "part-0").exit_code == 0
    assert app.backend.get_state("callback") == "FAILURE"
    assert "dropped" in str(app.backend.get_result("callback"))


def test_link_of_a_retried_job_is_called(app, client, agewell, die):
    job_id = die(link=hsv(app, {"op": "hsv"}, task_id="linked"))
    agewell("retry", job_id)
    deliver(app)
    assert waiting_ids(client) == ["linked"]


def test_errbacks_come_along(app, client, agewell, kill):
    errback = hsv(app, {"op": "hsv"}, task_id="errback", immutable=True)
    job_id = hsv(app, good_job()).apply_async(link_error=errback).id
    kill()
    while waiting(client):
        deliver(app)
    agewell("retry", job_id)
    assert "errback" in body_of(message_of(client, job_id))


def body_of(message):
    return base64.b64decode(message["body"]).decode()


def test_a_job_keeps_its_headers_and_level_and_waits_from_now_on(app, client, agewell, kill):
    headers = {"kept": 1, "enqueued_at": 1000.0, "deadline_at": 4_000_000_000}
    job_id = hsv(app, good_job()).apply_async(headers=headers, priority=5).id
    first = message_of(client, job_id)
    kill()
    agewell("retry", job_id)
    again = message_of(client, job_id)
    assert again["headers"]["kept"] == 1
    assert again["headers"]["retries"] == 0
    assert again["headers"]["enqueued_at"] > 1_000_000_000
    assert again["headers"]["deadline_at"] == 4_000_000_000
    assert again["properties"]["priority"] == first["properties"]["priority"] == 5
    assert again["properties"].get("reply_to") == first["properties"].get("reply_to")
    assert json.loads(body_of(again))[0] == json.loads(body_of(first))[0]


def test_a_deadline_that_has_passed_is_not_sent_again(app, client, agewell, tools, die):
    job_id = die()
    client.hset(keys.dead_letter(job_id), "job", with_deadline(client, job_id, 1000.0))
    agewell("retry", job_id)
    deliver(app)
    assert tools.ledger.get(job_id).state is State.DONE


def with_deadline(client, job_id, at):
    job = json.loads(client.hget(keys.dead_letter(job_id), "job"))
    job["options"]["headers"]["deadline_at"] = at
    return json.dumps(job)


def test_a_second_retry_sends_nothing(app, client, agewell, session, die):
    job_id = die()
    [letter] = DeadLetters(client).latest()
    assert agewell("retry", job_id).exit_code == 0
    again = agewell("retry", job_id)
    assert again.exit_code == 1
    assert "not among the dead letters" in again.output
    # Of two at once, the other has read the letter before it was gone.
    assert list(Resender(session).resend([letter])) == []
    assert waiting(client) == 1


def test_a_letter_that_was_left_by_an_interrupted_retry_is_no_second_run(
    app, client, agewell, tools, die
):
    job_id = die()
    letter = client.hgetall(keys.dead_letter(job_id))
    agewell("retry", job_id)
    deliver(app)
    client.hset(keys.dead_letter(job_id), mapping=letter)
    client.zadd(keys.DEAD_LETTERS, {job_id: 1})
    done = agewell("retry", job_id)
    assert done.exit_code == 1
    assert "sent again before" in done.output
    assert waiting(client) == 0
    assert tools.ledger.get(job_id).state is State.DONE
    assert DeadLetters(client).count() == 0


def test_a_letter_of_an_earlier_version_can_be_sent_again(app, tools, client, agewell):
    # As 8b6f700 wrote it.
    client.hset(
        keys.dead_letter("old"),
        mapping={
            "queue": "cv",
            "task": "cv.hsv",
            "args": json.dumps([good_job()]),
            "level": 5,
            "history": "1000.5 cv@here\n",
            "at": 1000.0,
            "reason": "its worker ended 3 times while it ran",
        },
    )
    client.zadd(keys.DEAD_LETTERS, {"old": 1000.0})
    assert "cv@here" in agewell("show", "old").output
    assert agewell("retry", "old").exit_code == 0
    deliver(app)
    assert tools.ledger.get("old").state is State.DONE


def letters(client, count, reason, task="cv.hsv"):
    pipe = client.pipeline(transaction=False)
    job = {"task": task, "args": [good_job()], "kwargs": {}}
    for number in range(count):
        job_id = f"{reason}-{task}-{number}"
        options = {"task_id": job_id, "queue": "cv", "priority": 5}
        fields = {"queue": "cv", "task": task, "level": 5, "at": 1000.0, "reason": reason}
        fields["job"] = json.dumps(job | {"options": options})
        pipe.hset(keys.dead_letter(job_id), mapping=fields)
        pipe.zadd(keys.DEAD_LETTERS, {job_id: 1000.0})
    pipe.execute()


def test_all_letters_or_those_of_one_reason_or_operation_are_sent_again(client, agewell):
    letters(client, 250, "blob store away")
    letters(client, 30, "its worker ended 3 times")
    letters(client, 20, "blob store away", "cv.alpha_blend")
    client.hset(
        keys.dead_letter("raw"), mapping={"queue": "cv", "raw": "x", "at": 1, "reason": "?"}
    )
    client.zadd(keys.DEAD_LETTERS, {"raw": 1})
    done = agewell("retry", "--all", "--reason", "BLOB store", "--operation", "hsv")
    assert (done.exit_code, done.output) == (0, "250 jobs sent again\n")
    assert waiting(client) == 250
    done = agewell("retry", "--all", "--operation", "alpha_blend")
    assert done.output == "20 jobs sent again\n"
    assert agewell("retry", "--all").output == "30 jobs sent again\n"
    assert agewell("retry", "--all").output == "0 jobs sent again\n"
    assert waiting(client) == 300
    assert [each.letter_id for each in DeadLetters(client).latest()] == ["raw"]


@pytest.mark.parametrize(
    "arguments", [[], ["id", "--all"], ["id", "--reason", "x"], ["--all", "--operation", "no such"]]
)
def test_a_retry_of_nothing_clear_is_refused(client, agewell, arguments):
    letters(client, 1, "x")
    assert agewell("retry", *arguments).exit_code == 2
    assert DeadLetters(client).count() == 1


def test_no_more_is_sent_again_than_may_wait(client, settings, monkeypatch):
    letters(client, 50, "x")
    session = make_session(settings.model_copy(update={"max_waiting": 20}))
    monkeypatch.setattr(dead, "open_session", lambda: session)
    done = CliRunner().invoke(command, ["dead", "retry", "--all"])
    assert done.exit_code == 4
    assert "20 jobs sent again" in done.output
    assert waiting(client) == 20
    assert DeadLetters(client).count() == 30


BODY = encoded("[[], {}, {}]" + " " * 8000)
REFUSED = {
    "a message with headers": (
        message(body=BODY, headers={"task": "their.task", "id": "their-id", "reply_to": "them"}),
        ["their.task", "their-id", "them", "[[], {}, {}]"],
    ),
    "no headers at all": ('{"body": "' + BODY + '"}', ["no task", "[[], {}, {}]"]),
    "bytes": (b"\xff\xfe\x00\x1b[31m" * 2000, ["no task", "16,000 bytes"]),
    "depth": ("[" * 100_000, ["no task", "100,000 bytes"]),
    "a control character": (
        message(headers={"task": "evil\x1b]0;x\x07", "id": "i\nj"}),
        [r"evil\x1b]0;x\x07"],
    ),
}


@pytest.mark.parametrize(("raw", "shown"), REFUSED.values(), ids=REFUSED)
def test_a_message_that_is_no_job_is_shown_by_its_task_and_id_and_not_by_its_bytes(
    client, agewell, raw, shown
):
    raw = raw if isinstance(raw, bytes) else raw.encode()
    client.hset("reserved", "tag", b"cv\n" + raw)
    refuse(client, "reserved", "tag", "DecodeError: " + BODY, Lifetimes(1000, 1000))
    outputs = [agewell("list").output, agewell("show", "tag").output]
    outputs = [" ".join(output.split()) for output in outputs]
    assert all(len(output) < 1000 for output in outputs)
    for text in shown:
        assert any(text in output for output in outputs), (text, outputs)
    assert not any("\x1b" in output for output in outputs)
    document = json.loads(agewell("show", "tag", "--json").output)
    assert document["size_bytes"] == len(raw)
    assert document["message"] == raw[: 64 * 1024].decode(errors="replace")


def test_a_letter_says_whether_it_is_a_job():
    assert Letter("id", 0.0, "why", "cv", task="cv.hsv").is_job
    assert not Letter("id", 0.0, "why", "cv", raw=b"x").is_job


@by_its_worker
def test_a_job_with_images_inside_is_shown_without_their_bytes(app, agewell, die):
    job = good_job()
    job_id = die()
    output = agewell("show", job_id).output
    assert job["items"][0]["image"]["uri"][-60:] not in output.replace("\n", "")
    assert "cv.hsv" in output
    assert "still failing after 5 retries" in output
    assert json.loads(agewell("show", job_id, "--json").output)["args"] == [job]


def test_a_job_whose_message_was_not_kept_is_shown_and_not_sent_again(client, agewell):
    letters = DeadLetters(client)
    letters.keep_unread("large", "cv", "cv.hsv", 5, b'{"body": "W1', 200_000_000, "too large")
    shown = " ".join(agewell("show", "large").output.split())
    assert "cv.hsv" in shown
    assert "200,000,000 bytes" in shown
    done = agewell("retry", "large")
    assert done.exit_code == 1
    assert "its message was too large to keep" in " ".join(done.output.split())
    assert letters.count() == 1


def test_an_operation_that_this_version_does_not_have_stays_and_hinders_no_other(client, agewell):
    letters(client, 2, "its worker ended 3 times")
    letters(client, 1, "its worker ended 3 times", "other.of_tomorrow")
    assert agewell("retry", "--all").output == "2 jobs sent again\n"
    [left] = DeadLetters(client).latest()
    done = agewell("retry", left.letter_id)
    assert done.exit_code == 1
    assert "this version of agewell has no task other.of_tomorrow" in " ".join(done.output.split())
    assert DeadLetters(client).count() == 1
