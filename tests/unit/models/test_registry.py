"""Loading, switching and unloading, mostly by a fake clock and fake models."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from agewell.shared.errors import ModelError, UnknownModelError
from agewell.workers.models.catalogue import Catalogue
from agewell.workers.models.load_failures import FORGET_FAILURE_S
from agewell.workers.models.registry import Registry
from tests.support.model_files import version_directory

PATIENCE_S = 60.0


class FakeModel:
    def __init__(self, directory):
        self.version = directory.name

    def size_bytes(self):
        return 100


class Loader:
    """Makes fake models. Versions named `bad...` fail."""

    def __init__(self):
        self.calls = []

    def __call__(self, directory):
        self.calls.append(directory.name)
        if directory.name.startswith("bad"):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return FakeModel(directory)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 0.001
        return self.now


@pytest.fixture
def loader():
    return Loader()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def root(tmp_path):
    for version in ("1", "2", "9", "10", "bad"):
        version_directory(tmp_path, "cats", version, task="image", kind="torch", entry="a:b")
    version_directory(tmp_path, "dogs", "1", task="image", kind="torch", entry="a:b")
    return tmp_path


@pytest.fixture
def registry(root, loader, clock):
    return Registry(Catalogue(root), loader, budget_bytes=1000, clock=clock)


def leased(registry, *model_id):
    with registry.lease(*model_id) as model:
        return model.version


def ids(registry):
    return sorted("/".join(each) for each in registry.held())


def test_a_job_gets_the_version_that_it_pins_or_the_active_one(registry):
    registry.activate("cats", "2")
    assert leased(registry, "cats") == "2"
    assert leased(registry, "cats", "1") == "1"


def test_without_activation_the_highest_good_version_serves(registry, root):
    (root / "cats" / "bad" / "model.yaml").write_text("kind: [")
    assert leased(registry, "cats") == "10"


def test_a_version_is_loaded_once_however_many_jobs_ask_for_it(registry, loader):
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: leased(registry, "cats", "1"), range(64))) == {"1"}
    assert loader.calls == ["1"]


@pytest.mark.parametrize(
    ("name", "version", "known"),
    [
        ("birds", "1", "cats, dogs"),
        ("cats", "3", "cats/bad, cats/1, cats/2, cats/9, cats/10"),
        ("birds", None, "cats, dogs"),
        ("..", "1", "cats, dogs"),
        ("cats", "../dogs", "cats/1"),
    ],
)
def test_an_unknown_model_or_version_is_an_error_that_names_the_known(
    registry, name, version, known
):
    with pytest.raises(UnknownModelError) as caught:
        leased(registry, name, version)
    assert known in str(caught.value)


def test_a_version_that_fails_to_load_is_refused_and_the_old_one_goes_on(registry):
    registry.activate("cats", "1")
    with pytest.raises(ModelError, match=r"cats/bad: RuntimeError: mat1"):
        registry.activate("cats", "bad")
    assert registry.active("cats") == "1"
    assert leased(registry, "cats") == "1"
    assert ids(registry) == ["cats/1"]


def test_a_failed_version_is_not_tried_again_for_each_waiting_job(registry, loader, clock):
    for _ in range(3):
        with pytest.raises(ModelError):
            leased(registry, "cats", "bad")
    assert loader.calls == ["bad"]
    clock.now += FORGET_FAILURE_S
    with pytest.raises(ModelError):
        leased(registry, "cats", "bad")
    with pytest.raises(ModelError):
        registry.load("cats", "bad")  # who asks for it by command gets a fresh answer
    assert loader.calls == ["bad"] * 3


def test_least_recently_used_model_leaves_when_memory_is_short(root, loader, clock):
    registry = Registry(Catalogue(root), loader, budget_bytes=350, clock=clock)
    for version in ("1", "2", "9"):
        registry.load("cats", version)
    leased(registry, "cats", "1")
    registry.load("cats", "10")
    assert ids(registry) == ["cats/1", "cats/10", "cats/9"]


def test_model_in_use_stays_when_memory_is_short(root, loader, clock):
    registry = Registry(Catalogue(root), loader, budget_bytes=150, clock=clock)
    with registry.lease("cats", "1") as model:
        registry.load("cats", "2")
        assert "cats/1" in ids(registry)
        assert model.version == "1"
    assert len(ids(registry)) == 1


def test_a_model_larger_than_the_budget_is_refused(root, loader, clock):
    registry = Registry(Catalogue(root), loader, budget_bytes=99, clock=clock)
    with pytest.raises(ModelError, match=r"takes 100 bytes; the budget is 99"):
        registry.load("cats", "1")


def test_a_job_ends_on_the_version_it_began_with(registry):
    registry.activate("cats", "1")
    with registry.lease("cats") as model:
        registry.activate("cats", "2")
        assert registry.unload("cats", "1") == ["1"]
        assert model.version == "1"
        assert leased(registry, "cats") == "2"
    assert ids(registry) == ["cats/2"]


def test_unloading_names_the_unloaded_versions(registry, loader):
    registry.load("cats", "1")
    registry.load("cats", "2")
    registry.load("dogs", "1")
    assert sorted(registry.unload("cats")) == ["1", "2"]
    assert registry.unload("cats") == []
    assert ids(registry) == ["dogs/1"]
    assert leased(registry, "cats", "1") == "1"
    assert loader.calls == ["1", "2", "1", "1"]


def test_jobs_go_on_while_another_version_loads(root, clock):
    gate, begun = threading.Event(), threading.Event()

    def load(directory):
        if directory.name == "2":
            begun.set()
            assert gate.wait(PATIENCE_S)
        return FakeModel(directory)

    registry = Registry(Catalogue(root), load, budget_bytes=1000, clock=clock)
    registry.activate("cats", "1")
    with ThreadPoolExecutor(1) as pool:
        switching = pool.submit(registry.activate, "cats", "2")
        assert begun.wait(PATIENCE_S)
        assert leased(registry, "cats") == "1"
        gate.set()
        switching.result(PATIENCE_S)
    assert leased(registry, "cats") == "2"
