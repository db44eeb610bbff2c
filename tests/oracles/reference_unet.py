"""AttentionUNet's mathematics in numpy and float64, every softmax and convolution written out.

It shares nothing with workers/models/nets but the names of the weights.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import erf

Array = npt.NDArray[np.float64]
Weights = Mapping[str, Array]


def attention_unet(
    weights: Weights,
    x: Array,
    context: Array,
    heads: Sequence[int],
    pools: Sequence[int],
    patch: int,
) -> Array:
    """(B, C_in, H, W) and (B, N, D) -> (B, C_out, H, W)."""
    depth = len(pools)
    context = layer_norm(weights, "context_norm", context)
    x = convolution(weights, "stem", np.moveaxis(x, 1, -1), stride=patch, padding=patch // 2)
    seen = []
    for i in range(depth):
        x = level(weights, f"down.{i}", x, context, heads[i], pools[i])
        seen.append(x)
        x = convolution(weights, f"shrink.{i}", x, stride=2, padding=0)
    x = level(weights, "bottom", x, context, heads[depth], 1)
    for i in reversed(range(depth)):
        x = x.repeat(2, axis=1).repeat(2, axis=2)
        x = linear(weights, f"merge.{i}", np.concatenate([x, seen[i]], axis=-1))
        x = level(weights, f"up.{i}", x, context, heads[i], pools[i])
    x = linear(weights, "out", layer_norm(weights, "out_norm", x))
    return np.moveaxis(bilinear(bilinear(x, patch, axis=1), patch, axis=2), -1, 1)


def level(w: Weights, name: str, x: Array, context: Array, heads: int, pool: int) -> Array:
    x = mlp(w, f"{name}.mlp_1", x)
    batch, height, width, channels = x.shape

    own = f"{name}.self_attention"
    y = layer_norm(w, f"{own}.norm", x)
    pooled = y.reshape(batch, height // pool, pool, width // pool, pool, channels).mean(axis=(2, 4))
    k, v = np.split(linear(w, f"{own}.kv", pooled.reshape(batch, -1, channels)), 2, axis=-1)
    q = linear(w, f"{own}.q", y).reshape(batch, -1, channels)
    x = x + linear(w, f"{own}.project", attention(q, k, v, heads)).reshape(x.shape)

    cross = f"{name}.cross_attention"
    q = linear(w, f"{cross}.q", layer_norm(w, f"{cross}.norm", x)).reshape(batch, -1, channels)
    nothing = np.repeat(w[f"{cross}.nothing"], batch, axis=0)
    tokens = np.concatenate([nothing, context], axis=1)
    k, v = np.split(linear(w, f"{cross}.kv", tokens), 2, axis=-1)
    x = x + linear(w, f"{cross}.project", attention(q, k, v, heads)).reshape(x.shape)

    return mlp(w, f"{name}.mlp_2", x)


def attention(q: Array, k: Array, v: Array, heads: int) -> Array:
    """softmax(q k^T / sqrt(d)) v of each head by itself."""
    d = q.shape[-1] // heads
    found = []
    for head in range(heads):
        part = slice(head * d, (head + 1) * d)
        scores = np.einsum("bmc,bnc->bmn", q[..., part], k[..., part]) / np.sqrt(d)
        exps = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares = exps / exps.sum(axis=-1, keepdims=True)
        found.append(np.einsum("bmn,bnc->bmc", shares, v[..., part]))
    return np.concatenate(found, axis=-1)


def mlp(w: Weights, name: str, x: Array) -> Array:
    y = depthwise(w, f"{name}.neighbours", x)
    y = linear(w, f"{name}.expand", layer_norm(w, f"{name}.norm", y))
    y = y * (1 + erf(y / np.sqrt(2))) / 2  # GELU
    return x + linear(w, f"{name}.project", y)


def linear(w: Weights, name: str, x: Array) -> Array:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def layer_norm(w: Weights, name: str, x: Array) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    return centred / scale * w[f"{name}.weight"] + w[f"{name}.bias"]


def convolution(w: Weights, name: str, x: Array, stride: int, padding: int) -> Array:
    """(B, H, W, C) -> (B, h, w, O): at each place of the kernel a product, summed."""
    kernel = w[f"{name}.weight"]  # (O, C, k, k)
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    size = kernel.shape[-1]
    rows = (x.shape[1] - size) // stride + 1
    columns = (x.shape[2] - size) // stride + 1
    total = np.zeros((x.shape[0], rows, columns, kernel.shape[0]))
    for i in range(size):
        for j in range(size):
            seen = x[:, i : i + stride * rows : stride, j : j + stride * columns : stride]
            total += seen @ kernel[:, :, i, j].T
    return total + w[f"{name}.bias"]


def depthwise(w: Weights, name: str, x: Array) -> Array:
    """Each channel with a 3 x 3 kernel of its own."""
    kernel = w[f"{name}.weight"]  # (C, 1, 3, 3)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    total = np.zeros_like(x)
    for i in range(3):
        for j in range(3):
            seen = padded[:, i : i + x.shape[1], j : j + x.shape[2]]
            total += seen * kernel[:, 0, i, j]
    return total + w[f"{name}.bias"]


def bilinear(x: Array, factor: int, axis: int) -> Array:
    """Enlarge one axis. Pixel centres are at i + 0.5, and the outermost value goes on beyond."""
    count = x.shape[axis]
    places = np.clip((np.arange(count * factor) + 0.5) / factor - 0.5, 0, count - 1)
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, count - 1)
    shape = [1] * x.ndim
    shape[axis] = -1
    share = (places - below).reshape(shape)
    return x.take(below, axis) * (1 - share) + x.take(above, axis) * share
