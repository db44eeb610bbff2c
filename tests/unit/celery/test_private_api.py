"""Parts of Celery, kombu and redis-py: if one is missing, nothing starts, and somebody says why."""

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from agewell.shared.celery import enqueue_time, private_api, result_backend, transport
from agewell.shared.celery.private_api import PRODUCER, TESTED, WORKER, Hooks, check_hooks
from agewell.shared.errors import IncompatibleError
from agewell.workers.consuming import channel, pool_writes, unacked
from agewell.workers.jobs import store_outage, time_limit
from tests.support.paths import ROOT
from tests.support.stack import COMMAND

OURS = [
    transport.Channel,
    transport.Connection,
    transport.Pool,
    enqueue_time.StampingAMQP,
    result_backend.Results,
    result_backend.SentinelResults,
    channel.Channel,
    unacked.QoS,
    time_limit.LimitedRequest,
    store_outage.PausingRequest,
    pool_writes.PromptPool,
]
NOBODYS = {"__init__", "__module__", "__doc__", "__dict__", "__weakref__", "__firstlineno__"}
NOBODYS |= {"__static_attributes__"}
RENAMES = {
    "_brpop_start": "kombu.transport.redis:Channel",
    "_brpop_read": "kombu.transport.redis:Channel",
    "_put": "kombu.transport.redis:Channel",
    "restore_by_tag": "kombu.transport.redis:QoS",
    "_store_result": "celery.backends.base:BaseKeyValueStoreBackend",
    "_create_task_sender": "celery.app.amqp:AMQP",
    "on_timeout": "celery.worker.request:Request",
}


def overridden(cls):
    """Names that a class of ours defines although a class of somebody else's has them."""
    ours = [each for each in cls.__mro__ if each.__module__.startswith("agewell.")]
    theirs = [each for each in cls.__mro__ if each not in ours and each is not object]
    names = {name for each in ours for name in vars(each)} - NOBODYS
    return {name for name in names if any(name in vars(each) for each in theirs)}


def owner_of(listed):
    module, _, name = listed.owner.partition(":")
    return getattr(import_module(module), name) if name else None


@pytest.mark.parametrize("cls", OURS, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_every_override_is_in_the_table(cls):
    listed = {
        name
        for each in (*PRODUCER, *WORKER)
        if owner_of(each) in cls.__mro__
        for name in each.members
    }
    assert overridden(cls) <= listed


def test_all_hooks_are_there_in_the_versions_installed_here():
    check_hooks((*PRODUCER, *WORKER))


@pytest.mark.parametrize(
    "missing",
    [
        Hooks("kombu.transport.redis:Channel", ("_brpop_gone",)),
        Hooks("kombu.transport.redis:Channel", (), ("_in_poll_gone",)),
        Hooks("kombu.transport.gone:Channel"),
        Hooks("kombu.transport.redis:Gone"),
    ],
)
def test_missing_parts_are_named_with_the_versions_that_fit(missing):
    with pytest.raises(IncompatibleError, match=r"[Gg]one") as caught:
        check_hooks([missing])
    assert f"kombu {version('kombu')} has no" in str(caught.value)
    assert "pip install 'kombu>=5.7,<5.8'" in str(caught.value)


def test_the_table_of_versions_is_that_of_the_package():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    bounds = {each.name: each.specifier for each in map(Requirement, declared)}
    for package, tested in TESTED.items():
        assert bounds[package] == SpecifierSet(tested)
        assert version(package) in bounds[package]
        assert any(each.operator == "<" for each in bounds[package])


def run_renamed(tmp_path: Path, name: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in an interpreter in which Celery or kombu has another name for something."""
    module, _, owner = RENAMES[name].partition(":")
    (tmp_path / "sitecustomize.py").write_text(
        f"import {module} as module\n"
        f"owner = module.{owner}\n"
        f"owner.renamed = owner.{name}\n"
        f"del owner.{name}\n"
    )
    env = {key: value for key, value in os.environ.items() if not key.startswith("AGEWELL_")}
    settings = {"AGEWELL_REDIS_URL": "redis://127.0.0.1:1/0", "AGEWELL_STATE_DIR": str(tmp_path)}
    return subprocess.run(
        command,
        env=env | settings | {"PYTHONPATH": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", ["_brpop_start", "on_timeout"])
def test_no_worker_starts_if_a_hook_was_renamed(tmp_path, name):
    celery = (sys.executable, "-m", "celery")
    done = run_renamed(
        tmp_path, name, *celery, "-A", "agewell.workers.upkeep", "worker", "-P", "solo"
    )
    assert done.returncode != 0
    owner = RENAMES[name].rpartition(":")[2]
    assert f"has no {owner}.{name}, which agewell needs" in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["_put", "_store_result", "_create_task_sender"])
def test_no_command_starts_if_a_hook_was_renamed(tmp_path, name):
    done = run_renamed(tmp_path, name, str(COMMAND), "queues")
    assert done.returncode == 1
    assert f".{name}, which agewell needs" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["_brpop_read", "restore_by_tag"])
def test_agewell_up_refuses_to_start_programs_that_would_end_at_once(tmp_path, name):
    done = run_renamed(tmp_path, name, str(COMMAND), "up")
    assert done.returncode == 1
    assert f".{name}, which agewell needs" in " ".join(done.stderr.split())
    assert private_api.TESTED["kombu"] in " ".join(done.stderr.split())
