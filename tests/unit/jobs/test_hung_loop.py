"""A call that never lets go of the interpreter: nothing in Python can end it, the watchdog does."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import redis
from celery.worker import state as worker_state

from agewell.workers.jobs import time_limit

HANG = """
import ctypes
from types import SimpleNamespace
from agewell.workers.jobs import time_limit

time_limit.HUNG_AFTER_S = 0.5
conf = SimpleNamespace(task_time_limit={limit}, agewell_drain_s=1.0)
timer = SimpleNamespace(call_repeatedly=lambda *_: None)
consumer = SimpleNamespace(app=SimpleNamespace(conf=conf), timer=timer, pool=None)
watch = time_limit.TimeLimitWatch(consumer)
assert watch.include_if(consumer)
watch.start(consumer)
{then}
ctypes.PyDLL(None).sleep({seconds})  # a PyDLL keeps the interpreter's lock
"""


def run(**how: object) -> subprocess.CompletedProcess[str]:
    code = HANG.format(**{"limit": None, "then": "", "seconds": 60} | how)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )


def test_hung_process_ends_and_logs_its_stacks():
    for limit in (None, 3600.0):
        done = run(limit=limit)
        assert done.returncode == 1
        assert "Timeout (0:00:00.500000)!" in done.stderr
        assert 'File "<string>"' in done.stderr


def test_a_loop_that_was_stopped_is_not_watched():
    assert run(then="watch.stop(consumer)", seconds=2).returncode == 0


def test_a_worker_with_a_thread_that_hangs_ends_although_redis_cannot_be_told(monkeypatch):
    def unreachable(soft, timeout):
        worker_state.active_requests.discard(hangs)
        raise redis.TimeoutError

    killed = []
    monkeypatch.setattr(os, "kill", lambda *args: killed.append(args))
    monkeypatch.setattr(os, "_exit", lambda status: None)
    conf = SimpleNamespace(task_time_limit=1.0, agewell_drain_s=0.0)
    watch = time_limit.TimeLimitWatch(
        SimpleNamespace(app=SimpleNamespace(conf=conf), timer=None, pool=None)
    )
    hangs = type("Hangs", (), {"time_start": time.time() - 100})()
    hangs.on_timeout = unreachable
    worker_state.active_requests.add(hangs)
    try:
        with pytest.raises(redis.TimeoutError):
            watch.look()
    finally:
        watch.stop(None)
        worker_state.active_requests.discard(hangs)
    assert killed == [(os.getpid(), signal.SIGTERM)]
