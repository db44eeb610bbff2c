"""Whoever looks into a network finds torch: hooks are called, and breakpoints stop."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from agewell.workers.models.kinds.onnx_graph import OnnxGraph
from agewell.workers.models.kinds.torch_module import TorchModule
from agewell.workers.models.kinds.torch_or_onnx import TorchOrOnnx
from agewell.workers.models.load import load_model
from tests.support.model_files import SIDE, marking
from tests.support.paths import ROOT

CPU = torch.device("cpu")
BATCH = {"image": np.full((2, 3, SIDE, SIDE), 0.5, np.float32)}


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A torch module that has an ONNX graph, which is the faster one."""
    from agewell.workers.models.export import version

    directory = marking(tmp_path, "mark", "1", mark=51)
    assert not version.export(directory, directory).failed
    seconds = iter([2.0, 1.0])
    monkeypatch.setattr(
        "agewell.workers.models.kinds.torch_or_onnx._seconds", lambda *_: next(seconds)
    )
    return directory


def ran_torch(model, monkeypatch):
    """The library that ran a pass: seen by what was called, not by what it says of itself."""
    ran = []
    for kind in (TorchModule, OnnxGraph):
        forward = kind.forward
        monkeypatch.setattr(
            kind,
            "forward",
            lambda self, *given, kind=kind, forward=forward: (
                ran.append(kind) or forward(self, *given)
            ),
        )
    outputs = model.forward(BATCH)
    monkeypatch.undo()
    assert np.allclose(outputs["output"], 51 / 255, atol=1e-6)
    [found] = ran
    assert model.runs_on() == {TorchModule: "torch, cpu", OnnxGraph: "onnxruntime, CPU"}[found]
    return found is TorchModule


def test_nobody_looks_so_the_faster_graph_runs(beside, monkeypatch):
    model = load_model(beside, CPU)
    assert isinstance(model.network, TorchOrOnnx)
    assert not ran_torch(model, monkeypatch)
    plain = load_model(beside, CPU, plain=True)
    assert ran_torch(plain, monkeypatch)


def test_a_hook_is_called_and_torch_runs_until_it_is_removed(beside, monkeypatch):
    model, called = load_model(beside, CPU), []
    # By the private name: asking for `module` would be enough by itself.
    part = model.network._module.get_submodule("first")
    for register in (part.register_forward_hook, part.register_forward_pre_hook):
        handle = register(lambda *_: called.append(1))
        assert ran_torch(model, monkeypatch)
        handle.remove()
    assert called == [1, 1]
    assert not ran_torch(model, monkeypatch)


def test_a_hook_for_all_modules_is_called(beside, monkeypatch):
    model, called = load_model(beside, CPU), []
    handle = torch.nn.modules.module.register_module_forward_hook(
        lambda module, *_: called.append(type(module).__name__)
    )
    assert ran_torch(model, monkeypatch)
    handle.remove()
    assert called == ["Conv2d", "Marking"]


def test_whoever_asked_for_the_module_has_the_module_that_runs(beside, monkeypatch):
    model = load_model(beside, CPU)
    first = model.network.module.first
    monkeypatch.setattr(first, "forward", lambda image: torch.full_like(image, torch.nan))
    assert np.isnan(model.forward(BATCH)["output"]).all()


def test_a_debugger_that_traces_the_thread_finds_the_module(beside, monkeypatch):
    model, seen = load_model(beside, CPU), set()

    def trace(frame, *_):
        seen.add((frame.f_code.co_filename.rpartition("/")[2], frame.f_code.co_name))

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        model.forward(BATCH)
    finally:
        sys.settrace(before)
    assert ("model.py", "forward") in seen


@pytest.mark.parametrize("call", ["breakpoint()", "import pdb; pdb.set_trace()"])
def test_a_breakpoint_in_the_networks_code_stops(beside, monkeypatch, call):
    code = beside / "model.py"
    code.write_text(
        code.read_text().replace("        return torch", f"        {call}; return torch")
    )
    stops = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: stops.append(1))
    monkeypatch.setattr("pdb.set_trace", lambda: stops.append(1))
    model = load_model(beside, CPU)
    del stops[:]
    model.forward(BATCH)
    assert stops == [1]


def test_a_compiled_module_calls_a_hook_too(tmp_path, monkeypatch):
    ran = []

    def compile_without_hooks(module):
        return lambda image: ran.append("compiled") or module.forward(image)

    monkeypatch.setattr(torch, "compile", compile_without_hooks)
    model = load_model(marking(tmp_path, "mark", "1", mark=51, compile=True), CPU)
    assert set(ran) == {"compiled"}
    del ran[:]
    model.network._module.register_forward_hook(lambda *_: ran.append("hook"))
    model.forward(BATCH)
    assert ran == ["hook"]


def test_pdb_stops_at_a_line_of_the_network(beside):
    """A person at pdb: break on a line of the network, go on, look at its input, leave."""
    program = (
        "import numpy as np, torch\n"
        "from pathlib import Path\n"
        "from agewell.workers.models.load import load_model\n"
        f"model = load_model(Path({str(beside)!r}), torch.device('cpu'))\n"
        f"model.forward({{'image': np.zeros((2, 3, {SIDE}, {SIDE}), np.float32)}})\n"
    )
    script = beside / "look.py"
    script.write_text(program)
    lines = (beside / "model.py").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if "return torch.zeros_like" in text)
    typed = ["next"] * 4 + [f"break {beside / 'model.py'}:{line}"]
    typed += ["continue", "p image.shape", "quit", ""]
    done = subprocess.run(
        [sys.executable, "-m", "pdb", str(script)],
        input="\n".join(typed),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert f"torch.Size([2, 3, {SIDE}, {SIDE}])" in done.stdout, done.stdout + done.stderr
