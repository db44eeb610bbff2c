"""Kind `onnx`: a graph that onnxruntime runs."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

# Its builds for Linux report to their maker how they are used, and leave a file in the temporary
# directory, unless told not to before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

from agewell.shared.setting_types import usable_cores
from agewell.workers.models.arrays import Array, Arrays, DeviceLostError, OutOfMemoryError
from agewell.workers.models.kinds.network import Network

if TYPE_CHECKING:
    import torch

_NO_MEMORY = ("failed to allocate memory", "bad_alloc", "out of memory")
_DEVICE_LOST = "cuda failure"
"""What onnxruntime says of whatever CUDA refuses, but for memory."""


class OnnxGraph(Network):
    """A session on the GPU where onnxruntime has a build for it, else on the CPU."""

    _session: Any

    def load(self, on: "torch.device") -> None:
        """Open the session."""
        path = self.checked_weights()
        options = ort.SessionOptions()
        options.log_severity_level = 3  # errors alone: they come as exceptions as well
        options.intra_op_num_threads = usable_cores()
        # Threads that spin between passes would take the cores from those that decode.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(path, options, providers=_providers(on))
        except Exception as error:  # onnxruntime's own classes are a dozen, without a common base
            raise self.error(f"{path.name}: {error}") from error
        self._inputs = {each.name: each.type for each in self._session.get_inputs()}
        self._outputs = [each.name for each in self._session.get_outputs()]

    def forward(self, batch: Arrays, taps: Sequence[str] = ()) -> dict[str, Array]:
        """Run a batch; one input goes in whatever the graph calls it, several by their names."""
        if taps:
            raise ValueError("an ONNX graph has no tap points")
        given = dict(batch)
        if len(given) == len(self._inputs) == 1:
            given = {next(iter(self._inputs)): next(iter(given.values()))}
        try:
            found = self._session.run(self._outputs, given)
        except Exception as error:
            if any(words in str(error).lower() for words in _NO_MEMORY):
                raise OutOfMemoryError(str(error)) from error
            if _DEVICE_LOST in str(error).lower():
                raise DeviceLostError(str(error)) from error
            raise
        return dict(zip(self._outputs, found, strict=True))


def _providers(on: "torch.device") -> list[Any]:
    available = ort.get_available_providers()
    if on.type == "cuda" and "CUDAExecutionProvider" in available:
        return [("CUDAExecutionProvider", {"device_id": on.index or 0}), "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]
