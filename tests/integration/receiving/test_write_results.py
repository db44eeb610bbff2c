"""Results of one job are written one by one: an expired or damaged one costs itself only."""

import errno
import itertools
import os

import pytest

from agewell.producer.receiving.write import ResultWriter
from agewell.shared.blobs.blobs import Blobs
from agewell.shared.errors import BlobDamagedError, BlobMissingError, BrokerUnreachableError
from agewell.shared.protocol.messages import ItemResult
from agewell.shared.redis import keys


def items_of(blobs, *names):
    refs = blobs.put([(name, "image/png", name.encode()) for name in names])
    return [ItemResult(image=ref) for ref in refs]


def test_an_expired_or_damaged_result_stops_no_other(settings, client, tmp_path):
    blobs = Blobs(settings, client)
    items = items_of(blobs, "a.png", "expired.png", "damaged.png", "z.png")
    client.delete(keys.blob(items[1].image.sha256))
    client.set(keys.blob(items[2].image.sha256), b"damaged.PNG")
    written = ResultWriter(blobs, tmp_path).write(items)
    assert written.paths == [tmp_path / "a.png", tmp_path / "z.png"]
    assert [(path.name, type(error)) for path, error in written.failures] == [
        ("expired.png", BlobMissingError),
        ("damaged.png", BlobDamagedError),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "z.png"]


@pytest.mark.parametrize("patience_s", [0.0, 30.0])
def test_a_redis_that_is_away_for_a_moment_costs_those_who_wait_nothing(
    settings, client, tmp_path, monkeypatch, patience_s
):
    blobs = Blobs(settings, client)
    items = items_of(blobs, "a.png", "b.png")
    get, calls = Blobs.get, itertools.count()

    def away_at_first(self, ref):
        if next(calls) < 3:
            raise BrokerUnreachableError("redis://", "Connection closed by server.")
        return get(self, ref)

    monkeypatch.setattr(Blobs, "get", away_at_first)
    monkeypatch.setattr("agewell.producer.receiving.write.TRY_AGAIN_S", 0.01)
    written = ResultWriter(blobs, tmp_path, patience_s=patience_s).write(items)
    assert [path.name for path, _ in written.failures] == ([] if patience_s else ["a.png", "b.png"])


def test_results_of_one_name_get_a_file_each(settings, client, tmp_path):
    blobs = Blobs(settings, client)
    [first], [second] = items_of(blobs, "x.png"), items_of(blobs, "y.png")
    twin = ItemResult(image=second.image.model_copy(update={"name": "X.png"}))
    extra = ItemResult(extras=(second.image,))
    written = ResultWriter(blobs, tmp_path).write([first, twin, ItemResult(), extra])
    assert [path.name for path in written.paths] == ["x.png", "X-2.png", "y.png"]
    assert (tmp_path / "X-2.png").read_bytes() == b"y.png"


def test_full_disk_costs_only_the_files_that_do_not_fit(settings, client, tmp_path, monkeypatch):
    blobs = Blobs(settings, client)
    items = items_of(blobs, "a.png", "a-name-of-many-bytes.png", "z.png")
    write = type(tmp_path).write_bytes

    def full_disk(path, data):
        if len(data) > 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(type(tmp_path), "write_bytes", full_disk)
    written = ResultWriter(blobs, tmp_path).write(items)
    assert [path.name for path in written.paths] == ["a.png", "z.png"]
    [(path, error)] = written.failures
    assert (path.name, error.reason) == ("a-name-of-many-bytes.png", "No space left on device")
