"""Fold batch norm into the convolutions before it: fewer passes over memory, the same outputs.

In evaluation mode a batch norm is one multiplication and one addition for each channel, which can
be done to the weights of a convolution once. Source: Markuš, "Fusing batch normalization and
convolution in runtime", 2018.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

from torch import fx, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval

log = logging.getLogger(__name__)

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def fold(module: nn.Module) -> int:
    """Fold the batch norms of a module in place. Its structure and its code stay.

    Each module that has a batch norm as a direct child is traced by itself. So the code around it
    need not be traceable. A batch norm is folded if its input is the result of a convolution of
    the same parent, and nothing else uses that result. Its place is taken by `nn.Identity`.
    Modules that are used in several places stay as they are.

    Args:
        module: in evaluation mode, in float32.

    Returns:
        The number of batch norms that were folded.
    """
    shared = _used_twice(module)
    folded = left = 0
    for path, parent in list(module.named_modules()):
        norms = {name for name, child in parent.named_children() if isinstance(child, _NORMS)}
        if not norms:
            continue
        for layer, norm in list(_pairs(parent, path)):
            if shared.isdisjoint(_ids(parent, layer, norm)):
                _fold_pair(parent, layer, norm)
                norms.discard(norm)
                folded += 1
        left += len(norms)  # no convolution comes right before them
    if left:
        log.info("%d of %d batch norms folded", folded, folded + left)
    return folded


class _OneLevel(fx.Tracer):
    """Traces the code of one module. Its children are not traced into."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        del m, module_qualified_name
        return True


def _pairs(parent: nn.Module, path: str) -> Iterator[tuple[str, str]]:
    """Find the children (layer, batch norm) of which the second alone uses the first's result."""
    try:
        graph = _OneLevel().trace(parent)
    except Exception as error:  # noqa: BLE001  the model's code may raise anything on a proxy
        where = f"{path or 'the module'} ({type(parent).__name__})"
        log.info("the batch norms of %s stay: it cannot be traced: %s", where, error)
        return
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        layer, norm = str(before.target), str(node.target)
        if calls[layer] == calls[norm] == 1 and _foldable(parent, layer, norm):
            yield layer, norm


def _foldable(parent: nn.Module, layer: str, norm: str) -> bool:
    if "." in layer or "." in norm:
        return False
    first, second = parent.get_submodule(layer), parent.get_submodule(norm)
    if not isinstance(second, _NORMS) or second.running_mean is None or second.training:
        return False
    if type(first) not in _CONVOLUTIONS or parametrize.is_parametrized(first):
        return False  # a subclass may compute something else
    hooks = (first._forward_hooks, first._forward_pre_hooks, second._forward_pre_hooks)
    return not any(hooks)


def _fold_pair(parent: nn.Module, layer: str, norm: str) -> None:
    first: Any = parent.get_submodule(layer)
    setattr(parent, layer, fuse_conv_bn_eval(first, parent.get_submodule(norm)))  # type: ignore[arg-type]
    setattr(parent, norm, nn.Identity())


def _used_twice(module: nn.Module) -> set[int]:
    """Return the ids of the modules and parameters that the tree has in more than one place."""
    places = Counter(id(each) for _, each in module.named_modules(remove_duplicate=False))
    places.update(id(each) for _, each in module.named_parameters(remove_duplicate=False))
    return {key for key, count in places.items() if count > 1}


def _ids(parent: nn.Module, *names: str) -> set[int]:
    modules = [parent, *map(parent.get_submodule, names)]
    parameters = [each for module in modules[1:] for each in module.parameters()]
    return {id(each) for each in [*modules, *parameters]}
