"""Kind `exported`: a program that `torch.export.save` wrote."""

import io
import json
import zipfile
from typing import Any

import torch

from agewell.workers.models.kinds.torch_module import TorchModule

_CODE = ("data/aotinductor/", "data/constants/custom_obj", "data/constants/opaque_obj")
"""Parts of an archive that hold machine code, or objects as pickles."""


class ExportedProgram(TorchModule):
    """A graph with its weights, as a .pt2 archive; no code of the model's is needed."""

    def make_module(self) -> torch.nn.Module:
        """The archive's module, on the CPU."""
        path = self.checked_weights()
        data = path.read_bytes()
        try:
            _refuse_code(data)
            program = torch.export.load(io.BytesIO(data))
        except Exception as error:  # torch's own, zipfile's, KeyError: a damaged archive has many
            raise self.error(f"{path.name}: {type(error).__name__}: {error}") from error
        return _Evaluated(program.module())


def _refuse_code(data: bytes) -> None:
    """See that an archive holds tensors and a graph alone.

    `torch.export.load` unpickles what it finds, without restriction where the safe way fails. So
    what the safe way does not take is refused here, before torch sees it.

    Raises:
        ValueError: the archive holds code or pickled objects, or is of torch's older format.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        # Every name begins with the archive's own, `archive/`.
        parts = {name.partition("/")[2]: name for name in archive.namelist()}
        if "archive_format" not in parts:
            raise ValueError("of torch's older format; save it again with torch.export.save")
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
    """An exported graph: it was exported in evaluation mode, and has no `eval` of its own."""

    def __init__(self, graph: torch.nn.Module) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, *inputs: torch.Tensor, **named: torch.Tensor) -> object:
        return self.graph(*inputs, **named)

    def train(self, mode: bool = True) -> "_Evaluated":
        del mode
        return self
