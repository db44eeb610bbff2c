"""The device that networks run on: the only module that names a stream, a pinned buffer, a dtype.

To import it imports torch. Nothing here talks to CUDA until `choose_device` is called, and that is
in the process which holds the models, never in a parent of it.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy.typing as npt
import torch

from agewell.workers.models import malloc

Array = npt.NDArray[Any]
Tensors = dict[str, torch.Tensor]

_NO_MEMORY_ON_CPU = ("not enough memory", "can't allocate memory", "cannot allocate memory")


def choose_device() -> torch.device:
    """The first GPU that this process may see (CUDA_VISIBLE_DEVICES), else the CPU."""
    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


def limit_threads(count: int) -> None:
    """Bound the threads of one pass on the CPU; of the calling thread and those it starts."""
    torch.set_num_threads(count)


def autocast(device: torch.device, dtype: str) -> AbstractContextManager[Any]:
    """Arithmetic in bfloat16 or float16 where that is safe; nothing for float32."""
    if dtype == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, dtype))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device, or the machine, has no memory left for this."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY_ON_CPU)


def is_lost(error: BaseException) -> bool:
    """Whether an error is of the device itself, such as a failed kernel.

    CUDA answers all that the process asks afterwards with the same error.
    """
    return isinstance(error, torch.AcceleratorError)


def release_memory(device: torch.device) -> None:
    """Give back what the allocators keep for later, after a model has gone or memory ran out."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    malloc.trim()


def describe(device: torch.device) -> str:
    """`cpu`, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


class Transfer:
    """Arrays to a device and back.

    To a GPU they go through pinned memory on a stream of their own, so that the copy runs beside
    whatever the GPU is computing; on the CPU a tensor is a view of its array.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._side = _new_stream(device) if device.type == "cuda" else None

    def upload(self, batch: Mapping[str, Array]) -> Tensors:
        """The tensors of arrays, on the device; ready for the current stream."""
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
            # Its memory is the side stream's: not to be given away while the main one reads it.
            tensor.record_stream(main)
        return tensors

    def download(self, tensors: Tensors) -> dict[str, Array]:
        """The arrays of tensors; floating point ones as float32."""
        return {
            name: (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
            for name, tensor in tensors.items()
        }


def _view(array: Array) -> torch.Tensor:
    """A tensor of an array's memory; a read-only or scattered one is copied first."""
    if not (array.flags.writeable and array.flags.c_contiguous):
        array = array.copy()
    return torch.from_numpy(array)


class CudaGraphs:
    """A pass recorded once for each set of input shapes, and replayed without Python's part.

    The recording's inputs and outputs are fixed memory: a batch is copied in, and its outputs are
    copied out before the next replay.
    """

    _WARMUP_PASSES = 3  # as PyTorch's own documentation of graphs asks for

    def __init__(self, run: Callable[[Tensors], Tensors], device: torch.device) -> None:
        self._run = run
        self._device = device
        self._recorded: dict[Any, tuple[torch.cuda.CUDAGraph, Tensors, Tensors]] = {}

    def __call__(self, inputs: Tensors) -> Tensors:
        """Replay, or record at first sight of these shapes."""
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
