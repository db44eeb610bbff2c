"""Blob stores that are away: unmounted, full, read-only, silent. Nothing counts as missing then."""

import errno
import os
import subprocess
import sys

import fsspec
import pytest

from agewell.shared.blobs import directory_store
from agewell.shared.blobs.blobs import Blobs
from agewell.shared.blobs.directory_store import MARKER
from agewell.shared.blobs.packs import pack
from agewell.shared.errors import BlobMissingError, BlobStoreError, BlobStoreFullError

PARENTS = 2


@pytest.fixture
def root(tmp_path):
    return tmp_path / "mount" / "blobs"


def opened(settings, client, root, scheme="file"):
    """The store as a process that has just started sees it."""
    return Blobs(settings.model_copy(update={"blob_url": f"{scheme}://{root}"}), client)


def put(blobs, data=b"data"):
    return blobs.put([("a.png", "image/png", data)])[0]


@pytest.fixture(params=["the directory is gone", "an empty directory", "its parent is gone"])
def unmount(request, root):
    def unmount_now():
        target = root.parent if request.param == "its parent is gone" else root
        away = target.with_name("away")
        target.rename(away)
        if request.param == "an empty directory":
            target.mkdir()

        def mount():
            if target.exists():
                target.rmdir()
            away.rename(target)

        return mount

    return unmount_now


@pytest.mark.parametrize("scheme", ["file", "local"])
@pytest.mark.parametrize("process", ["has used it", "has just started"])
def test_an_unmounted_directory_is_away_and_its_blobs_are_not_missing(
    settings, client, root, unmount, process, scheme
):
    blobs = opened(settings, client, root, scheme)
    ref = put(blobs)
    mount = unmount()
    if process == "has just started":
        blobs = opened(settings, client, root, scheme)
    for act in (
        lambda: blobs.get(ref),
        lambda: put(blobs),
        lambda: blobs.keep([ref.uri]),
        blobs.sweep,
        blobs.check,
    ):
        with pytest.raises(BlobStoreError, match="the store is not there"):
            act()
    assert not root.exists() or not list(root.iterdir())  # nothing is written in its place
    mount()
    blobs.check()
    assert blobs.get(ref) == b"data"


def test_nothing_is_written_in_place_of_a_store_that_is_unmounted_during_a_write(
    settings, client, root, monkeypatch
):
    blobs = opened(settings, client, root)
    put(blobs)
    away = root.with_name("away")

    def unmount_first(images):
        root.rename(away)
        root.mkdir()
        return pack(images)

    monkeypatch.setattr(directory_store, "pack", unmount_first)
    ref = put(blobs, b"other")
    monkeypatch.undo()
    assert list(root.iterdir()) == []
    root.rmdir()
    away.rename(root)
    assert blobs.get(ref) == b"other"


def test_a_blob_that_is_missing_from_a_store_that_is_there_is_missing(settings, client, root):
    blobs = opened(settings, client, root)
    ref = put(blobs)
    (root / ref.sha256[:2] / ref.sha256).unlink()
    with pytest.raises(BlobMissingError):
        blobs.get(ref)
    with pytest.raises(BlobMissingError):
        opened(settings, client, root).get(ref)


def test_a_store_that_was_emptied_on_purpose_is_made_again_by_its_marker(settings, client, root):
    put(opened(settings, client, root)).uri  # noqa: B018
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(BlobStoreError, match="touch"):
        put(opened(settings, client, root))
    (root / MARKER).touch()
    put(opened(settings, client, root))


def test_a_store_of_an_earlier_version_is_marked_at_its_first_use(settings, client, root):
    put(opened(settings, client, root))
    (root / MARKER).unlink()
    client.flushall()
    put(opened(settings, client, root))
    assert (root / MARKER).exists()


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, BlobStoreFullError),
        (errno.EDQUOT, BlobStoreFullError),
        (errno.EROFS, BlobStoreError),
        (errno.EIO, BlobStoreError),
        (errno.ESTALE, BlobStoreError),
        (errno.EACCES, BlobStoreError),
    ],
)
def test_a_store_that_takes_no_bytes_is_an_error_and_keeps_no_part(
    settings, client, root, monkeypatch, number, kind
):
    blobs = opened(settings, client, root)
    put(blobs)
    write = directory_store._write_file

    def refuse(folder, path, data):
        write(folder, path, data[:1])
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(directory_store, "_write_file", refuse)
    for act in (lambda: put(blobs, b"other"), blobs.check):
        with pytest.raises(BlobStoreError) as caught:
            act()
        assert type(caught.value) is kind
    assert sum(path.is_file() for path in root.rglob("*")) == PARENTS  # the marker and one blob


def test_a_real_full_disk_is_seen_by_the_check(settings, client, root):
    put(opened(settings, client, root))
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "from agewell.shared.blobs.blobs import Blobs;"
        "from agewell.shared.redis.connection import connect;"
        "from agewell.shared.settings import Settings; s = Settings(); Blobs(s, connect(s)).check()"
    )
    env = os.environ | {
        "AGEWELL_REDIS_URL": settings.redis_url.get_secret_value(),
        "AGEWELL_BLOB_URL": f"file://{root}",
    }
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert "BlobStoreError" in done.stderr
    assert not [path for path in root.iterdir() if path.name.startswith(".probe")]


class BotoError(Exception):
    """An error of an object store's library, which is no OSError."""


@pytest.mark.parametrize(
    "error",
    [
        BotoError("EndpointConnectionError: Could not connect"),
        TimeoutError("timed out"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        PermissionError("Forbidden"),
        FileNotFoundError("The specified bucket does not exist"),
    ],
)
def test_any_error_of_an_fsspec_store_means_that_it_is_away(settings, client, monkeypatch, error):
    blobs = Blobs(settings.model_copy(update={"blob_url": "memory://away"}), client)
    ref = put(blobs)
    memory = type(fsspec.filesystem("memory"))

    def fail(*_args, **_options):
        raise error

    for name in ("pipe_file", "cat_file", "mkdir"):
        monkeypatch.setattr(memory, name, fail)
    for act in (lambda: blobs.get(ref), lambda: put(blobs, b"other"), blobs.check):
        with pytest.raises(BlobStoreError):
            act()


def test_a_server_that_refuses_connections_is_away_and_its_password_is_not_shown(settings, client):
    url = "ftp://me:S3cret@127.0.0.1:1/x"
    with pytest.raises(BlobStoreError, match="refused") as caught:
        put(Blobs(settings.model_copy(update={"blob_url": url}), client))
    assert "S3cret" not in str(caught.value)


def test_a_missing_folder_of_a_plain_file_system_is_made_but_not_its_root(
    settings, client, tmp_path
):
    # fsspec's "dir" keeps to one folder of another file system, as sftp keeps to one of a server.
    root = tmp_path / "served"
    url = f"simplecache::file://{root}"
    blobs = Blobs(settings.model_copy(update={"blob_url": url}), client)
    with pytest.raises(BlobStoreError):
        put(blobs)
    assert not root.exists()
    root.mkdir()
    assert blobs.get(put(blobs)) == b"data"
