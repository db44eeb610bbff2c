"""The kinds of network: how one is kept on disk, and what runs it."""

from pathlib import Path

from agewell.workers.models.kinds.network import Network
from agewell.workers.models.spec import ModelSpec


def open_network(spec: ModelSpec, directory: Path) -> Network:
    """The network of a version's directory, not loaded yet.

    Each kind's libraries are imported with it alone: they are large, and may not be installed.
    """
    match spec.kind:
        case "torch" if spec.onnx is not None:
            from agewell.workers.models.kinds.faster import Faster

            return Faster(spec, directory)
        case "torch":
            from agewell.workers.models.kinds.torch_module import TorchModule

            return TorchModule(spec, directory)
        case "exported":
            from agewell.workers.models.kinds.exported import ExportedProgram

            return ExportedProgram(spec, directory)
        case "onnx":
            from agewell.workers.models.kinds.onnx_graph import OnnxGraph

            return OnnxGraph(spec, directory)
        case "huggingface":
            from agewell.workers.models.kinds.huggingface import HuggingFaceModel

            return HuggingFaceModel(spec, directory)
