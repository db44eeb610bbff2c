"""Files of results: whole or not at all, over nothing, and one failure costs one file."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agewell.producer.receiving import write
from agewell.producer.receiving.result_names import confined
from agewell.producer.receiving.write import prepare_folder, write_file
from agewell.shared.errors import BadFileError, ParameterError


def test_a_file_is_written_over_and_a_pipe_is_written_to(tmp_path):
    file, pipe = tmp_path / "new" / "file", tmp_path / "pipe"
    for data in (b"first", b"second"):
        write_file(file, data, overwrite=True)
        assert file.read_bytes() == data
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_file(pipe, b"down the pipe")
        assert os.read(reader, 100) == b"down the pipe"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.timeout(10)
def test_pipe_without_a_reader_is_an_error_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadFileError, match="pipe"):
        write_file(tmp_path / "pipe", b"data", overwrite=True)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadFileError, match="folder"):
        write_file(tmp_path / "folder", b"data")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    "name", ["/x.png", "//x.png", "///x.png", "../x.png", "a/../../x.png", "//"]
)
def test_result_of_any_name_is_written_below_its_folder(tmp_path, name):
    folder = tmp_path / "out"
    assert confined(folder, name).resolve().is_relative_to(folder)


def test_a_file_with_other_contents_is_not_written_over(tmp_path):
    path = tmp_path / "result.png"
    path.write_bytes(b"precious")
    with pytest.raises(BadFileError, match=r"result\.png: exists already"):
        write_file(path, b"new")
    assert path.read_bytes() == b"precious"
    assert write_file(path, b"precious") == path
    assert [each.name for each in tmp_path.iterdir()] == ["result.png"]


def test_of_two_that_write_one_file_at_once_one_is_refused(tmp_path):
    path = tmp_path / "result.png"

    def attempt(number: int) -> bool:
        try:
            write_file(path, bytes([number]) * 100_000)
        except BadFileError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(attempt, range(8)))
    assert won.count(True) == 1
    assert path.read_bytes() == bytes([won.index(True)]) * 100_000
    assert [each.name for each in tmp_path.iterdir()] == ["result.png"]


def test_a_file_system_without_hard_links_will_do(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)  # as exFAT answers
    path = tmp_path / "result.png"
    write_file(path, b"first")
    with pytest.raises(BadFileError, match="exists already"):
        write_file(path, b"second")
    assert path.read_bytes() == b"first"


def test_a_name_of_255_bytes_is_written(tmp_path):
    name = "z" * 251 + ".png"
    assert write_file(tmp_path / name, b"data").read_bytes() == b"data"


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null/out", "file/out", "z" * 256])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(ParameterError, match=r"--out is .* allowed: a folder to write into"):
        prepare_folder(tmp_path / place)


@pytest.mark.parametrize("place", ["link", "link/below"])
def test_a_link_that_leads_nowhere_is_named(tmp_path, place):
    (tmp_path / "link").symlink_to("gone")
    with pytest.raises(ParameterError, match="link is a link to gone, which does not exist"):
        prepare_folder(tmp_path / place)


def test_a_folder_that_is_checked_stays_empty(tmp_path):
    prepare_folder(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_a_full_disk_is_noticed_before_anything_is_sent(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(write.Path, "write_bytes", full)
    with pytest.raises(ParameterError, match="No space left on device"):
        prepare_folder(tmp_path)
