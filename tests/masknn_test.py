"""The masker's parts against plain, slow twins that process one band at a time."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from asteroid_bsrnn.bands import band_widths
from asteroid_bsrnn.masknn import (
    TAC,
    BandLinear,
    BandSplit,
    DualPathBlock,
    DualPathSeparator,
    FullBandAttention,
    MaskEstimator,
    ResidualConv,
    ResidualDilatedConvs,
    ResidualRecurrent,
    SequenceNorm,
)
from asteroid_bsrnn.masknn.convolutional import SequenceConv
from asteroid_bsrnn.models import BandSplitMasker

from .models_test import one_thread  # noqa: F401

WIDTHS = (2, 2, 3, 3, 3, 1, 5)
EPS = 1e-7


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def randomised(module: nn.Module) -> nn.Module:
    """`module` in float64 with every parameter, affine ones too, drawn at random."""
    for parameter in module.double().parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.eval()


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64) + 0.3


def normalised(x: torch.Tensor, dim: tuple[int, ...]) -> torch.Tensor:
    variance, mean = torch.var_mean(x, dim=dim, unbiased=False, keepdim=True)
    return (x - mean) / (variance + EPS).sqrt()


def assert_same(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


# --- bands ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", [(3,), (3, 2)])
def test_band_linear_is_a_linear_layer_for_each_band(stack):
    layer = randomised(BandLinear(stack, 4, 5))
    x = noise(*stack, 7, 4)
    y = layer(x)
    assert y.shape == (*stack, 7, 5)
    for index in torch.cartesian_prod(*map(torch.arange, stack)).view(-1, len(stack)).tolist():
        index = tuple(index)
        assert_same(y[index], F.linear(x[index], layer.weight[index].T, layer.bias[index]))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n_planes", [2, 4])
def test_band_split_is_a_norm_and_a_linear_layer_for_each_band(n_planes, causal):
    split = randomised(BandSplit(WIDTHS, 6, n_planes=n_planes, causal=causal))
    spectrogram = noise(2, n_planes, sum(WIDTHS), 9)
    features = split(spectrogram)
    assert features.shape == (9, len(WIDTHS), 2, 6)
    weights = [(run.weight[i], run.bias[i], run.linear.weight[i], run.linear.bias[i])
               for run in split.runs for i in range(run.run.n_bands)]  # fmt: skip
    for index, band in enumerate(spectrogram.split(WIDTHS, dim=2)):
        scale, shift, weight, bias = weights[index]
        band = normalised(band, (1, 2) if causal else (1, 2, 3))
        band = band * scale[None, :, :, None] + shift[None, :, :, None]
        expected = band.permute(3, 0, 1, 2).flatten(2) @ weight + bias
        assert_same(features[:, index], expected)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("n_sources", "n_planes"), [(1, 2), (3, 2), (2, 4)])
def test_mask_estimator_is_three_layers_for_each_band_and_source(n_sources, n_planes, causal):
    shape = {"n_sources": n_sources, "n_planes": n_planes, "expansion": 2}
    estimator = randomised(MaskEstimator(WIDTHS, 6, **shape, causal=causal))
    features = noise(9, len(WIDTHS), 2, 6)
    masks = estimator(features)
    assert masks.shape == (2, n_sources, n_planes, sum(WIDTHS), 9)
    last = [(run.weight[i], run.bias[i]) for run in estimator.runs for i in range(len(run.weight))]
    for source in range(n_sources):
        found = masks[:, source].split(WIDTHS, dim=2)
        for band, width in enumerate(WIDTHS):
            x = normalised(features[:, band], (2,) if causal else (0, 2))
            x = x * estimator.weight[band, source] + estimator.bias[band, source]
            for layer in (estimator.input, estimator.hidden):
                x = torch.tanh(x @ layer.weight[band, source] + layer.bias[band, source])
            values, gates = (x @ last[band][0][source] + last[band][1][source]).chunk(2, dim=-1)
            expected = (values * gates.sigmoid()).unflatten(-1, (n_planes, width))
            assert_same(found[band], expected.permute(1, 2, 3, 0))


def stacked_layers() -> dict[str, tuple[torch.Tensor, torch.Tensor, int]]:
    """Weight, bias and fan-in of every stacked linear layer of a four-source network's ends."""
    widths = band_widths("vocals")
    split, estimator = BandSplit(widths, 64), MaskEstimator(widths, 64, n_sources=4, expansion=2)
    layers = {f"split {i}": run.linear for i, run in enumerate(split.runs)}
    layers |= {"mask input": estimator.input, "mask hidden": estimator.hidden}
    layers |= {f"mask {i}": run for i, run in enumerate(estimator.runs)}
    return {name: (layer.weight, layer.bias, layer.weight.shape[-2]) for name, layer in
            layers.items()}  # fmt: skip


def test_stacked_layers_start_as_separate_ones():
    layers = stacked_layers()
    assert {fan_in for _, _, fan_in in layers.values()} == {8, 22, 46, 92, 184, 234, 64, 128}
    for name, (weight, bias, fan_in) in layers.items():
        bound = 1 / math.sqrt(fan_in)
        for values in (weight.detach().flatten(0, -3), bias.detach().flatten(0, -2)):
            bands = values.flatten(1)
            n = bands.shape[1]
            assert bands.abs().max() <= bound, name
            assert (bands.abs().max(dim=1).values > bound * (1 - 20 / n)).all(), name
            # Mean 0 and variance bound² / 3, within six standard errors in every band.
            assert (bands.mean(dim=1).abs() < 6 * bound / math.sqrt(3 * n)).all(), name
            variance = bands.var(dim=1, unbiased=False)
            deviation = bound**2 * math.sqrt(4 / 45 / n)
            assert ((variance - bound**2 / 3).abs() < 6 * deviation + bound**2 / n).all(), name
            assert len({band[0].item() for band in bands}) == len(bands), "bands differ"


def test_norms_start_as_the_identity():
    split, estimator = BandSplit(WIDTHS, 6), MaskEstimator(WIDTHS, 6)
    for module in (*split.runs, estimator, SequenceNorm(6)):
        assert (module.weight == 1).all() and (module.bias == 0).all()


# --- sequences -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_groups", [1, 2, 3])
def test_sequence_norm_is_group_norm(n_groups):
    norm = randomised(SequenceNorm(6, n_groups=n_groups))
    x = noise(9, 4, 5, 6)
    expected = F.group_norm(
        x.flatten(1, 2).permute(1, 2, 0), n_groups, norm.weight, norm.bias, eps=EPS
    )
    assert_same(norm(x), expected.permute(2, 0, 1).unflatten(1, (4, 5)))


def test_step_wise_norm_sees_one_step():
    norm = randomised(SequenceNorm(6, n_groups=2, step_wise=True))
    x = noise(9, 4, 6)
    assert_same(norm(x)[3:4], norm(x[3:4]))
    expected = F.group_norm(x.flatten(0, 1), 2, norm.weight, norm.bias, eps=EPS)
    assert_same(norm(x), expected.view_as(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_statistics_are_taken_in_float32(dtype):
    norm = SequenceNorm(8)
    x = (300 * torch.randn(400, 2, 8)).to(dtype)  # the sum of squares overflows float16
    y = norm.to(dtype)(x)
    assert y.dtype == dtype
    assert_same(y.float(), norm.float()(x.float()), tolerance=0.02)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_residual_recurrent(cell, bidirectional, causal):
    layer = randomised(ResidualRecurrent(6, cell=cell, bidirectional=bidirectional, causal=causal))
    both = bidirectional and not causal
    twin = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](6, 12, batch_first=True, bidirectional=both)
    twin.double().load_state_dict(layer.rnn.state_dict())
    x = noise(9, 4, 5, 6)
    y = layer(x)
    assert y.shape == x.shape
    for batch in range(4):
        hidden, _ = twin(layer.norm(x[:, batch]).transpose(0, 1))
        assert_same(y[:, batch], x[:, batch] + layer.linear(hidden).transpose(0, 1))


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_sequence_conv(kernel_size, dilation):
    conv = randomised(SequenceConv(3, 5, kernel_size, dilation=dilation))
    causal = SequenceConv(3, 5, kernel_size, dilation=dilation, causal=True).double()
    causal.load_state_dict(conv.state_dict())
    x = noise(20, 2, 4, 3)
    sequences = x.flatten(1, 2).permute(1, 2, 0)
    reach = dilation * (kernel_size - 1)
    for layer, padding in ((conv, (reach // 2, reach // 2)), (causal, (reach, 0))):
        padded = F.pad(sequences, padding)
        expected = F.conv1d(padded, conv.weight, conv.bias, dilation=dilation)
        assert_same(layer(x), expected.permute(2, 0, 1).unflatten(1, (2, 4)))


@pytest.mark.parametrize("causal", [False, True])
def test_residual_conv(causal):
    layer = randomised(ResidualConv(6, expansion=2, n_groups=2, causal=causal))
    x = noise(9, 4, 6)
    assert_same(layer(x), x + layer.linear(F.relu(layer.conv(layer.norm(x)))))
    assert layer.conv.out_channels == 12


@pytest.mark.parametrize("n_dilated", [2, 3, 4])
def test_residual_dilated_convs(n_dilated):
    layer = randomised(ResidualDilatedConvs(3, n_dilated=n_dilated, expansion=2))
    dilations = [conv.conv.dilation[0] for conv in layer.dilated]
    assert dilations == [2**i for i in range(n_dilated)]
    assert {conv.norm.eps for conv in (*layer.dilated, *layer.fusing)} == {1e-5}
    assert layer.input.norm.eps == layer.output.norm.eps == 1e-7
    x = noise(11, 2, 3)
    scales, y = [], layer.input(x)
    for conv in layer.dilated:
        y = conv(y)
        scales.append(y)
    fused = []
    for index, conv in enumerate(layer.fusing):
        near = [scales[i] for i in (index - 1, index, index + 1) if 0 <= i < n_dilated]
        fused.append(conv(torch.cat(near, dim=-1)))
    assert_same(layer(x), x + layer.output(torch.cat(fused, dim=-1)))


# --- channels and frames -------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "prelu"])
def test_tac(activation):
    tac = randomised(TAC(4, activation=activation, expansion=2))
    x = noise(5, 3, 2, 3, 4)  # T, K, B, C, N
    y = tac(x)
    act = torch.tanh if activation == "tanh" else lambda v: F.prelu(v, tac.activation.weight)
    hidden = [act(tac.transform(x[..., c, :])) for c in range(3)]
    mean = act(tac.average(sum(hidden) / 3))
    for c in range(3):
        joined = torch.cat([hidden[c], mean], dim=-1)
        assert_same(y[..., c, :], x[..., c, :] + act(tac.concatenate(joined)))
    order = [2, 0, 1]
    assert_same(tac(x[..., order, :]), y[..., order, :])
    slopes = [p for name, p in tac.named_parameters() if name.startswith("activation")]
    assert len(slopes) == (activation == "prelu"), "the three activations share one slope"


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n_heads", [1, 2])
def test_attention(n_heads, causal):
    n_frames, n_bands, n_batch, n_features = 7, 3, 2, 4
    attention = FullBandAttention(
        n_features, n_bands, n_heads=n_heads, head_dim=5, causal=causal
    )  # fmt: skip
    randomised(attention)
    x = noise(n_frames, n_bands, n_batch, n_features)
    heads = n_features // n_heads

    def project(part: nn.Module, x: torch.Tensor, head: int, dim: int) -> torch.Tensor:
        rows = slice(head * dim, (head + 1) * dim)
        y = F.linear(x, part.linear.weight[rows], part.linear.bias[rows])
        y = F.prelu(y, part.slope[head : head + 1])
        y = normalised(y, (1, 3)) * part.weight[:, head].unsqueeze(1)
        return y + part.bias[:, head].unsqueeze(1)

    expected = []
    for head in range(n_heads):
        query = project(attention.query, x, head, 5).permute(2, 0, 1, 3).flatten(2)
        key = project(attention.key, x, head, 5).permute(2, 0, 1, 3).flatten(2)
        value = project(attention.value, x, head, heads).permute(2, 0, 1, 3).flatten(2)
        scores = query @ key.transpose(1, 2) / math.sqrt(n_bands * 5)
        if causal:
            later = torch.ones(n_frames, n_frames).triu(1).bool()
            scores = scores.masked_fill(later, -math.inf)
        attended = (scores.softmax(dim=-1) @ value).unflatten(2, (n_bands, heads))
        expected.append(attended.permute(1, 2, 0, 3))
    output = project(attention.output, torch.cat(expected, dim=-1), 0, n_features)
    assert_same(attention(x), x + output)


# --- assembly ------------------------------------------------------------------------------------


class Recorder(nn.Module):
    """Adds 1 and remembers the shapes that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(x.shape))
        return x + 1


def test_each_layer_of_a_block_sees_its_own_order():
    time, band, tac, attention = (Recorder() for _ in range(4))
    block = DualPathBlock(time, band, tac=tac, attention=attention, feature_groups=2)
    y = DualPathSeparator([block])(torch.zeros(7, 5, 6, 8), n_channels=3)
    assert time.shapes == [(7, 5, 6, 2, 4)]
    assert band.shapes == [(5, 7, 6, 2, 4)]
    assert tac.shapes == [(7, 5, 2, 3, 8)]
    assert attention.shapes == [(7, 5, 6, 8)]
    assert y.shape == (7, 5, 6, 8) and (y == 4).all()
    assert (DualPathBlock(None, band)(torch.zeros(7, 5, 6, 8), 3) == 1).all()


@pytest.mark.parametrize("as_features", [False, True])
def test_masker_keeps_channels_apart_or_joins_them(as_features):
    n_planes = 4 if as_features else 2
    masker = BandSplitMasker(
        BandSplit(WIDTHS, 6, n_planes=n_planes),
        DualPathSeparator([DualPathBlock(ResidualRecurrent(6), ResidualRecurrent(6))]),
        MaskEstimator(WIDTHS, 6, n_sources=3, n_planes=n_planes),
        channels_as_features=as_features,
    )
    randomised(masker)
    n_bins = sum(WIDTHS)
    spectrogram = noise(2, 2, 2 * n_bins, 9)
    masks = masker(spectrogram)
    assert masks.shape == (2, 3, 2, 2 * n_bins, 9)
    assert copy.deepcopy(masker).bfloat16()(spectrogram.float()).dtype == torch.float32
    if as_features:
        # Planes are (left real, left imaginary, right real, right imaginary), in and out.
        planes = spectrogram.view(2, 4, n_bins, 9)
        expected = masker.mask_estimator(masker.separator(masker.band_split(planes), 1))
        assert_same(masks, expected.view(2, 3, 2, 2 * n_bins, 9))
    else:
        for channel in range(2):
            alone = masker(spectrogram[:, channel : channel + 1])
            assert_same(masks[:, :, channel], alone[:, :, 0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SequenceNorm(6, n_groups=4), r"\(6\) must be a multiple of n_groups \(4\)"),
        (lambda: SequenceConv(3, 3, 4), "must be odd, got 4"),
        (lambda: ResidualDilatedConvs(3, n_dilated=1), "at least 2 dilated.*got 1"),
        (lambda: FullBandAttention(6, 3, n_heads=4), r"\(6\) must be a multiple.*\(4\)"),
    ],
)
def test_values_that_do_not_fit(make, words):
    with pytest.raises(ValueError, match=words):
        make()
