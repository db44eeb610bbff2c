"""AttentionUNet: a U-Net in which pixels attend to each other and to the tokens of a context.

    x (B, C_in, H, W) -> stem, H/4 x W/4 -> down.0 -> down.1 -> down.2 -> bottom
                                               |         |         |        |
                         out, H x W  <----- up.0 <--- up.1 <--- up.2 <------'

Every level has two MLP layers with a self-attention and a cross-attention layer between them. Each
`down` halves the sides of the maps below it. Each `up` concatenates the output of the `down` at the
same level. Maps are (B, H, W, C) between layers, so that linear layers and norms work on the last
axis.

Sources: Ronneberger et al., "U-Net", MICCAI 2015; Vaswani et al., "Attention is all you need",
NeurIPS 2017; Liu et al., "A ConvNet for the 2020s", CVPR 2022 (the MLP's depthwise convolution);
Wang et al., "Pyramid vision transformer", ICCV 2021 (attention to a coarser map).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

BCHW_TO_BHWC = (0, 2, 3, 1)
BHWC_TO_BCHW = (0, 3, 1, 2)


@dataclass(frozen=True)
class AttentionUNetConfig:
    """The sizes of an AttentionUNet."""

    in_channels: int = 1
    out_channels: int = 2
    context_dim: int = 32  # D, channels of a context token
    widths: tuple[int, int, int] = (32, 64, 96)  # channels of each level, finest first
    bottom_width: int = 96  # channels of the lowest level
    head_dim: int = 32  # channels of one attention head; divides every width
    pools: tuple[int, int, int] = (4, 2, 1)  # self-attention attends to means of pool x pool pixels
    mlp_ratio: int = 2  # hidden channels of an MLP divided by its outer channels
    patch: int = 4  # side in pixels of a patch, which is one pixel of the finest level

    @property
    def multiple(self) -> int:
        """Height and width of the input must be multiples of this number of pixels."""
        return int(self.patch * 2 ** len(self.widths))


class Mlp(nn.Module):
    """x + MLP(x). The MLP first mixes each channel with its 3 x 3 neighbours."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.neighbours = nn.Conv2d(width, width, kernel_size=3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, ratio * width)
        self.project = nn.Linear(ratio * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer: (B, H, W, C) -> (B, H, W, C)."""
        y = self.neighbours(x.permute(BHWC_TO_BCHW)).permute(BCHW_TO_BHWC)  # (B, H, W, C)
        y = functional.gelu(self.expand(self.norm(y)))  # (B, H, W, ratio * C)
        mixed: Tensor = self.project(y)  # (B, H, W, C)
        return x + mixed


class SelfAttention(nn.Module):
    """x + attention of every pixel of a map to the whole map.

    With a pool of p, pixels attend to means of p x p pixels. This is p^2 times less work, and the
    finest maps would need most of the work.
    """

    def __init__(self, width: int, head_dim: int, pool: int = 1) -> None:
        super().__init__()
        self.heads, self.pool = width // head_dim, pool
        self.norm = nn.LayerNorm(width)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer: (B, H, W, C) -> (B, H, W, C)."""
        y = self.norm(x)  # (B, H, W, C)
        q = self.q(y).flatten(1, 2)  # (B, HW, C)
        if self.pool > 1:
            y = functional.avg_pool2d(y.permute(BHWC_TO_BCHW), self.pool).permute(BCHW_TO_BHWC)
        k, v = self.kv(y).flatten(1, 2).chunk(2, dim=-1)  # each (B, HW / pool^2, C)
        y = attend(q, k, v, self.heads)  # (B, HW, C)
        seen: Tensor = self.project(y)  # (B, HW, C)
        return x + seen.reshape(x.shape)  # (B, H, W, C)


class CrossAttention(nn.Module):
    """x + attention of every pixel of a map to the tokens of a context.

    A learned token is added to the context, so that the softmax is never empty, and a pixel can
    ignore the context.
    """

    def __init__(self, width: int, context_dim: int, head_dim: int) -> None:
        super().__init__()
        self.heads = width // head_dim
        self.norm = nn.LayerNorm(width)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(context_dim, 2 * width)
        self.nothing = nn.Parameter(0.02 * torch.randn(1, 1, context_dim))
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Apply the layer: (B, H, W, C) and context (B, N, D) -> (B, H, W, C). N may be 0."""
        q = self.q(self.norm(x)).flatten(1, 2)  # (B, HW, C)
        nothing = self.nothing.to(context.dtype).expand(context.shape[0], -1, -1)  # (B, 1, D)
        k, v = self.kv(torch.cat([nothing, context], dim=1)).chunk(2, dim=-1)  # (B, 1 + N, C)
        y = attend(q, k, v, self.heads)  # (B, HW, C)
        seen: Tensor = self.project(y)  # (B, HW, C)
        return x + seen.reshape(x.shape)  # (B, H, W, C)


class Level(nn.Module):
    """The layers at one resolution: an MLP, self-attention, cross-attention, an MLP."""

    def __init__(self, width: int, pool: int, config: AttentionUNetConfig) -> None:
        super().__init__()
        self.mlp_1 = Mlp(width, config.mlp_ratio)
        self.self_attention = SelfAttention(width, config.head_dim, pool)
        self.cross_attention = CrossAttention(width, config.context_dim, config.head_dim)
        self.mlp_2 = Mlp(width, config.mlp_ratio)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Apply the layers: (B, H, W, C) and context (B, N, D) -> (B, H, W, C)."""
        x = self.self_attention(self.mlp_1(x))
        return self.mlp_2(self.cross_attention(x, context))  # type: ignore[no-any-return]


class AttentionUNet(nn.Module):
    """The network described at the top of this file."""

    def __init__(self, config: AttentionUNetConfig) -> None:
        super().__init__()
        self.config = config
        patch, widths = config.patch, config.widths
        below = (*widths[1:], config.bottom_width)
        # Windows of twice the patch overlap, so that no edge lies between two of them.
        self.stem = nn.Conv2d(config.in_channels, widths[0], 2 * patch, patch, patch // 2)
        self.context_norm = nn.LayerNorm(config.context_dim)
        sizes = list(zip(widths, config.pools, strict=True))
        self.down = nn.ModuleList(Level(width, pool, config) for width, pool in sizes)
        self.shrink = nn.ModuleList(
            nn.Conv2d(width, next_width, kernel_size=2, stride=2)
            for width, next_width in zip(widths, below, strict=True)
        )
        self.bottom = Level(config.bottom_width, 1, config)
        self.merge = nn.ModuleList(
            nn.Linear(next_width + width, width)
            for width, next_width in zip(widths, below, strict=True)
        )
        self.up = nn.ModuleList(Level(width, pool, config) for width, pool in sizes)
        self.out_norm = nn.LayerNorm(widths[0])
        self.out = nn.Linear(widths[0], config.out_channels)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Run the network.

        Args:
            x: (B, C_in, H, W); H and W are multiples of `config.multiple`.
            context: (B, N, D), the tokens to attend to. N may be 0.

        Returns:
            (B, C_out, H, W), computed at H/4 x W/4 and enlarged by bilinear interpolation.
        """
        context = self.context_norm(context)  # (B, N, D)
        x = self.stem(x).permute(BCHW_TO_BHWC)  # (B, H/4, W/4, C)
        seen = []
        for level, shrink in zip(self.down, self.shrink, strict=True):
            x = level(x, context)  # (B, h, w, C)
            seen.append(x)
            x = shrink(x.permute(BHWC_TO_BCHW)).permute(BCHW_TO_BHWC)  # (B, h/2, w/2, C')
        x = self.bottom(x, context)
        for level, merge, skip in reversed(list(zip(self.up, self.merge, seen, strict=True))):
            x = functional.interpolate(x.permute(BHWC_TO_BCHW), scale_factor=2.0)  # (B, C', h, w)
            x = torch.cat([x.permute(BCHW_TO_BHWC), skip], dim=-1)  # (B, h, w, C' + C)
            x = level(merge(x), context)  # (B, h, w, C)
        x = self.out(self.out_norm(x)).permute(BHWC_TO_BCHW)  # (B, C_out, H/4, W/4)
        return functional.interpolate(x, scale_factor=float(self.config.patch), mode="bilinear")


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Multi-head attention: softmax(q k^T / sqrt(C / heads)) v, by torch's fused kernels.

    Args:
        q: (B, M, C).
        k: (B, N, C); N is at least 1.
        v: (B, N, C).
        heads: number of heads that share the C channels.

    Returns:
        (B, M, C).

    Source: Vaswani et al., "Attention is all you need", NeurIPS 2017, equation 1.
    """
    batch, width = q.shape[0], q.shape[-1] // heads
    q, k, v = (t.reshape(batch, -1, heads, width).transpose(1, 2) for t in (q, k, v))
    # Now (B, heads, M or N, C / heads).
    y = functional.scaled_dot_product_attention(q, k, v)  # (B, heads, M, C / heads)
    return y.transpose(1, 2).flatten(2)  # (B, M, C)
