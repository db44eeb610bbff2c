"""Whatever program is started with a bad setting says which one, in one line, and exits with 2."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack import COMMAND, environment

CELERY = (sys.executable, "-m", "celery")
PROGRAMS = {
    "up": (str(COMMAND), "up"),
    "doctor": (str(COMMAND), "doctor"),
    "enqueue": (str(COMMAND), "enqueue", "hsv", __file__),
    "cv worker": (*CELERY, "-A", "agewell.workers.cv", "worker", "-Q", "cv"),
    "infer worker": (
        *CELERY,
        "-A",
        "agewell.workers.infer",
        "worker",
        "-Q",
        "infer",
        "--pool=threads",
    ),
    "upkeep worker": (*CELERY, "-A", "agewell.workers.upkeep", "worker", "-Q", "upkeep"),
    "beat": (*CELERY, "-A", "agewell.workers.upkeep", "beat", "--pidfile="),
    "flower": (sys.executable, "-m", "agewell.workers.monitoring.dashboard"),
    "exporter": (sys.executable, "-m", "agewell.workers.monitoring.exporter"),
}
BAD = {
    "FLOWERPORT": ("5555", "did you mean AGEWELL_FLOWER_PORT?"),
    "AGING_K_BY_QUEUE": ('{"infer": 0.1', "must be JSON"),
    "REDIS_URL": ("redis://S3cret/A=@host", "must end with the number of a database"),
}


@pytest.mark.parametrize("name", BAD)
def test_every_program_names_a_bad_setting(name: str, tmp_path: Path):
    value, reason = BAD[name]
    env = environment(tmp_path, **{"REDIS_URL": "redis://localhost:1/0"} | {name: value})
    started = {
        program: subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for program, command in PROGRAMS.items()
        if name == "FLOWERPORT" or program in ("up", "cv worker", "flower")
    }
    for program, process in started.items():
        said = process.communicate(timeout=60)[0]
        assert process.returncode == 2, f"{program}: {said}"
        assert said.startswith(f"error: AGEWELL_{name}: "), f"{program}: {said}"
        assert reason in said
        assert "s3cret" not in said.lower()
        assert said.count("\n") == 1, f"{program}: {said}"
