"""AttentionUNet, against its mathematics written out in float64."""

import numpy as np
import pytest
import torch

from agewell.workers.models.library.attention_unet import AttentionUNet, AttentionUNetConfig
from agewell.workers.models.library.colorizer.network import Colorizer, ColorizerConfig
from tests.oracles import reference_unet

SMALL = AttentionUNetConfig(
    in_channels=2, out_channels=5, context_dim=12, widths=(8, 16, 24), bottom_width=32, head_dim=8
)
HEADS = (1, 2, 3, 4)


def network(config: AttentionUNetConfig = SMALL) -> AttentionUNet:
    torch.manual_seed(3)
    net = AttentionUNet(config).eval()
    with torch.no_grad():  # every weight counts, norms' as well
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def inputs(batch=2, height=64, width=96, tokens=5):
    draw = torch.Generator().manual_seed(4)
    return (
        torch.randn(batch, 2, height, width, generator=draw),
        torch.randn(batch, tokens, 12, generator=draw),
    )


@pytest.mark.parametrize(
    ("batch", "height", "width", "tokens"), [(2, 64, 96, 5), (1, 32, 32, 1), (3, 96, 32, 0)]
)
def test_it_computes_what_the_formulas_say(batch, height, width, tokens):
    net = network()
    x, context = inputs(batch, height, width, tokens)
    weights = {name: value.double().numpy() for name, value in net.state_dict().items()}
    with torch.inference_mode():
        found = net(x, context).numpy()
    expected = reference_unet.attention_unet(
        weights, x.double().numpy(), context.double().numpy(), HEADS, SMALL.pools, SMALL.patch
    )
    assert found.shape == (batch, 5, height, width)
    assert np.abs(expected).max() > 0.3  # not a comparison of zeros
    assert np.abs(found - expected).max() <= 1e-5


def test_gradients_flow_to_the_context_and_to_every_weight():
    net = network()
    x, context = inputs()
    context.requires_grad_()
    net(x, context).square().sum().backward()
    assert (context.grad.abs().amax(dim=-1) > 0).all()  # of every token
    still = [name for name, p in net.named_parameters() if not p.grad.abs().sum() > 0]
    assert still == []


def test_the_order_of_the_context_does_not_matter_and_its_content_does():
    net = network()
    x, context = inputs()
    with torch.inference_mode():
        found = net(x, context)
        turned = net(x, context.flip(1))
        other = net(x, context + 1 * torch.randn(context.shape))
    assert (found - turned).abs().max() < 1e-5
    assert (found - other).abs().max() > 1e-2


def test_items_of_a_batch_do_not_see_each_other():
    net = network()
    x, context = inputs(batch=3)
    with torch.inference_mode():
        together = net(x, context)
        alone = net(x[1:2], context[1:2])
    assert (together[1:2] - alone).abs().max() < 1e-5


def test_an_untrained_colorizer_is_the_closed_formula_with_shares_kept():
    """Softmax over log share - (L - L_i)^2 / (2 * 8^2), but for what goes to no colour: e^-6.

    Then five rounds in which each colour is weighed by its share over its use, by every 4th pixel.
    """
    rng = np.random.default_rng(5)
    luminance = rng.random((2, 1, 32, 64), np.float32)
    palette = rng.uniform(-1, 1, (2, 8, 4)).astype(np.float32)
    palette[..., 0] = rng.random((2, 8))
    palette[..., 3] = rng.dirichlet(np.ones(8), 2)
    net = Colorizer(ColorizerConfig(widths=(32, 32, 32), bottom_width=32)).eval()
    with torch.inference_mode():
        found = net(torch.from_numpy(luminance), torch.from_numpy(palette)).numpy()
    apart = 100 * (luminance.astype(float) - palette[:, :, 0, None, None])  # (2, 8, 32, 64)
    weights = np.maximum(palette[:, :, 3, None, None], 1e-3) * np.exp(-(apart**2) / 2 / 8**2)
    gray = np.full((2, 1, 32, 64), np.exp(-6))
    for _ in range(5):
        total = gray + weights.sum(axis=1, keepdims=True)
        used = (weights / total)[..., ::4].mean(axis=(2, 3), keepdims=True)
        none = (gray / total)[..., ::4].mean(axis=(2, 3), keepdims=True)
        wanted = palette[:, :, 3, None, None] * (1 - none)
        weights = weights * (wanted + 1e-3) / (used + 1e-3)
    weights /= gray + weights.sum(axis=1, keepdims=True)
    expected = np.einsum("bnhw,bnc->bchw", weights, palette[..., 1:3])
    assert np.abs(found - expected).max() < 1e-5


def test_a_colorizer_without_a_palette_still_answers():
    net = Colorizer(ColorizerConfig(widths=(32, 32, 32), bottom_width=32)).eval()
    with torch.inference_mode():
        found = net(torch.rand(2, 1, 32, 32), torch.zeros(2, 0, 4))
    assert found.shape == (2, 2, 32, 32)
    assert torch.isfinite(found).all()
