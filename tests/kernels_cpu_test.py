"""What runs otherwise on a CPU without gradients, against the plain operations."""

import copy

import pytest
import torch
from torch.nn import functional as F

from asteroid_bsrnn import kernels, presets

from .kernels_checks import relative_error


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("length", [3, 8, 9, 31])
@pytest.mark.parametrize("transposed", [False, True])
def test_pieces_give_the_whole(length, transposed):
    x = torch.randn(5, length, 3, 4).transpose(0, 1) if transposed else torch.randn(length, 5, 3, 4)
    calls = []

    def function(piece):
        calls.append(len(piece))
        return 2 * piece.flatten(2)

    with torch.no_grad():
        y = kernels.in_pieces(function, x, dim=0, size=4 * 15)
    assert torch.equal(y, 2 * x.flatten(2))
    assert sum(calls) == length
    assert len(calls) == (1 if length < 8 else -(-length // 4))


def test_pieces_keep_the_order_in_memory_and_the_type():
    x = torch.randn(64, 7, 2, 4).transpose(0, 1)
    with torch.no_grad():
        y = kernels.in_pieces(lambda piece: piece.bfloat16(), x, dim=1, size=16)
    assert torch.equal(y, x.bfloat16()) and y.stride() == x.stride()


def test_gradients_and_traces_see_one_call():
    x = torch.randn(64, 4)
    calls = []

    def function(piece):
        calls.append(piece.size(0))
        return piece + 1

    def pieces(x):
        return kernels.in_pieces(function, x, dim=0, size=8)

    pieces(x)
    with torch.no_grad():
        torch.jit.trace(pieces, x, check_trace=False)
    assert calls == [64, 64]


@pytest.fixture(params=["whole", "in_pieces"])
def cut(request, monkeypatch):
    """Tensors of a test are large enough to be cut, or not."""
    if request.param == "in_pieces":
        monkeypatch.setattr(kernels.cpu, "MANY", 0)
        monkeypatch.setattr(kernels.cpu, "ELEMENTS", 2000)  # 2 of 672 each


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [(-1,), (0, -1), (1, 4), (1, 3, 4)])
def test_variance_and_mean(dim, dtype, cut):
    # Far from zero, where a sum of squares would lose the variance.
    x = (torch.randn(9, 7, 3, 2, 16) + 50).to(dtype)
    expected = torch.var_mean(x.double(), dim=dim, unbiased=False, keepdim=True)
    with torch.no_grad():
        found = kernels.var_mean(x, dim)
    for value, exact in zip(found, expected, strict=True):
        assert value.dtype == torch.promote_types(dtype, torch.float32)
        assert value.shape == exact.shape
        assert relative_error(value, exact) < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 7, 1, 2, 1), (9, 1, 1, 1, 16), (7, 1, 2, 16)])
@pytest.mark.parametrize("transposed", [False, True])
def test_affine(dtype, shape, transposed, cut):
    x = torch.randn(7, 9, 3, 2, 16).transpose(0, 1) if transposed else torch.randn(9, 7, 3, 2, 16)
    x = x.to(dtype)
    scale, shift = torch.randn(2, *shape).to(torch.promote_types(dtype, torch.float32))
    with torch.no_grad():
        found = kernels.affine(x, scale, shift)
    # As if rounded once.
    assert found.dtype == dtype
    expected = x.double() * scale.double() + shift.double()
    assert relative_error(found, expected.to(dtype)) < (1e-4 if dtype == torch.bfloat16 else 1e-6)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype,tolerance", [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_attention(dtype, tolerance, causal):
    query, key = torch.randn(2, 2, 3, 600, 24).to(dtype)
    value = torch.randn(2, 3, 600, 40).to(dtype)
    exact = (tensor.double() for tensor in (query, key, value))
    expected = F.scaled_dot_product_attention(*exact, is_causal=causal)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
        attended = kernels.attention(query, key, value, is_causal=causal)
    assert attended.dtype == dtype
    assert relative_error(attended, expected) < tolerance


@pytest.mark.parametrize(
    "name, source", [("obsrnn", "vocals"), ("obsrnn_simo", None), ("bsrnn_tac_tanh", "bass")]
)
def test_a_network_estimates_the_same_with_gradients_and_without(name, source):
    network = presets.build(name, source, feature_dim=16, n_repeats=1).eval()
    mixture = torch.randn(2, 2, 2 * 44100)
    with torch.no_grad():
        estimates = network(mixture)
        exact = copy.deepcopy(network).double()(mixture.double())
    assert relative_error(network(mixture), exact) < 1e-5
    assert relative_error(estimates, exact) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_of_an_lstm_fit_into_their_share(dtype):
    x = torch.empty(947, 57, 1, 2, 4)
    with torch.no_grad():
        size = kernels.sequences_at_once(x, 256, dtype)
        assert size == {torch.float32: 58, torch.bfloat16: 114}[dtype]
        assert len(x) * size * 256 * dtype.itemsize < 1.1 * kernels.cpu.STATES
        assert kernels.sequences_at_once(x.transpose(0, 1), 256, dtype) == 474
    assert kernels.sequences_at_once(x, 256, dtype) == kernels.cpu.SEQUENCES


def test_a_time_layer_in_pieces(monkeypatch):
    layer = presets.build("bsrnn", "vocals", feature_dim=16, n_repeats=1).masker.separator.blocks[0]
    layer, x = layer.time_layer, torch.randn(30, 7, 1, 2, 16)
    with torch.no_grad():
        whole = layer(x)
        monkeypatch.setattr(kernels.cpu, "STATES", 30 * 32 * 4 * 8)  # four bands in stereo
        torch.testing.assert_close(layer(x), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_layers_that_may_overwrite_their_input(bfloat16):
    network = presets.build("obsrnn", "vocals", feature_dim=16, n_repeats=1).eval()
    block, x = network.masker.separator.blocks[0], torch.randn(30, 41, 2, 16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        kept = x.clone()
        expected = block(x, 2)
        assert torch.equal(x, kept)
        y = block(x, 2, overwrite=True)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-6)
    assert y.data_ptr() == x.data_ptr()
