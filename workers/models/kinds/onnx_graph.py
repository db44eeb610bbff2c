"""Kind `onnx`: a graph run by onnxruntime."""

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

# onnxruntime's Linux builds send telemetry and leave a file in the temporary directory. This must
# be switched off before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

from agewell.workers.models import threads
from agewell.workers.models.arrays import Array, Arrays, DeviceLostError, OutOfMemoryError
from agewell.workers.models.kinds import providers
from agewell.workers.models.kinds.network import Network

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_NO_MEMORY = ("failed to allocate memory", "bad_alloc", "out of memory")
_DEVICE_LOST = "cuda failure"
"""Part of onnxruntime's message for every error of CUDA except for a lack of memory."""


class OnnxGraph(Network):
    """A session of onnxruntime, with the provider that model.yaml names."""

    _session: Any
    _warning = ""

    def load(self, on: "torch.device") -> None:
        """Open the session.

        Raises:
            ModelError: the file is missing or damaged, or onnxruntime cannot run it, or not with
                this provider.
        """
        path = self.checked_weights()
        options = ort.SessionOptions()
        options.log_severity_level = 3  # only errors, which are raised as well
        options.intra_op_num_threads = threads.count()
        # Threads that spin between passes would take the cores from threads that decode.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            chosen = providers.choose(self.spec.provider, on)
            self._session = ort.InferenceSession(path, options, providers=chosen)
            self._warning = providers.check(self.spec.provider, on, self._session.get_providers())
        except providers.ProviderError as error:
            raise self.error(str(error)) from error
        except Exception as error:  # onnxruntime has a dozen classes without a common base
            raise self.error(f"{path.name}: {error}") from error
        if self._warning:
            log.warning("model %s: %s", self.spec.id, self._warning)
        self._inputs = {each.name: each.type for each in self._session.get_inputs()}
        self._outputs = [each.name for each in self._session.get_outputs()]

    def forward(self, batch: Arrays, taps: Sequence[str] = ()) -> dict[str, Array]:
        """Run a batch. Arguments, outputs and errors are those of `Model.forward`.

        Several inputs are matched by name. A single input may have any name.
        """
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

    def runs_on(self) -> str:
        """Return the execution provider, such as `onnxruntime, CUDA`."""
        return f"onnxruntime, {providers.shown(self._session.get_providers()[0])}"

    def warning(self) -> str:
        """Return why the graph does not run on the worker's GPU, or ""."""
        return self._warning
