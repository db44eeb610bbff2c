"""The execution provider of onnxruntime: chosen by the device, and loud if it is the slow one.

A GPU and the builds of onnxruntime for it are played: this machine need not have them.
"""

import logging

import onnxruntime as ort
import pytest
import torch

from agewell.shared.errors import ModelError
from agewell.workers.models.kinds import providers
from agewell.workers.models.kinds.onnx_graph import OnnxGraph
from agewell.workers.models.load import load_model
from agewell.workers.models.spec import read_spec
from tests.support.model_files import onnx_classifier

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")


@pytest.fixture
def build(monkeypatch):
    """A build of onnxruntime with these providers, whose packages have these names."""

    def made(*available, packages=("onnxruntime",)):
        monkeypatch.setattr(ort, "get_available_providers", lambda: list(available))

        def version(name):
            if name in packages:
                return "9.8"
            raise providers.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(providers.metadata, "version", version)

    return made


@pytest.mark.parametrize(
    ("wanted", "on", "available", "first"),
    [
        ("auto", CPU, [providers.CPU], providers.CPU),
        ("auto", CPU, [providers.CUDA, providers.CPU], providers.CPU),
        ("auto", GPU, [providers.CUDA, providers.CPU], (providers.CUDA, {"device_id": 0})),
        ("auto", GPU, [providers.CPU], providers.CPU),
        ("cpu", GPU, [providers.CUDA, providers.CPU], providers.CPU),
        ("cuda", GPU, [providers.CUDA, providers.CPU], (providers.CUDA, {"device_id": 0})),
        # Only those that ask get OpenVINO, as its numbers differ a little from the CPU's.
        ("auto", CPU, [providers.OPENVINO, providers.CPU], providers.CPU),
        (
            "openvino",
            CPU,
            [providers.OPENVINO, providers.CPU],
            (providers.OPENVINO, {"device_type": "CPU", "num_of_threads": "3"}),
        ),
    ],
)
def test_the_provider_fits_the_device_and_the_build(
    monkeypatch, build, wanted, on, available, first
):
    build(*available)
    monkeypatch.setattr(providers.threads, "count", lambda: 3)
    assert providers.choose(wanted, on)[0] == first


def test_a_gpus_worker_with_a_build_for_the_cpu_warns_and_says_what_to_install(build):
    build(providers.CPU)
    assert providers.check("auto", GPU, [providers.CPU]) == (
        "it runs on the CPU although this worker has a GPU: onnxruntime 9.8 has CPU and not CUDA; "
        "run `pip uninstall onnxruntime`, then `pip install onnxruntime-gpu`"
    )
    build(providers.CPU, packages=("onnxruntime", "onnxruntime-gpu"))  # one hides the other
    said = providers.check("auto", GPU, [providers.CPU])
    assert "pip uninstall onnxruntime onnxruntime-gpu`" in said


def test_a_build_for_the_gpu_that_cannot_load_cuda_warns_too(build):
    build(providers.CUDA, providers.CPU, packages=("onnxruntime-gpu",))
    said = providers.check("auto", GPU, [providers.CPU])
    assert "onnxruntime-gpu 9.8 cannot load its libraries for CUDA" in said


@pytest.mark.parametrize(
    ("wanted", "on", "used"),
    [
        ("auto", CPU, [providers.CPU]),
        ("cpu", GPU, [providers.CPU]),
        ("auto", GPU, [providers.CUDA, providers.CPU]),
        ("openvino", CPU, [providers.OPENVINO, providers.CPU]),
    ],
)
def test_nothing_is_said_if_all_is_as_asked_for(build, wanted, on, used):
    build(*used)
    assert providers.check(wanted, on, used) == ""


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ("cuda", "provider: 'cuda' needs a GPU, and this worker runs on the CPU"),
        (
            "openvino",
            "provider: 'openvino' cannot run: onnxruntime .* has .*CPU and not OpenVINO; run "
            "`pip uninstall onnxruntime`, then `pip install onnxruntime-openvino`",
        ),
    ],
)
def test_a_version_whose_provider_is_not_here_is_refused(tmp_path, wanted, reason):
    if wanted == "openvino" and providers.OPENVINO in ort.get_available_providers():
        pytest.skip("this build of onnxruntime has OpenVINO")
    with pytest.raises(ModelError, match=f"model light/1: {reason}"):
        load_model(onnx_classifier(tmp_path, provider=wanted), CPU)


def test_a_named_provider_that_falls_back_to_the_cpu_is_refused(build):
    build(providers.CUDA, providers.CPU, packages=("onnxruntime-gpu",))
    with pytest.raises(providers.ProviderError, match="provider: 'cuda' did not start: onnxr"):
        providers.check("cuda", GPU, [providers.CPU])


def test_a_graph_on_a_gpus_worker_runs_on_the_cpu_and_the_log_is_loud(tmp_path, caplog):
    """The real onnxruntime, told of a GPU. Its build for the CPU has no CUDA."""
    if providers.CUDA in ort.get_available_providers():
        pytest.skip("this build of onnxruntime has CUDA")
    directory = onnx_classifier(tmp_path)
    graph = OnnxGraph(read_spec(directory), directory)
    with caplog.at_level(logging.WARNING):
        graph.load(GPU)
    assert graph.runs_on() == "onnxruntime, CPU"
    assert "although this worker has a GPU" in graph.warning()
    assert [record.getMessage() for record in caplog.records] == [
        f"model light/1: {graph.warning()}"
    ]


def test_a_loaded_version_says_what_runs_it(tmp_path):
    model = load_model(onnx_classifier(tmp_path), CPU)
    assert (model.runs_on(), model.warning()) == ("onnxruntime, CPU", "")
