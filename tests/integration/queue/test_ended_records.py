"""Records of ended jobs: small, as they stay for hours."""

import json

import pytest

from agewell.shared.celery.app import make_app
from agewell.shared.queue.ledger import End
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.workers.jobs.recorded_inputs import Inputs, pack
from tests.support.taking import take

JOBS = 500
COMPACT = (b"ziplist", b"listpack")
SHA256 = "24cc9af05935c49c8dd816be56a8760ea3a7cc10eb523b233bf5f5452f2675bd"
IMAGE = {
    "uri": f"store:{SHA256}",
    "sha256": SHA256,
    "size_bytes": 2_182_000,
    "media_type": "image/png",
    "name": "bird.hsv.png",
}
RESULT = {"schema_version": 1, "op": "hsv", "items": [{"image": IMAGE, "info": {}}]}
INPUTS = pack(Inputs([{"image": IMAGE}], {"output": {"format": "png"}, "full_range": False}))


@pytest.fixture
def app(settings, client):
    with make_app(settings) as made:
        yield made


def run(app, client, *, chord=False, inputs=INPUTS):
    """Publish, take and end one job. Returns its id."""
    headers = {"items": 1} | ({"group": "g"} if chord else {})
    app.send_task("cv.hsv", args=[{"op": "hsv"}], headers=headers, ignore_result=True)
    taken = take(client)
    end = End(taken.job_id, State.DONE, inputs=inputs, is_counted=chord)
    app.backend.ledger.end(end, app.backend.result_of(taken.job_id, RESULT, "SUCCESS"))
    take(client, ended=(taken.tag,))
    return taken.job_id


def test_an_ended_job_of_one_image_takes_little_memory(app, client):
    for _ in range(JOBS):
        job_id = run(app, client)
    assert client.object("encoding", keys.job(job_id)) in COMPACT
    index = client.memory_usage(keys.jobs(State.DONE), samples=0) / JOBS
    one = client.memory_usage(keys.job(job_id)) + client.memory_usage(keys.result(job_id))
    # Redis's tables and the two times to live take another hundred bytes.
    assert one + index <= 1120


def test_long_inputs_are_kept_in_pieces(app, client):
    job_id = run(app, client, inputs=bytes(range(200)))
    record = client.hgetall(keys.job(job_id))
    assert client.object("encoding", keys.job(job_id)) in COMPACT
    pieces = [record[b"inputs%d" % number] for number in range(1, 5)]
    assert b"".join(pieces) == bytes(range(200))


def test_a_job_that_a_chord_has_counted_takes_no_more(app, client):
    plain, counted = run(app, client), run(app, client, chord=True)
    assert client.object("encoding", keys.job(counted)) in COMPACT
    assert client.hgetall(keys.job(counted)).keys() == client.hgetall(keys.job(plain)).keys()
    assert 0 < client.ttl(keys.job(counted)) <= client.ttl(keys.job(plain))


def test_a_plain_clients_job_has_as_many_items_as_were_run(app, client):
    app.send_task("cv.hsv", args=[{"op": "hsv"}], ignore_result=True)
    job_id = take(client).job_id
    app.backend.ledger.end(End(job_id, State.DONE, items=3))
    assert app.backend.ledger.get(job_id).items == 3


def test_celery_reads_results_without_blanks(app, client):
    result = app.AsyncResult(run(app, client))
    assert (result.state, result.result, result.traceback) == ("SUCCESS", RESULT, None)
    raw = client.get(keys.result(result.id)).decode()
    assert len(raw) < len(json.dumps(json.loads(raw)))
