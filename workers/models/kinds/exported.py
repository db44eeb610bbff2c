"""Kind `exported`: a program written by `torch.export.save`."""

import io
import json
import zipfile
from typing import Any

import torch

from agewell.workers.models.kinds.folding_graph import fold_graph
from agewell.workers.models.kinds.torch_module import TorchModule

_CODE = ("data/aotinductor/", "data/constants/custom_obj", "data/constants/opaque_obj")
"""Parts of an archive that contain machine code or pickled objects."""


class ExportedProgram(TorchModule):
    """A graph with its weights, as a .pt2 archive. The model's Python code is not needed."""

    def make_module(self) -> torch.nn.Module:
        """Load the archive's module, on the CPU.

        Raises:
            ModelError: the archive is missing or damaged, or contains code or pickles.
        """
        path = self.checked_weights()
        data = path.read_bytes()
        try:
            _refuse_code(data)
            program = torch.export.load(io.BytesIO(data))
        except Exception as error:  # a damaged archive raises errors of torch, zipfile, KeyError
            raise self.error(f"{path.name}: {type(error).__name__}: {error}") from error
        return _Evaluated(program.module())

    def fold(self, module: torch.nn.Module) -> None:
        """Fold the batch norms of the graph in place."""
        fold_graph(module.graph)  # type: ignore[arg-type]


def _refuse_code(data: bytes) -> None:
    """Check that an archive contains only tensors and a graph.

    If safe unpickling fails, `torch.export.load` unpickles without restrictions. So archives that
    need this are refused here, before torch reads them.

    Raises:
        ValueError: the archive contains code or pickled objects, or has torch's older format.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        # Every name begins with the name of the archive: `archive/`.
        parts = {name.partition("/")[2]: name for name in archive.namelist()}
        if "archive_format" not in parts:
            raise ValueError("it has torch's older format; save it again with torch.export.save")
        for part, name in parts.items():
            if part.startswith(_CODE):
                raise ValueError(f"it holds {part}: code, or an object as a pickle")
            if part.endswith("_config.json"):
                _refuse_pickled(json.loads(archive.read(name)), part)
            if part.startswith("data/sample_inputs/"):
                torch.load(io.BytesIO(archive.read(name)), weights_only=True)


def _refuse_pickled(config: dict[str, Any], part: str) -> None:
    for name, payload in config.get("config", {}).items():
        if payload.get("use_pickle"):
            raise ValueError(f"{part}: {name} is a pickle")


class _Evaluated(torch.nn.Module):
    """An exported graph. It was exported in evaluation mode and has no `eval` method."""

    def __init__(self, graph: torch.nn.Module) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, *inputs: torch.Tensor, **named: torch.Tensor) -> object:
        return self.graph(*inputs, **named)

    def train(self, mode: bool = True) -> "_Evaluated":
        del mode
        return self
