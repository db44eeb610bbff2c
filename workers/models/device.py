"""The device that networks run on: transfers, streams, CUDA graphs and autocast.

Importing this module imports torch. CUDA is not used before `choose_device` is called. Only the
process that holds the models calls it, and never a parent of that process.
"""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy.typing as npt
import torch

from agewell.workers.models import malloc, threads

log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
Tensors = dict[str, torch.Tensor]

_NO_MEMORY_ON_CPU = ("not enough memory", "can't allocate memory", "cannot allocate memory")


def choose_device() -> torch.device:
    """Return the first GPU that this process may use (CUDA_VISIBLE_DEVICES), or the CPU.

    It warns if the process was given a GPU and cannot use it.
    """
    if torch.cuda.is_available():
        return torch.device("cuda:0")
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if given not in ("", "-1"):
        log.warning(
            "CUDA_VISIBLE_DEVICES is %s, but torch %s finds no GPU: models run on the CPU",
            given,
            torch.__version__,
        )
    return torch.device("cpu")


def limit_threads(count: int) -> None:
    """Limit the threads of one pass on the CPU, for the calling thread and those it starts.

    ONNX graphs that are opened later have the same limit.
    """
    torch.set_num_threads(count)
    threads.limit(count)


def autocast(device: torch.device, dtype: str) -> AbstractContextManager[Any]:
    """Use bfloat16 or float16 for operations that are safe in it. float32 changes nothing.

    Args:
        device: the device of the pass.
        dtype: "float32", "bfloat16" or "float16".
    """
    if dtype == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, dtype))


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an error means that the device or the machine has not enough memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY_ON_CPU)


def is_lost(error: BaseException) -> bool:
    """Return True if an error means that the device has failed, for example in a kernel.

    CUDA then returns the same error for every later call of this process.
    """
    return isinstance(error, torch.AcceleratorError)


def release_memory(device: torch.device) -> None:
    """Return cached memory of the allocators to the system.

    It is called after a model was dropped, or if memory ran out.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
    malloc.trim()


def describe(device: torch.device) -> str:
    """Return the name of a device: `cpu`, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


class Transfer:
    """Copies arrays to a device and back.

    For a GPU it uses pinned memory and a separate stream, so that the copy runs while the GPU
    computes. On the CPU a tensor is a view of its array.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._side = _new_stream(device) if device.type == "cuda" else None

    def upload(self, batch: Mapping[str, Array]) -> Tensors:
        """Copy arrays to the device. The current stream can use the tensors at once."""
        if self._side is None:
            return {name: _view(array) for name, array in batch.items()}
        main = torch.cuda.current_stream(self.device)
        tensors = {}
        with torch.cuda.stream(self._side):
            for name, array in batch.items():
                pinned = _view(array).pin_memory()
                tensors[name] = pinned.to(self.device, non_blocking=True)
        main.wait_stream(self._side)
        for tensor in tensors.values():
            # The memory belongs to the side stream. It must not be reused while the main stream
            # reads it.
            tensor.record_stream(main)
        return tensors

    def download(self, tensors: Tensors) -> dict[str, Array]:
        """Copy tensors to arrays. Floating point values become float32."""
        return {
            name: (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
            for name, tensor in tensors.items()
        }


def _view(array: Array) -> torch.Tensor:
    """Return a tensor that shares an array's memory.

    An array that is read-only or not contiguous is copied first.
    """
    if not (array.flags.writeable and array.flags.c_contiguous):
        array = array.copy()
    return torch.from_numpy(array)


class CudaGraphs:
    """A pass that is recorded once for each set of input shapes, and then replayed without Python.

    The inputs and outputs of a recording have fixed memory. A batch is copied in, and its outputs
    are copied out before the next replay.
    """

    _WARMUP_PASSES = 3  # as in PyTorch's documentation of CUDA graphs

    def __init__(self, run: Callable[[Tensors], Tensors], device: torch.device) -> None:
        self._run = run
        self._device = device
        self._recorded: dict[Any, tuple[torch.cuda.CUDAGraph, Tensors, Tensors]] = {}

    def __call__(self, inputs: Tensors) -> Tensors:
        """Replay the pass for these shapes. The first call with new shapes records it."""
        key = tuple((name, tuple(t.shape), t.dtype) for name, t in sorted(inputs.items()))
        if key not in self._recorded:
            self._recorded[key] = self._record(inputs)
        graph, places, outputs = self._recorded[key]
        for name, tensor in inputs.items():
            places[name].copy_(tensor, non_blocking=True)
        graph.replay()
        return {name: tensor.clone() for name, tensor in outputs.items()}

    def _record(self, inputs: Tensors) -> tuple[torch.cuda.CUDAGraph, Tensors, Tensors]:
        places = {name: tensor.clone() for name, tensor in inputs.items()}
        side = _new_stream(self._device)
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):
            for _ in range(self._WARMUP_PASSES):
                self._run(places)
        torch.cuda.current_stream(self._device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Another thread may be loading a model: its calls must not end the recording.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = self._run(places)
        return graph, places, outputs


def _new_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
