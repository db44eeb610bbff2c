"""Sweeps of a directory in which others put, read and lay their own files meanwhile."""

import os
import threading
import time
from pathlib import Path

import pytest

from agewell.shared.blobs.blobs import Blobs
from agewell.shared.blobs.directory_store import MARKER

TTL_S = 100
WANTED = 40
OTHERS = 1200


@pytest.fixture
def root(tmp_path):
    return tmp_path / "blobs"


@pytest.fixture
def blobs(settings, client, root):
    url = f"file://{root}"
    return Blobs(settings.model_copy(update={"blob_url": url, "blob_ttl_s": TTL_S}), client)


def put(blobs, data):
    return blobs.put([("a.png", "image/png", data)])[0]


def make_old(root):
    for path in root.glob("??/*"):
        os.utime(path, (time.time() - 2 * TTL_S,) * 2, follow_symlinks=False)


def test_blobs_that_are_put_again_during_a_sweep_stay(blobs, root):
    wanted = [b"wanted %d" % n for n in range(WANTED)]
    for data in [*wanted, *(b"other %d" % n for n in range(OTHERS))]:
        put(blobs, data)
    make_old(root)
    sweep = threading.Thread(target=blobs.sweep)
    sweep.start()
    refs = []
    for data in wanted:  # each once, all along the sweep
        refs.append(put(blobs, data))
        time.sleep(0.002)
    sweep.join()
    assert [blobs.get(ref) for ref in refs] == wanted
    assert len([path for path in root.glob("??/*") if path.is_file()]) == WANTED


@pytest.fixture
def at_the_rename(monkeypatch):
    """Deeds of somebody else between a sweep's look at a file and its deletion."""
    deeds = []
    rename = Path.rename

    def after_deeds(self, target):
        while deeds:
            deeds.pop()()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", after_deeds)
    return deeds


def test_a_blob_that_is_put_again_just_before_its_deletion_stays(blobs, root, at_the_rename):
    ref = put(blobs, b"data")
    make_old(root)
    at_the_rename.append(lambda: put(blobs, b"data"))
    assert blobs.sweep() == 0
    assert blobs.get(ref) == b"data"


def test_a_blob_is_read_while_a_sweep_has_it_in_its_hands(blobs, root):
    ref = put(blobs, b"data")
    [file] = root.glob("??/*")
    file.rename(file.with_name(f"{file.name}.0f.swept"))
    assert blobs.get(ref) == b"data"


def test_a_blob_that_a_killed_sweep_left_renamed_comes_back(blobs, root):
    put(blobs, b"data")
    [file] = root.glob("??/*")
    file.rename(file.with_name(f"{file.name}.0f.swept"))
    assert blobs.sweep() == 0
    assert [each.name for each in root.glob("??/*")] == [file.name]


@pytest.mark.parametrize("look", ["stat", "lstat"])
def test_a_file_that_vanishes_does_not_stop_a_sweep(blobs, root, monkeypatch, look):
    for number in range(5):
        put(blobs, b"%d" % number)
    make_old(root)
    victims = {sorted(root.glob("??/*"))[2]}
    real = getattr(Path, look)

    def vanishing(self, **options):
        if self in victims:
            victims.discard(self)
            self.unlink()
        return real(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, look, vanishing)
        assert blobs.sweep() >= 4
    assert [path for path in root.glob("??/*") if path.is_file()] == []


def test_foreign_files_links_and_folders_stay_and_do_not_stop_a_sweep(blobs, root, tmp_path):
    old = put(blobs, b"old")
    [file] = root.glob("??/*")
    precious = tmp_path / "precious"
    precious.write_bytes(b"not ours")
    (file.parent / "notes.txt").write_text("not ours")
    (file.parent / ("0" * 64)).mkdir()
    (file.parent / ("1" * 64)).symlink_to(precious)
    (root / "zz").symlink_to(tmp_path)
    (root / "yy").write_text("a file where a folder would be")
    os.utime(precious, (1, 1))
    make_old(root)
    assert blobs.sweep() == 1
    assert not file.exists()
    assert {each.name for each in file.parent.iterdir()} == {"notes.txt", "0" * 64, "1" * 64}
    assert precious.read_bytes() == b"not ours"
    assert put(blobs, b"old") == old


def test_a_file_that_cannot_be_touched_hinders_neither_keeping_nor_sweeping(
    blobs, root, monkeypatch
):
    refs = [put(blobs, b"%d" % number) for number in range(3)]
    make_old(root)
    stuck = root / refs[0].sha256[:2] / refs[0].sha256
    utime, lstat = os.utime, Path.lstat

    def refusing_utime(path, *args, **options):
        if path == stuck:
            raise PermissionError(1, "not permitted", str(path))
        return utime(path, *args, **options)

    def refusing_lstat(self):
        if self == stuck:
            raise OSError(5, "Input/output error", str(self))
        return lstat(self)

    with monkeypatch.context() as patch:
        patch.setattr(os, "utime", refusing_utime)
        blobs.keep([ref.uri for ref in refs])
    assert stuck.stat().st_mtime < time.time() - TTL_S
    kept = root / refs[1].sha256[:2] / refs[1].sha256
    assert kept.stat().st_mtime > time.time() - TTL_S
    make_old(root)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "lstat", refusing_lstat)
        assert blobs.sweep() == 2
    assert stuck.exists()


def test_a_link_in_a_blobs_place_is_replaced_by_the_blob(blobs, root, tmp_path):
    ref = put(blobs, b"data")
    [file] = root.glob("??/*")
    other = tmp_path / "other"
    other.write_bytes(b"evil")
    file.unlink()
    file.symlink_to(other)
    put(blobs, b"data")
    assert blobs.get(ref) == b"data"
    assert other.read_bytes() == b"evil"


def test_leftovers_of_a_killed_writer_are_swept(blobs, root):
    put(blobs, b"data")
    [file] = root.glob("??/*")
    part = file.with_name(f"{file.name}.1-2.part")
    part.write_bytes(b"da")
    os.utime(part, (1, 1))
    assert blobs.sweep() == 1
    assert file.exists()
    assert (root / MARKER).exists()
