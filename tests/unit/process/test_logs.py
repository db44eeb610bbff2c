"""Log records do nothing to a terminal, whatever is in the names and errors that they tell of."""

import io
import logging
import subprocess
import sys

import pytest

from agewell.workers.process.logs import SafeRecord, install

EVIL = "a\x1b[31m\r\n[2026-01-01 00:00:00: ERROR] forged\x9b\u202e"
SAFE = "a\\x1b[31m\\r\n  [2026-01-01 00:00:00: ERROR] forged\\x9b\\u202e"


@pytest.fixture
def logged():
    """A private logger, and its output."""
    before = logging.getLogRecordFactory()
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    log = logging.Logger("test")
    log.addHandler(handler)
    install()
    yield log, written
    logging.setLogRecordFactory(before)


def test_a_record_cannot_pass_for_two(logged):
    log, written = logged
    log.error("job %s failed", EVIL)
    assert written.getvalue() == f"[ERROR] job {SAFE} failed\n"


def test_a_traceback_is_escaped_too(logged):
    log, written = logged
    try:
        raise ValueError(EVIL)
    except ValueError:
        log.exception("no")
    assert "\x1b" not in written.getvalue()
    assert "\n[2026" not in written.getvalue()
    assert "\n  Traceback" not in written.getvalue()
    assert "ValueError: a\\x1b[31m" in written.getvalue()


@pytest.mark.parametrize(
    "module",
    [
        "agewell.workers.cv",
        "agewell.workers.infer",
        "agewell.workers.upkeep",
        "agewell.workers.jobs.tasks",
    ],
)
def test_every_worker_logs_safe_records(module, short_path):
    code = f"import logging, {module}; print(logging.getLogRecordFactory().__name__)"
    env = {
        "AGEWELL_STATE_DIR": str(short_path),
        "AGEWELL_REDIS_URL": "redis://127.0.0.1:1",
        "PATH": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == SafeRecord.__name__
