"""Jobs and workers while the blob store is away."""

from functools import partial

import pytest

from agewell.shared.blobs.blobs import Blobs
from agewell.shared.blobs.directory_store import MARKER
from agewell.shared.errors import BlobStoreFullError
from agewell.shared.queue.ledger import Ledger, Lifetimes
from agewell.shared.queue.paused_workers import paused_workers, say_paused, say_resumed
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.workers.jobs import dead_letter, delivery, retries, store_outage
from agewell.workers.monitoring.exporter import Collector
from agewell.workers.process import pause as pause_of_process
from agewell.workers.process.context import Context
from agewell.workers.process.pause import Pause
from tests.support.consuming import consuming, ids, look, message_of, send, worker_app
from tests.support.delivering import AWAY, deliver, deliver_again, hsv, make_due
from tests.support.messages import good_job
from tests.support.stack import until

MANY = 15


@pytest.fixture
def tools(settings, client, tmp_path, monkeypatch):
    url = f"file://{tmp_path}/blobs"
    chosen = settings.model_copy(update={"blob_url": url})
    made = Context(chosen, client, Blobs(chosen, client), Ledger(client, Lifetimes(1000, 1000)))
    made.blobs.check()
    for module in (delivery, retries, dead_letter, store_outage, pause_of_process):
        monkeypatch.setattr(module, "context", lambda: made)
    return made


@pytest.fixture
def unmounted(tools, tmp_path):
    marker = tmp_path / "blobs" / MARKER

    def mount():
        marker.touch()

    marker.unlink()
    return mount


def test_job_is_tried_again_any_number_of_times_while_the_store_is_away(
    app, tools, client, unmounted
):
    job_id = hsv(app, good_job()).apply_async(headers={"kept": 1}).id
    first = message_of(client, job_id)["headers"]
    for _ in range(MANY):
        make_due(client)
        deliver(app)
        assert tools.ledger.get(job_id).state is State.WAITING
    last = message_of(client, job_id)["headers"]
    assert (last["retries"], last["full_retries"], last["kept"]) == (MANY, MANY, 1)
    assert last["enqueued_at"] == first["enqueued_at"]
    unmounted()
    make_due(client)
    deliver(app)
    assert tools.ledger.get(job_id).state is State.DONE
    assert client.zcard(keys.DEAD_LETTERS) == 0


def test_job_is_given_up_if_its_own_bytes_fail_and_not_the_store(app, tools, client, trouble):
    trouble += [AWAY] * 6
    job_id = hsv(app, good_job()).apply_async().id
    deliver_again(app, client, 6)
    assert tools.ledger.get(job_id).state is State.DEAD


def test_full_store_counts_no_retry_although_it_has_room_for_a_little(app, tools, client, trouble):
    trouble += [partial(BlobStoreFullError, "here", "No space left on device")] * MANY
    job_id = hsv(app, good_job()).apply_async().id
    for _ in range(MANY):
        make_due(client)
        deliver(app)
        assert tools.ledger.get(job_id).state is State.WAITING
    make_due(client)
    deliver(app)
    assert tools.ledger.get(job_id).state is State.DONE


@pytest.fixture
def pause(monkeypatch):
    made = Pause()
    monkeypatch.setattr(store_outage, "pause", made)
    monkeypatch.setattr("agewell.workers.consuming.unacked.pause", made)
    return made


def test_paused_worker_takes_no_job_until_the_store_is_back(
    settings, client, tools, unmounted, pause
):
    app = worker_app(settings)
    with consuming(app) as (got, connection):
        pause.begin("away")
        until(lambda: pause.is_confirmed, 10, lambda: pause.reason)
        sent = send(app, 3)
        look(connection, timeout_s=0.5)
        assert got == []
        assert not pause.end_if_store_answers()
        unmounted()
        until(pause.end_if_store_answers, 10, lambda: pause.reason)
        look(connection, until=lambda: got)
        assert ids(got) == sent[:1]


def test_pause_for_one_jobs_bytes_alone_is_over_at_once_and_not_spoken_of(tools, pause):
    pause.begin("one file")
    until(pause.end_if_store_answers, 10, lambda: pause.reason)
    assert not pause.is_confirmed


def test_paused_workers_are_counted_by_queue(settings, client):
    runs = ["cv@here:1", "cv@there:2", "infer@here:3"]
    client.sadd(keys.WORKER_IDS, *runs)
    for run in runs[:2]:
        say_paused(client, run, "blob store x: away")
    assert paused_workers(client) == dict.fromkeys(runs[:2], "blob store x: away")
    [family] = [
        each
        for each in Collector(client, settings).collect()
        if each.name == "agewell_workers_paused"
    ]
    counts = {sample.labels["queue"]: sample.value for sample in family.samples}
    assert counts == {"cv": 2, "infer": 0}
    say_resumed(client, runs[0])
    assert list(paused_workers(client)) == [runs[1]]
