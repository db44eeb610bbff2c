import base64
import hashlib
import os
import time

import pytest

from agewell.shared.blobs.blobs import Blobs
from agewell.shared.errors import (
    BlobDamagedError,
    BlobMissingError,
    BlobStoreError,
    BrokerUnreachableError,
    SettingsError,
)
from agewell.shared.protocol.messages import ImageRef
from agewell.shared.redis import keys
from agewell.shared.redis.connection import connect
from agewell.shared.settings import Settings

DATA = b"some encoded image"


@pytest.fixture(params=["redis", "file", "memory"])
def blobs(request, settings, client, tmp_path):
    url = {"redis": "redis", "file": f"file://{tmp_path}/blobs", "memory": "memory://blobs"}
    chosen = settings.model_copy(update={"blob_url": url[request.param]})
    return Blobs(chosen, client)


def put(blobs, data=DATA, name="a.png"):
    return blobs.put([(name, "image/png", data)])[0]


def test_reference_of_a_put_blob_gets_its_bytes(blobs):
    ref = put(blobs)
    assert ref.sha256 == hashlib.sha256(DATA).hexdigest()
    assert ref.size_bytes == len(DATA)
    assert blobs.get(ref) == DATA


def test_blobs_that_are_put_together_are_each_got_by_their_own_reference(blobs):
    images = [(f"{n}.png", "image/png", bytes([n]) * (n + 1)) for n in range(20)]
    refs = blobs.put(images)
    assert [blobs.get(ref) for ref in refs] == [data for _, _, data in images]
    assert [ref.uri for ref in blobs.put(images)] == [ref.uri for ref in refs]


def test_the_same_bytes_are_stored_once_under_one_name(blobs):
    assert put(blobs, name="a.png").uri == put(blobs, name="b.png").uri


def test_a_blob_that_never_was_is_an_error_that_names_it(blobs):
    ref = put(blobs)
    sha256 = "0" * 64
    lost = ref.model_copy(update={"sha256": sha256, "uri": ref.uri.split(":")[0] + ":" + sha256})
    with pytest.raises(BlobMissingError, match=r"^a\.png: no such blob, expired or never stored"):
        blobs.get(lost)


@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost/secret",
        "file:///etc/passwd",
        "store:../../../etc/passwd",
        "redis:" + "1" * 64,
        "store:" + "1" * 64,
        "store:" + "1" * 64 + "+-5",
        "store:" + "1" * 64 + "+5/../../passwd",
        "/etc/passwd",
        "data:image/png,notbase64",
        "data:image/png;base64,%%%",
    ],
)
def test_a_reference_reaches_nothing_but_the_store(blobs, uri):
    with pytest.raises((BlobDamagedError, BlobMissingError)):
        blobs.get(put(blobs).model_copy(update={"uri": uri}))


def test_a_blob_with_other_bytes_is_refused(settings, client):
    blobs = Blobs(settings, client)
    ref = put(blobs)
    client.set(keys.blob(ref.sha256), b"other bytes, same!")
    with pytest.raises(BlobDamagedError, match="SHA-256 is"):
        blobs.get(ref)
    client.set(keys.blob(ref.sha256), b"short")
    with pytest.raises(BlobDamagedError, match=f"5 bytes, expected {len(DATA)}"):
        blobs.get(ref)


def inline(data):
    return ImageRef(
        uri="data:image/png;base64," + base64.b64encode(data).decode(),
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        media_type="image/png",
    )


def test_small_images_may_ride_in_the_message(blobs):
    assert blobs.get(inline(DATA)) == DATA


def test_an_inline_image_of_32_kib_passes(blobs):
    assert len(blobs.get(inline(bytes(32 * 1024)))) == 32 * 1024


def test_reading_restarts_the_ttl(settings, client):
    blobs = Blobs(settings.model_copy(update={"blob_ttl_s": 1000}), client)
    ref = put(blobs)
    client.expire(keys.blob(ref.sha256), 10)
    blobs.get(ref)
    assert 990 < client.ttl(keys.blob(ref.sha256)) <= 1000


def test_files_unused_for_their_time_are_swept_and_others_stay(settings, client, tmp_path):
    url = f"file://{tmp_path}/blobs"
    blobs = Blobs(settings.model_copy(update={"blob_url": url, "blob_ttl_s": 100}), client)
    old, read, new = (put(blobs, data) for data in (b"old", b"read", b"new"))
    for path in (tmp_path / "blobs").glob("??/*"):
        if not path.name.startswith(new.sha256):
            os.utime(path, (time.time() - 200,) * 2)
    blobs.get(read)
    assert blobs.sweep() == 1
    assert blobs.get(read) == b"read"
    assert blobs.get(new) == b"new"
    with pytest.raises(BlobMissingError):
        blobs.get(old)


def test_a_store_that_cannot_be_written_is_a_passing_error(settings, client, tmp_path):
    (tmp_path / "blobs").write_text("a file where the folder should be")
    blobs = Blobs(settings.model_copy(update={"blob_url": f"file://{tmp_path}/blobs"}), client)
    with pytest.raises(BlobStoreError):
        put(blobs)


def test_a_redis_that_is_gone_is_an_error_of_ours_in_seconds(tmp_path):
    gone = Settings(redis_url=f"unix://{tmp_path}/nosuch.sock", blob_url="redis")
    started = time.monotonic()
    with pytest.raises(BrokerUnreachableError):
        put(Blobs(gone, connect(gone)))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://KEY:hunter2@bucket", "Install s3fs"),
        ("nosuch://KEY:hunter2@bucket", "Protocol not known: nosuch"),
        ("simplecache::nosuch://bucket", "Protocol not known: nosuch"),
    ],
)
def test_a_store_that_cannot_be_had_is_a_bad_setting(url, reason):
    settings = Settings(redis_url="redis://localhost:1/0", blob_url=url)
    with pytest.raises(SettingsError, match=f"^AGEWELL_BLOB_URL: {reason}") as caught:
        Blobs(settings, connect(settings))
    assert "hunter2" not in str(caught.value)
