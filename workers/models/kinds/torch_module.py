"""Kind `torch`: a module made by a factory function, with its weights as safetensors."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import safetensors
import safetensors.torch
import torch

from agewell.workers.models import device
from agewell.workers.models.arrays import TAP, Array, Arrays, DeviceLostError, OutOfMemoryError
from agewell.workers.models.kinds import folding, tensors
from agewell.workers.models.kinds.inspection import Inspection
from agewell.workers.models.kinds.network import Network
from agewell.workers.models.user_code import load_code

Pass = Callable[[device.Tensors], device.Tensors]


class TorchModule(Network):
    """An `nn.Module`. model.yaml may ask to compile it, for channels-last or CUDA graphs."""

    _module: torch.nn.Module
    _run: Pass
    _transfer: device.Transfer
    _inspection: Inspection

    def load(self, on: torch.device) -> None:
        """Make the module, load its weights, and move it to the device.

        Raises:
            ModelError: the code or the weights are missing or do not fit each other.
        """
        module = self.make_module().eval().requires_grad_(False)
        if self.spec.fold_batch_norm:
            self.fold(module)
        if self.spec.weights_dtype != "float32":
            module = module.to(getattr(torch, self.spec.weights_dtype))
        if self.spec.channels_last:
            # torch's type stubs have no overload with memory_format.
            module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._module = module.to(on)
        self._transfer = device.Transfer(on)
        called: Any = torch.compile(self._module) if self.spec.compile else self._module
        self._run = partial(tensors.call, called)
        self._inspection = Inspection(self._module)
        if self.spec.cuda_graphs and on.type == "cuda":
            self._run = device.CudaGraphs(self._run, on)

    def fold(self, module: torch.nn.Module) -> None:
        """Fold the batch norms of the module in place, as far as it is safe."""
        folding.fold(module)

    @property
    def module(self) -> torch.nn.Module:
        """The loaded module, for hooks and for looking at its parts.

        Whoever asks for it may change it, so the plain module runs from then on: no ONNX graph, no
        compiled module and no CUDA graph.
        """
        self._inspection.opened = True
        return self._module

    def make_module(self) -> torch.nn.Module:
        """Make the module and load its weights, on the CPU.

        Raises:
            ModelError: the factory fails or does not return a module, or the weights do not fit.
        """
        entry = self.spec.entry
        if entry is None:
            raise self.error("model.yaml has no entry: package.module:factory")
        factory = load_code(entry, self.spec, self.directory)
        try:
            module = factory(**self.spec.entry_options)
        except Exception as error:  # the model's code may raise anything
            raise self.error(f"{entry}: {type(error).__name__}: {error}") from error
        if not isinstance(module, torch.nn.Module):
            raise self.error(f"{entry} returned {type(module).__name__}, not a torch.nn.Module")
        if self.spec.weights is not None:
            self._load_weights(module)
        return module

    def _load_weights(self, module: torch.nn.Module) -> None:
        path = self.checked_weights()
        try:
            state = safetensors.torch.load_file(path)
            module.load_state_dict(state)
        except (safetensors.SafetensorError, RuntimeError) as error:
            raise self.error(f"{path.name}: {error}") from error

    def forward(self, batch: Arrays, taps: Sequence[str] = ()) -> dict[str, Array]:
        """Run a batch. Arguments, outputs and errors are those of `Model.forward`.

        A pass with taps runs the module uncompiled and without CUDA graphs. So does every pass
        while somebody looks into the module.

        Raises:
            DeviceLostError: the device has failed.
        """
        try:
            with torch.inference_mode(), device.autocast(self._transfer.device, self.spec.dtype):
                inputs = self._converted(self._transfer.upload(batch))
                if self.spec.channels_last:
                    inputs = {name: _channels_last(each) for name, each in inputs.items()}
                plain = taps or self._inspection.going_on()
                found = self._tapped(inputs, taps) if plain else self._run(inputs)
                return self._transfer.download(found)
        except Exception as error:
            self._explain_dtype(error)
            if device.is_out_of_memory(error):
                device.release_memory(self._transfer.device)
                raise OutOfMemoryError(str(error)) from error
            if device.is_lost(error):
                raise DeviceLostError(str(error)) from error
            raise

    def _converted(self, inputs: device.Tensors) -> device.Tensors:
        """Convert floating point inputs to the type of the weights."""
        if self.spec.weights_dtype == "float32":
            return inputs
        wanted = getattr(torch, self.spec.weights_dtype)
        return {
            name: tensor.to(wanted) if tensor.is_floating_point() else tensor
            for name, tensor in inputs.items()
        }

    def _explain_dtype(self, error: Exception) -> None:
        """Raise a ModelError if the module cannot run because of its `weights_dtype`."""
        chosen = self.spec.weights_dtype
        if chosen != "float32" and isinstance(error, RuntimeError) and _is_of_dtype(error):
            reason = f"cannot run with weights_dtype {chosen}: {error}"
            hint = "use dtype: bfloat16 (autocast), or leave weights_dtype out"
            raise self.error(f"{reason}; {hint}") from error

    def _tapped(self, inputs: device.Tensors, taps: Sequence[str]) -> device.Tensors:
        with _hooked(self._module, taps) as seen:
            outputs = tensors.call(self._module, inputs)
        return outputs | {TAP + name: tensor for name, tensor in seen.items()}

    def tap_points(self) -> list[str]:
        """Return the dotted names of all submodules."""
        return [name for name, _ in self._module.named_modules() if name]

    def runs_on(self) -> str:
        """Return the device of the module, such as `torch, cuda:0`."""
        return f"torch, {self._transfer.device}"

    def size_bytes(self) -> int:
        """Return the size of all parameters and buffers in bytes."""
        held = [*self._module.parameters(), *self._module.buffers()]
        return sum(tensor.numel() * tensor.element_size() for tensor in held)


def _is_of_dtype(error: RuntimeError) -> bool:
    """Return True if torch has no kernel for a type, or was given two types at once."""
    text = str(error)
    return any(words in text for words in ("not implemented for", "dtype", "scalar type"))


@contextmanager
def _hooked(module: torch.nn.Module, taps: Sequence[str]) -> Iterator[device.Tensors]:
    """Collect the results of the named submodules within this block.

    If a submodule returns several tensors, only the first one is kept.
    """
    seen: device.Tensors = {}

    def keep(name: str, *called: Any) -> None:
        seen[name] = next(iter(tensors.named(called[-1]).values()))

    with ExitStack() as stack:
        for name in taps:
            hook = module.get_submodule(name).register_forward_hook(partial(keep, name))
            stack.callback(hook.remove)
        yield seen


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
