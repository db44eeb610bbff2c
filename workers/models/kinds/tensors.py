"""Call a torch module, and name the tensors that it returns."""

from collections.abc import Mapping
from typing import Any

import torch


def call(module: Any, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Call a module with one input as its first argument, or with several by their names."""
    if len(inputs) == 1:
        return named(module(next(iter(inputs.values()))))
    return named(module(**inputs))


def named(found: Any) -> dict[str, torch.Tensor]:
    """Return the tensors of a module's result by name.

    A tensor is named `output`, a list or tuple `output0`, `output1` and so on. A mapping keeps its
    names.

    Raises:
        TypeError: the result is none of these.
    """
    if isinstance(found, torch.Tensor):
        return {"output": found}
    if isinstance(found, Mapping):  # transformers' outputs are mappings as well
        return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}
    if isinstance(found, list | tuple):
        return {f"output{index}": value for index, value in enumerate(found)}
    raise TypeError(f"the network returned {type(found).__name__}, not tensors")
