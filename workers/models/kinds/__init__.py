"""The kinds of network: one module for each way to store a network and to run it."""

from pathlib import Path

from agewell.workers.models.kinds.network import Network
from agewell.workers.models.spec import ModelSpec


def make_network(spec: ModelSpec, directory: Path) -> Network:
    """Return the network of a version's directory, not loaded yet.

    The libraries of a kind are imported only if it is used: they are large, and may not be
    installed.

    Args:
        spec: the version's model.yaml.
        directory: of the version.
    """
    match spec.kind:
        case "torch" if spec.onnx is not None:
            from agewell.workers.models.kinds.torch_or_onnx import TorchOrOnnx

            return TorchOrOnnx(spec, directory)
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
