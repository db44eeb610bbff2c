"""Find out if somebody looks into a network, by hooks, a debugger or a breakpoint in its code.

An ONNX graph, a compiled module and a CUDA graph run without the module's Python code. They would
call no hook and stop at no breakpoint, so the plain module runs while somebody looks.
"""

import sys

import torch
from torch.nn.modules import module as torch_hooks

_STOPPING = {"breakpoint", "set_trace"}
"""Names of functions that stop a program: Python's own, and those of pdb and Celery's rdb."""


class Inspection:
    """Looks out for people who look into a module."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._parts = tuple(module.modules())
        self._hooks = self._count_hooks()  # some modules have their own
        self.opened = any(map(_has_breakpoint, self._parts))
        """True if the module's code stops, or if somebody has the module and may change it."""

    def going_on(self) -> bool:
        """Return True if the plain module must run."""
        return self.opened or _is_traced() or self._count_hooks() != self._hooks

    def _count_hooks(self) -> int:
        """Count the forward hooks of the module and its parts, and those for all modules."""
        for_all = torch_hooks._global_forward_hooks, torch_hooks._global_forward_pre_hooks
        of_parts = (len(part._forward_hooks) + len(part._forward_pre_hooks) for part in self._parts)
        return sum(of_parts) + sum(map(len, for_all))


def _is_traced() -> bool:
    """Return True if a debugger traces this thread."""
    if sys.gettrace() is not None:
        return True
    if sys.version_info >= (3, 12):  # pdb of Python 3.14 uses no trace function
        return sys.monitoring.get_tool(sys.monitoring.DEBUGGER_ID) is not None
    return False


def _has_breakpoint(module: torch.nn.Module) -> bool:
    """Return True if the `forward` of a module calls `breakpoint()` or the like."""
    code = getattr(type(module).forward, "__code__", None)
    return code is not None and not _STOPPING.isdisjoint(code.co_names)
