"""A rolling update, and a restart of Redis, while jobs flow."""

import json
import time

from tests.containers.stack import Stack
from tests.support.stack import until

JOBS = 1000
RATE = 25


def test_a_thousand_jobs_flow_through_a_rolling_update_and_a_restart_of_redis(
    stack: Stack, measured
):
    """Two cv containers are replaced one by one, as docs/scaling.md says."""
    stack.compose("up", "--detach", "--no-recreate", "--scale", "cv=2")
    until(lambda: stack.health("cv", 2) == "healthy", 60, lambda: stack.logs("cv"))
    flow = stack.start_load(
        *("follow", "--jobs", JOBS, "--rate", RATE, "--image", "examples/images/bird-mask.png")
    )
    try:
        time.sleep(5)
        for old in (stack.name("cv", 1), stack.name("cv", 2)):
            stack.engine.docker("stop", "--time", "60", old)
            stack.engine.docker("rm", old)
            stack.compose("up", "--detach", "--no-recreate", "--scale", "cv=2", "--wait")
        assert flow.poll() is None, "all jobs had been sent before the update was over"
        stack.compose("restart", "redis")
        output, _ = flow.communicate(timeout=300)
    finally:
        flow.kill()
        stack.compose("rm", "--stop", "--force", "cv")
        stack.up()
    found = json.loads(output.splitlines()[-1])
    measured("jobs through a rolling update", json.dumps(found))
    assert found == {"sent": JOBS, "ended_twice": 0, "done": JOBS}
