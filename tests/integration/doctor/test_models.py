"""Versions that run on another device than you think: doctor and `agewell models list` say so."""

from types import SimpleNamespace

from agewell.producer.cli.models import _cells
from agewell.producer.doctor.finding import Verdict
from agewell.producer.doctor.models import check_served_models
from agewell.producer.sending.model_commands import Models
from agewell.shared.model_commands import ModelControl, VersionStatus, WorkerStatus

SLOW = "it runs on the CPU although this worker has a GPU: onnxruntime 1.31 has CPU and not CUDA"


def announce(client, worker: str, **status: str) -> None:
    version = VersionStatus(name="cars", version="1", loaded=True, **status)
    ModelControl(client).announce(WorkerStatus(run=worker, worker=worker, versions=(version,)))


def test_a_graph_on_the_cpu_of_a_gpus_worker_is_a_problem_that_names_the_worker(client):
    announce(client, "infer0@a", runs_on="onnxruntime, CUDA")
    announce(client, "infer1@a", runs_on="onnxruntime, CPU", warning=SLOW)
    found = check_served_models(SimpleNamespace(client=client))
    assert found.verdict is Verdict.PROBLEM
    assert found.found == f"cars/1 on infer1@a: {SLOW}"
    assert "`provider: cpu`" in found.do


def test_the_list_shows_the_warning_and_everything_that_runs_a_version(client):
    announce(client, "infer0@a", runs_on="onnxruntime, CUDA", description="cars on a road")
    announce(client, "infer1@a", runs_on="onnxruntime, CPU", warning=SLOW)
    [found] = Models(SimpleNamespace(client=client)).versions()
    cells = _cells(found)
    assert "onnxruntime, CPU or onnxruntime, CUDA" in cells
    assert cells[-1] == f"warning: {SLOW}"


def test_versions_that_run_as_they_should_are_named_with_what_runs_them(client):
    announce(client, "infer@a", runs_on="torch, cpu")
    found = check_served_models(SimpleNamespace(client=client))
    assert found.verdict is Verdict.OK
    assert found.found.endswith("none broken; loaded ones run on torch, cpu")


def test_a_status_without_the_new_fields_is_read(client):
    """Workers of an earlier version send neither `runs_on` nor `warning`."""
    announce(client, "infer@a")
    found = check_served_models(SimpleNamespace(client=client))
    assert found.found == "1 seen by 1 infer workers, none broken"
