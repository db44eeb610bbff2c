"""A running stack for the tests of others: it takes nothing of this process, and leaves nothing."""

import json

import psutil
import pytest
from pydantic import SecretStr

from agewell import HsvItem, HsvJob
from agewell.producer.testing import environment
from agewell.testing import StackError, running_stack
from tests.support.paths import PHOTOS
from tests.support.stack import is_gone, until

PHOTO = PHOTOS / "bird.jpg"


def test_stack_runs_a_job_and_a_command_and_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("AGEWELL_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("AGEWELL_MAX_WAITING", "1")
    with running_stack(concurrency=1, models_dir=tmp_path, result_ttl_s=1234) as stack:
        (image,) = stack.client.put(PHOTO)
        job_id = stack.client.send(HsvJob(items=(HsvItem(image=image),)))
        outcome = stack.client.wait(job_id, timeout_s=60)
        done = stack.run("status", job_id, "--json")
        settings = stack.settings
        family = [
            psutil.Process(stack.process.pid),
            *psutil.Process(stack.process.pid).children(recursive=True),
        ]
    assert outcome.state == "done"
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "done"
    assert (settings.concurrency, settings.result_ttl_s) == (1, 1234)
    assert settings.max_waiting == 0
    assert stack.process.returncode == 0
    assert len(family) >= 5
    until(lambda: all(map(is_gone, family)), 10, lambda: family)
    assert not stack.state_dir.exists()


def test_stack_that_cannot_start_shows_why_and_leaves_nothing(tmp_path):
    with (
        pytest.raises(StackError, match="AGEWELL_CONCURRENCY") as caught,
        running_stack(concurrency=0, models_dir=tmp_path),
    ):
        pass
    assert "status 2" in str(caught.value)


def test_environment_has_given_settings_only(monkeypatch, tmp_path):
    monkeypatch.setenv("AGEWELL_MAX_WAITING", "1")
    found = environment(
        tmp_path, aging_k_by_queue={"cv": 0.5}, redis_url=None, flower_password=SecretStr("s3cret")
    )
    given = {name: value for name, value in found.items() if name.startswith("AGEWELL_")}
    assert given == {
        "AGEWELL_STATE_DIR": str(tmp_path),
        "AGEWELL_FLOWER_PORT": "0",
        "AGEWELL_FLOWER_PASSWORD": "s3cret",
        "AGEWELL_AGING_K_BY_QUEUE": '{"cv": 0.5}',
    }
