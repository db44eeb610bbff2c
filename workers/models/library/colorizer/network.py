"""The colorizer's network, which computes colours from luminance and a palette.

The colour of a pixel is a mixture of the palette's colours. The weights of the mixture are a
softmax of logits. Before training, the logits are a closed formula of the luminance L:

    logit_i = log share_i - (L - L_i)^2 / (2 sigma^2)

An AttentionUNet changes this formula by the pixel's surroundings: the precision 1 / sigma^2, the
luminance to compare, the weight of the shares, and a preference for each colour. At the end, the
weights are balanced: each colour becomes about as frequent in the picture as its share in the
palette.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from agewell.workers.models.library.attention_unet import AttentionUNet, AttentionUNetConfig

_SIGMA = 0.08
"""Sigma of the closed formula, in units of L / 100: 8 units of CIE L."""
_LEAST_SHARE = 1e-3
_NO_COLOUR = -6.0
"""The logit of "no colour of the palette" before training."""
_CENTRE = 0.5
_BALANCE_STEPS = 5
_EVERY = 4
"""The balance is computed from every fourth pixel."""
_TERMS = 5
"""The number of terms of a logit, without the preference."""


@dataclass(frozen=True)
class ColorizerConfig:
    """The sizes of a Colorizer."""

    match_dim: int = 12  # M, channels of the dot product of a pixel's preference and a colour
    context_dim: int = 32  # D, channels of a palette colour as a context token
    widths: tuple[int, int, int] = (32, 64, 96)  # channels of each level, finest first
    bottom_width: int = 96  # channels of the lowest level


class Colorizer(AttentionUNet):
    """The network described at the top of this file."""

    no_colour: Tensor

    def __init__(self, config: ColorizerConfig | None = None) -> None:
        config = config or ColorizerConfig()
        match_dim = config.match_dim
        sizes = asdict(config)
        del sizes["match_dim"]
        # In: luminance, row, column. Out: the channels into which `forward` splits it.
        super().__init__(
            AttentionUNetConfig(in_channels=3, out_channels=match_dim + _TERMS + 1, **sizes)
        )
        self.sizes = config
        self.match_dim = match_dim
        self.embed = nn.Sequential(nn.Linear(5, 64), nn.GELU(), nn.Linear(64, config.context_dim))
        self.match = nn.Linear(config.context_dim, match_dim)
        no_colour = functional.one_hot(torch.tensor([[4]]), _TERMS + match_dim).float()
        self.register_buffer("no_colour", no_colour, persistent=False)  # (1, 1, 5 + M)
        nn.init.zeros_(self.out.weight)  # so that training starts at the closed formula
        nn.init.zeros_(self.out.bias)

    def forward(self, luminance: Tensor, palette: Tensor) -> Tensor:
        """Colour a batch.

        Args:
            luminance: (B, 1, H, W) float32 in [0, 1]: CIE L / 100. H and W are multiples of 32.
            palette: (B, N, 4) float32: L / 100, a / 128, b / 128 and the share in [0, 1] of each
                colour. N may be 0.

        Returns:
            (B, 2, H, W) float32: a / 128 and b / 128.
        """
        logs = torch.log(palette[..., 3:].clamp(min=_LEAST_SHARE))  # (B, N, 1)
        context = self.embed(torch.cat([palette, logs], dim=-1))  # (B, N, D)
        adjustments = super().forward(_with_places(luminance), context)  # (B, M + 6, H, W)
        preference, log_gain, shift, trust, none, own = torch.split(
            adjustments, [self.match_dim, 1, 1, 1, 1, 2], dim=1
        )
        # logit_i = (1 + trust) log share_i - precision (level - L_i)^2 / 2 + preference . match_i,
        # and `none` for no colour of the palette. It is computed as a product of one row of terms
        # for each pixel and one for each colour.
        precision = torch.exp(log_gain) / _SIGMA**2  # (B, 1, H, W)
        level = luminance - _CENTRE + shift  # (B, 1, H, W)
        of_pixels = [
            precision * level,
            -precision / 2,
            -precision * level.square() / 2,
            1 + trust,
            none + _NO_COLOUR,
            preference,
        ]
        lightness = palette[..., :1] - _CENTRE  # (B, N, 1)
        one = torch.ones_like(logs)
        of_colours = [lightness, lightness.square(), one, logs, 0 * one, self.match(context)]
        terms = torch.cat(of_pixels, dim=1).flatten(2)  # (B, 5 + M, HW)
        no_colour = self.no_colour.expand(palette.shape[0], -1, -1)  # (B, 1, 5 + M)
        colours = torch.cat([no_colour, torch.cat(of_colours, dim=-1)], dim=1)  # (B, 1 + N, 5 + M)
        logits = colours @ terms  # (B, 1 + N, HW)
        weights = (logits + _balance(logits, palette[..., 3:])).softmax(dim=1)  # (B, 1 + N, HW)
        ab = functional.pad(palette[..., 1:3], (0, 0, 1, 0))  # (B, 1 + N, 2); of no colour: gray
        mixed = ab.transpose(1, 2) @ weights  # (B, 2, HW)
        return mixed.reshape(own.shape) + own  # (B, 2, H, W)


def _balance(logits: Tensor, shares: Tensor) -> Tensor:
    """Compute an addend for each colour's logits, so that its mean weight becomes its share.

    It does a few steps of iterative proportional fitting on every fourth pixel. The weight of "no
    colour" is not changed, and the colours share the rest.

    Args:
        logits: (B, 1 + N, HW), of "no colour" and of N colours.
        shares: (B, N, 1), in [0, 1].

    Returns:
        (B, 1 + N, 1), to add to the logits.

    Source: Sinkhorn, "A relationship between arbitrary positive matrices and doubly stochastic
    matrices", 1964.
    """
    some = logits[:, :, ::_EVERY]  # (B, 1 + N, HW / 4)
    added = torch.zeros_like(logits[:, :, :1])  # (B, 1 + N, 1)
    for _ in range(_BALANCE_STEPS):
        used = (some + added).softmax(dim=1).mean(dim=2, keepdim=True)  # (B, 1 + N, 1)
        wanted = shares * (1 - used[:, :1])  # (B, N, 1)
        steps = torch.log((wanted + _LEAST_SHARE) / (used[:, 1:] + _LEAST_SHARE))
        added = added + functional.pad(steps, (0, 0, 1, 0))
    return added


def _with_places(luminance: Tensor) -> Tensor:
    """Add each pixel's row and column to its luminance.

    (B, 1, H, W) in [0, 1] -> (B, 3, H, W) in [-1, 1].
    """
    _, _, height, width = luminance.shape
    rows = _from_minus_one_to_one(height, luminance).view(1, 1, height, 1)
    columns = _from_minus_one_to_one(width, luminance).view(1, 1, 1, width)
    planes = [2 * luminance - 1, rows.expand_as(luminance), columns.expand_as(luminance)]
    return torch.cat(planes, dim=1)


def _from_minus_one_to_one(count: int, like: Tensor) -> Tensor:
    """Return `count` evenly spaced numbers of -1 to 1.

    It divides by a tensor, because an exported graph does not keep arithmetic on sizes.
    """
    steps = torch.arange(count, device=like.device).to(like.dtype)
    return 2 * steps / steps[-1] - 1
