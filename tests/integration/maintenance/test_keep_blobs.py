"""Blobs of jobs that wait for longer than blobs are kept."""

import os
import time

import pytest
from celery import chain

from agewell.producer.sending.publish import publish
from agewell.producer.session import make_session
from agewell.shared.blobs.directory_store import MARKER
from agewell.shared.errors import BlobMissingError, BlobStoreError
from agewell.shared.protocol.built_in_jobs import HsvItem, HsvJob
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.workers.maintenance import keep_blobs
from agewell.workers.maintenance.keep_blobs import all_kept, keep_blobs_of_waiting_jobs

TTL_S = 1000
OLD_S = 600
YOUNG_S = 100


@pytest.fixture(params=["redis", "file"])
def session(request, settings, client, tmp_path):
    url = {"redis": "redis", "file": f"file://{tmp_path}/blobs"}[request.param]
    return make_session(settings.model_copy(update={"blob_url": url, "blob_ttl_s": TTL_S}))


def waiting(session, monkeypatch, names, waited_s):
    """Images of a job that has waited for so long, and has been stored for so long."""
    images = [(name, "image/png", name.encode()) for name in names]
    refs = session.blobs.put(images)
    now = session.now()
    monkeypatch.setattr(type(session), "now", lambda _: now - waited_s)
    publish(session, [HsvJob(items=[HsvItem(image=ref) for ref in refs])], 5)
    monkeypatch.undo()
    for ref in refs:
        age(session, ref, waited_s)
    return refs


def file_of(session, ref):
    name = ref.uri.removeprefix("store:").partition("+")[0]
    return session.settings.blob_url.removeprefix("file://") + f"/{name[:2]}/{name}"


def age(session, ref, seconds):
    if ref.uri.startswith("redis:"):
        session.client.expire(keys.blob(ref.sha256), TTL_S - seconds)
    else:
        os.utime(file_of(session, ref), times=(time.time() - seconds,) * 2)


def left_s(session, ref):
    """How long a blob is kept from now on."""
    if ref.uri.startswith("redis:"):
        return session.client.ttl(keys.blob(ref.sha256))
    return TTL_S - (time.time() - os.stat(file_of(session, ref)).st_mtime)  # noqa: PTH116


def keep(session, after_s=0.0, **options):
    now = redis_now(session.client) + after_s
    return keep_blobs_of_waiting_jobs(session.client, session.blobs, TTL_S, now, **options)


def may_sweep(session, after_s=0.0):
    return all_kept(session.client, TTL_S, redis_now(session.client) + after_s)


def test_only_blobs_of_jobs_that_have_waited_for_long_are_kept(session, monkeypatch):
    old = waiting(session, monkeypatch, ["a.png", "b.png"], OLD_S)
    young = waiting(session, monkeypatch, ["c.png"], YOUNG_S)
    assert keep(session) == 2
    assert [left_s(session, ref) for ref in old] == pytest.approx([TTL_S] * 2, abs=60)
    assert left_s(session, young[0]) == pytest.approx(TTL_S - YOUNG_S, abs=60)


def test_blobs_of_scheduled_jobs_are_kept_too(session, monkeypatch):
    [old] = waiting(session, monkeypatch, ["a.png"], OLD_S)
    [(place, _)] = session.client.zrange(keys.order("cv"), 0, -1, withscores=True)
    session.client.zrem(keys.order("cv"), place)
    session.client.zadd(keys.scheduled("cv"), {place: 2e9})
    assert keep(session) == 1
    assert left_s(session, old) > TTL_S - 60


def test_blobs_of_a_chains_later_steps_are_kept_too(session):
    refs = session.blobs.put([(name, "image/png", name.encode()) for name in ("a.png", "b.png")])
    jobs = [HsvJob(items=[HsvItem(image=ref)]).model_dump(mode="json") for ref in refs]
    steps = [session.app.signature("cv.hsv", args=[job], queue="cv") for job in jobs]
    chain(*steps, app=session.app).apply_async(headers={"enqueued_at": session.now() - OLD_S})
    for ref in refs:
        age(session, ref, OLD_S)
    assert keep(session) == 2
    assert [left_s(session, ref) for ref in refs] == pytest.approx([TTL_S] * 2, abs=60)


def test_blobs_of_a_compressed_message_are_kept_too(session):
    [ref] = session.blobs.put([("a.png", "image/png", b"a.png")])
    job = HsvJob(items=[HsvItem(image=ref)]).model_dump(mode="json")
    headers = {"enqueued_at": session.now() - OLD_S}
    session.app.send_task("cv.hsv", args=[job], queue="cv", compression="zlib", headers=headers)
    age(session, ref, OLD_S)
    assert keep(session) == 1
    assert left_s(session, ref) > TTL_S - 60


def test_a_round_is_due_four_times_in_a_time_to_live(session, monkeypatch):
    [old] = waiting(session, monkeypatch, ["a.png"], OLD_S)
    assert [keep(session, after_s) for after_s in (0, 1, 249, 251, 252, 502)] == [1, 0, 0, 1, 0, 1]
    assert left_s(session, old) > TTL_S - 60


def test_a_round_takes_as_many_ticks_as_it_needs(session, monkeypatch):
    refs = [waiting(session, monkeypatch, [f"{number}.png"], OLD_S) for number in range(200)]
    monkeypatch.setattr(keep_blobs, "JOBS_A_READ", 50)
    kept = []
    while not may_sweep(session):
        kept.append(keep(session, budget_s=0))
        assert len(kept) < 50
    assert sum(kept) >= 200
    assert max(kept) < 120
    assert all(left_s(session, ref) > TTL_S - 60 for [ref] in refs)
    assert keep(session) == 0


def test_foreign_messages_and_missing_blobs_hinder_nothing(session, monkeypatch):
    [gone] = waiting(session, monkeypatch, ["gone.png"], OLD_S)
    age(session, gone, 10 * TTL_S)
    session.blobs.sweep()
    for number, raw in enumerate(["no message", '{"headers": 1}', '{"headers": {}, "body": 5}']):
        session.client.hset(keys.job(f"odd-{number}"), "message", raw)
        session.client.zadd(keys.jobs("waiting"), {f"odd-{number}": 1})
    session.client.zadd(keys.jobs("waiting"), {"without a record": 1})
    [old] = waiting(session, monkeypatch, ["a.png"], OLD_S)
    assert keep(session) == 2
    assert left_s(session, old) > TTL_S - 60
    with pytest.raises(BlobMissingError):
        session.blobs.get(gone)


def test_messages_that_are_too_large_are_not_read(session, monkeypatch):
    waiting(session, monkeypatch, ["a.png"], OLD_S)
    before = session.client.info("stats")["total_net_output_bytes"]
    session.client.hset(keys.job("large"), "message", "A" * 2**23)
    session.client.zadd(keys.jobs("waiting"), {"large": 1})
    assert keep(session) == 1
    assert session.client.info("stats")["total_net_output_bytes"] - before < 2**20


def test_blobs_are_kept_in_a_redis_that_is_full(session, monkeypatch):
    [old] = waiting(session, monkeypatch, ["a.png"], OLD_S)
    session.client.config_set("maxmemory", 1)
    try:
        assert [keep(session), keep(session)] == [1, 0]
    finally:
        session.client.config_set("maxmemory", 0)
    assert left_s(session, old) > TTL_S - 60


def test_nothing_is_swept_until_a_round_is_complete(session, monkeypatch):
    assert not may_sweep(session)
    keep(session)
    assert [may_sweep(session, after_s) for after_s in (0, 250, 499, 501)] == [True] * 3 + [False]
    session.client.hset(keys.BLOBS_KEPT, "cursor", 17)  # a round is under way
    assert not may_sweep(session)


@pytest.mark.parametrize("session", ["file"], indirect=True)
def test_a_store_that_was_away_is_not_swept_before_waiting_jobs_blobs_are_kept(
    session, monkeypatch, tmp_path
):
    [old] = waiting(session, monkeypatch, ["a.png"], 2 * TTL_S)
    keep(session)
    age(session, old, 2 * TTL_S)
    (tmp_path / "blobs" / MARKER).rename(tmp_path / "marker")
    with pytest.raises(BlobStoreError):
        keep(session, TTL_S)
    (tmp_path / "marker").rename(tmp_path / "blobs" / MARKER)
    assert not may_sweep(session, TTL_S)
    assert keep(session, TTL_S) == 1
    assert may_sweep(session, TTL_S)
    assert session.blobs.sweep() == 0
    assert session.blobs.get(old) == b"a.png"
