"""Fold batch norm into the convolutions before it, in the graph of an exported program."""

import logging
from collections.abc import Iterator
from functools import reduce
from typing import Any

import torch
from torch import fx
from torch.nn.utils.fusion import fuse_conv_bn_weights

_ATEN = torch.ops.aten
_CONVOLUTIONS = (_ATEN.conv1d.default, _ATEN.conv2d.default, _ATEN.conv3d.default)


log = logging.getLogger(__name__)


def fold_graph(module: fx.GraphModule) -> int:
    """Fold the batch norms of a graph of ATen operators in place.

    Returns:
        The number of batch norms that were folded.
    """
    norms = [node for node in module.graph.nodes if node.target == _ATEN.batch_norm.default]
    pairs = list(_pairs(module, norms))
    with torch.no_grad():
        for number, (conv, norm) in enumerate(pairs):
            _fold_pair(module, conv, norm, (f"_folded_weight_{number}", f"_folded_bias_{number}"))
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    if len(pairs) < len(norms):
        log.info("%d of %d batch norms folded", len(pairs), len(norms))
    return len(pairs)


def _pairs(module: fx.GraphModule, norms: list[fx.Node]) -> Iterator[tuple[fx.Node, fx.Node]]:
    """Find convolutions whose only user is a batch norm in evaluation mode with statistics."""
    users = _users_of_attributes(module)
    for norm in norms:
        conv = norm.args[0]
        if not isinstance(conv, fx.Node) or conv.target not in _CONVOLUTIONS:
            continue
        weight, statistics, training = conv.args[1], norm.args[3], norm.args[5]
        alone = isinstance(weight, fx.Node) and users.get(str(weight.target), 0) == 1
        if len(conv.users) == 1 and alone and statistics is not None and not training:
            yield conv, norm


def _users_of_attributes(module: fx.GraphModule) -> dict[str, int]:
    users: dict[str, int] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            users[str(node.target)] = users.get(str(node.target), 0) + len(node.users)
    return users


def _fold_pair(
    module: fx.GraphModule, conv: fx.Node, norm: fx.Node, names: tuple[str, str]
) -> None:
    _, scale, shift, mean, variance, _, _, eps = (*norm.args[:8],)
    given = (*conv.args, None)[1:3]
    weight, bias, mean, variance, scale, shift = (
        _tensor(module, each) for each in (*given, mean, variance, scale, shift)
    )
    folded: Any = fuse_conv_bn_weights(weight, bias, mean, variance, eps, scale, shift)  # type: ignore[arg-type]
    # New attributes, because the program may share its weights with the module it was made from.
    attributes = []
    for name, tensor in zip(names, folded, strict=True):
        setattr(module, name, torch.nn.Parameter(tensor.data, requires_grad=False))
        with module.graph.inserting_before(conv):
            attributes.append(module.graph.get_attr(name))
    conv.args = (conv.args[0], *attributes, *conv.args[3:])
    norm.replace_all_uses_with(conv)
    module.graph.erase_node(norm)


def _tensor(module: fx.GraphModule, node: Any) -> Any:
    if node is None:
        return None
    return reduce(getattr, str(node.target).split("."), module)
