"""Images of jobs that wait for longer than images are kept."""

import os
import time

import pytest
from workers.keeping import keep_blobs_of_waiting_jobs

from producer.publish import publish
from producer.session import make_session
from shared import keys
from shared.directory_store import MARKER
from shared.errors import BlobMissingError, BlobStoreError
from shared.messages import HsvItem, HsvJob
from shared.stamp import redis_now

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


def keep(session):
    now = redis_now(session.client)
    return keep_blobs_of_waiting_jobs(session.client, session.blobs, TTL_S, now)


def test_only_images_of_jobs_that_have_waited_for_long_are_kept(session, monkeypatch):
    old = waiting(session, monkeypatch, ["a.png", "b.png"], OLD_S)
    young = waiting(session, monkeypatch, ["c.png"], YOUNG_S)
    assert keep(session) == 2
    assert [left_s(session, ref) for ref in old] == pytest.approx([TTL_S] * 2, abs=60)
    assert left_s(session, young[0]) == pytest.approx(TTL_S - YOUNG_S, abs=60)


def test_a_round_is_due_four_times_in_a_time_to_live(session, monkeypatch):
    [old] = waiting(session, monkeypatch, ["a.png"], OLD_S)
    assert keep(session) == 1
    age(session, old, OLD_S)
    assert keep(session) == 0
    assert 0 < session.client.pttl(keys.BLOBS_KEPT) <= 1000 * TTL_S / 4


def test_foreign_messages_and_missing_blobs_hinder_nothing(session, monkeypatch):
    [gone] = waiting(session, monkeypatch, ["gone.png"], OLD_S)
    age(session, gone, 10 * TTL_S)
    session.blobs.sweep()
    session.client.rpush("cv", "no message")
    session.client.rpush(keys.waiting_list("cv", 5), '{"headers": {"enqueued_at": "x"}}')
    [old] = waiting(session, monkeypatch, ["a.png"], OLD_S)
    assert keep(session) == 2
    assert left_s(session, old) > TTL_S - 60
    with pytest.raises(BlobMissingError):
        session.blobs.get(gone)


@pytest.mark.parametrize("session", ["file"], indirect=True)
def test_a_round_that_found_the_store_away_is_due_again_at_once(session, monkeypatch, tmp_path):
    [old] = waiting(session, monkeypatch, ["a.png"], OLD_S)
    (tmp_path / "blobs" / MARKER).rename(tmp_path / "marker")
    with pytest.raises(BlobStoreError):
        keep(session)
    (tmp_path / "marker").rename(tmp_path / "blobs" / MARKER)
    assert keep(session) == 1
    assert left_s(session, old) > TTL_S - 60
