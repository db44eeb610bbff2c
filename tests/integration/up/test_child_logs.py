"""Logs of `agewell up`: rotated by size, appended to by a restart, and nothing is lost."""

import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agewell.producer.up.child_log import ChildLog, Rotation, rotate_if_large
from agewell.producer.up.embedded_redis import embedded_redis
from agewell.producer.up.supervisor import Child, Program
from tests.support.paths import ROOT
from tests.support.stack import until


def written(path: Path) -> bytes:
    """All logs of a program, the oldest first."""
    numbered = sorted(path.parent.glob(f"{path.name}.*"), key=lambda p: -int(p.suffix[1:]))
    return b"".join(each.read_bytes() for each in [*numbered, path])


def test_every_byte_is_kept_and_no_line_is_torn(tmp_path):
    chance = random.Random(1)
    lines = [b"%d " % n + b"x" * chance.randrange(200) + b"\n" for n in range(1000)]
    text = b"".join(lines)
    log = ChildLog(tmp_path / "cv.log", Rotation(max_bytes=1000, keep=1000))
    rest = text
    while rest:
        cut = chance.randrange(1, 5000)
        log.write(rest[:cut])
        rest = rest[cut:]
    log.close()
    assert written(tmp_path / "cv.log") == text
    for path in tmp_path.iterdir():
        assert path.stat().st_size <= 1000 + max(map(len, lines))
        assert path.read_bytes().endswith(b"\n")


def test_a_line_longer_than_a_log_is_kept_whole(tmp_path):
    log = ChildLog(tmp_path / "cv.log", Rotation(max_bytes=100, keep=9))
    for piece in (b"short\n", b"x" * 300, b"y" * 300 + b"\nshort\n", b"last"):
        log.write(piece)
    assert written(tmp_path / "cv.log") == b"short\n" + b"x" * 300 + b"y" * 300 + b"\nshort\nlast"


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_only_so_many_old_logs_are_kept(tmp_path, keep):
    log = ChildLog(tmp_path / "cv.log", Rotation(max_bytes=10, keep=keep))
    for number in range(50):
        log.write(b"line %03d\n" % number)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"cv.log", *(f"cv.log.{n}" for n in range(1, keep + 1))}
    assert written(tmp_path / "cv.log") == b"".join(
        b"line %03d\n" % number for number in range(49 - keep, 50)
    )


def test_log_that_could_not_be_written_for_a_while_names_the_gap(tmp_path):
    folder = tmp_path / "logs"
    log = ChildLog(folder / "cv.log", Rotation())
    log.write(b"lost\n")
    folder.mkdir()
    log.write(b"kept\n")
    log.close()
    assert (folder / "cv.log").read_text() == "[5 bytes of this log could not be written]\nkept\n"


WRITER = """
import os, subprocess, sys
for number in range(2000):
    os.write(1 + number % 2, b"line %d\\n" % number)
    if number % 500 == 499:
        subprocess.run(["sh", "-c", f"echo of a grandchild {number}"])
sys.exit(3)
"""


def lived(child: Child) -> None:
    """Run a child to its end. Its next start is due later."""
    told: list[str] = []
    child.start()

    def ended() -> bool:
        child.tend(lambda _, what: told.append(what))
        return bool(told)

    until(ended, 30, lambda: child.log.read_text())


def test_output_of_a_child_survives_rotations_and_restarts(short_path):
    program = Program("cv worker", [sys.executable, "-c", WRITER], {})
    expected = []
    for number in range(2000):
        expected.append(f"line {number}")
        if number % 500 == 499:
            expected.append(f"of a grandchild {number}")
    child = Child(program, short_path, short_path, Rotation(max_bytes=2000, keep=100))
    lived(child)
    lived(child)
    child.close()
    assert written(child.log).decode().splitlines() == expected * 2
    again = Child(program, short_path, short_path, Rotation(max_bytes=2000, keep=100))
    lived(again)
    again.close()
    assert written(child.log).decode().splitlines() == expected * 3


PARENT = """
import sys, time
from pathlib import Path
from agewell.producer.up.supervisor import Child, Program
child = Child(Program("cv", [sys.executable, "-c", sys.argv[2]], {}), *[Path(sys.argv[1])] * 2)
child.start()
time.sleep(60)
"""
LAST_WORDS = """
import os, pathlib, signal, sys, time
def end(*_):
    for _ in range(100):
        os.write(1, b"last words" * 10)
        print("and more", flush=True)
    pathlib.Path("ended").write_text("well")
    sys.exit()
signal.signal(signal.SIGTERM, end)
pathlib.Path("begun").write_text("")
time.sleep(60)
"""


def test_a_child_ends_well_although_its_parent_was_killed(short_path):
    """It is told by SIGTERM, and none of its writes fails after that."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(short_path), LAST_WORDS],
        cwd=short_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        until(lambda: (short_path / "begun").exists(), 30, lambda: "the child begins")
    finally:
        parent.kill()
        parent.wait()
    until(lambda: (short_path / "ended").exists(), 10, lambda: "the child ends")


def test_the_log_of_the_embedded_redis_is_rotated_under_it(short_path):
    with embedded_redis(short_path) as server:
        rotate_if_large(server.log, Rotation(max_bytes=10, keep=1))
        assert not server.log.exists()
        os.kill(server.process.pid, signal.SIGTERM)
        server.process.wait()
    assert "eady to accept connections" in (short_path / "redis.log.1").read_text()
    assert re.search("ready to exit|Redis is now", (short_path / "redis.log").read_text())
