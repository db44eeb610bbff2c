"""Whatever a message's reference says, a worker reads nothing but blobs of its own store."""

import hashlib
import random
from pathlib import Path

import pytest
import redis

from agewell.shared.blobs.blobs import Blobs
from agewell.shared.errors import BadJobError, BlobDamagedError, BlobMissingError, BlobStoreError
from agewell.shared.protocol.messages import ImageRef
from agewell.shared.settings import Settings

SECRET = b"the shadow file"
SHA256 = hashlib.sha256(SECRET).hexdigest()
PARTS = [
    "store:", "redis:", "file://", "http://127.0.0.1/", "data:", "..", "/", "../", "%2e%2e/", "\\",
    "+", "+0", "+-1", "+99999999999999", "\x00", "\n", " ", "a" * 64, "0" * 63, SHA256,
    SHA256[:2] + "/", "secret", "/etc/passwd", "*", "?", "[0-9]", "~", "$HOME", ";base64,", "é",
]  # fmt: skip


@pytest.fixture
def blobs(settings: Settings, client: redis.Redis, short_path: Path) -> Blobs:
    """A store with a secret beside it: of the same name as its bytes' hash, so that it would do."""
    (short_path / SHA256).write_bytes(SECRET)
    (short_path / "secret").write_bytes(SECRET)
    (short_path / "blobs").mkdir()
    client.set("secret", SECRET)
    client.set(SHA256, SECRET)
    ours = settings.model_copy(update={"blob_url": f"file://{short_path}/blobs"})
    return Blobs(ours, client)


def reference(uri: str) -> ImageRef:
    return ImageRef(uri=uri, sha256=SHA256, size_bytes=len(SECRET), media_type="image/png")


@pytest.mark.parametrize(
    "uri",
    [
        f"store:../{SHA256}", f"store:../secret+{0}", "store:/etc/passwd", "file:///etc/passwd",
        f"redis:{SHA256}", "redis:secret", f"store:{SHA256}\n", f"store:{SHA256}/../secret",
        f"store:{SHA256}+0/../../secret", f"http://127.0.0.1/{SHA256}", f"store:{SHA256}+0\n",
    ],
)  # fmt: skip
def test_no_way_out(blobs: Blobs, uri: str):
    with pytest.raises((BlobDamagedError, BlobMissingError)):
        blobs.get(reference(uri))


def test_no_way_out_by_chance(blobs: Blobs):
    chance = random.Random(7)
    for _ in range(5000):
        uri = "".join(chance.choices(PARTS, k=chance.randint(1, 5)))
        if chance.random() < 0.5:
            uri = "store:" + uri
        try:
            ref = reference(uri)
        except BadJobError:
            continue
        with pytest.raises((BlobDamagedError, BlobMissingError, BlobStoreError)):
            blobs.get(ref)


def test_a_link_is_not_followed(blobs: Blobs, short_path: Path):
    folder = short_path / "blobs" / SHA256[:2]
    folder.mkdir()
    (folder / SHA256).symlink_to(short_path / "secret")
    with pytest.raises(BlobMissingError):
        blobs.get(reference(f"store:{SHA256}"))
    (folder / SHA256).unlink()
    (folder / SHA256).write_bytes(SECRET)
    assert blobs.get(reference(f"store:{SHA256}")) == SECRET  # as the same bytes in place are
