"""The Triton kernels against `nn.LSTM` in float64: on a GPU, or in Triton's interpreter.

`kernels_lstm_test.py` runs this file in the interpreter, which a process has to choose before it
imports Triton.
"""

from __future__ import annotations

import itertools
import os

import pytest
import torch

from .kernels_checks import TOLERANCES, lstm_errors

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("neither a GPU nor Triton's interpreter", allow_module_level=True)
lstm_triton = pytest.importorskip("asteroid_bsrnn.kernels.lstm_triton")

DEVICE = "cpu" if INTERPRETED else "cuda"
# (T, B, N, H); the interpreter takes a millisecond for what a GPU does in a microsecond. One step
# and several, one tile of the batch and several, two and three tiles of the hidden size.
SHAPES = [(1, 40, 16, 64), (2, 130, 24, 64), (3, 17, 40, 96), (5, 3, 16, 64)]
STRIDED = [(1, 1, 5, 64), (2, 33, 9, 96), (6, 5, 7, 16)]
# Many steps, many tiles of the batch, and tiles that neither batch nor hidden size fill; rounding
# adds up over the steps, so that the longest are in 16 bits.
SLOW = [
    ((259, 1, 8, 64), torch.float16),
    ((2, 5000, 8, 64), torch.float32),
    ((41, 17, 16, 256), torch.float32),
    ((947, 1, 64, 128), torch.float16),
]
GPU = [(259, 656, 128, 256), (41, 4144, 128, 256), (259, 656, 64, 128), (947, 82, 64, 64)]


@pytest.fixture(autouse=True)
def exact_products(monkeypatch):
    """Float32 without TF32, whatever the defaults are."""
    monkeypatch.setattr("asteroid_bsrnn.kernels.lstm_fused._tf32_allowed", lambda: False)


def assert_close(shape, dtype=torch.float32, **options):
    errors = lstm_errors(shape, dtype=dtype, device=DEVICE, **options)
    assert max(errors.values()) <= TOLERANCES[dtype], errors
    assert not any(error != error for error in errors.values()), errors


def wide_tiles(kernel, n_batch, n_hidden, *device):
    """Fewer and larger tiles, with which the interpreter is faster."""
    largest = n_hidden & -n_hidden
    return lstm_triton.Tiles(16, largest, largest, n_warps=4, n_stages=1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_outputs_and_gradients(shape):
    assert_close(shape)


@pytest.mark.parametrize("shape", STRIDED, ids=str)
def test_strided_inputs(shape):
    assert_close(shape, strided=True)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((1, 5, 8, 64), torch.float16),
        ((3, 2, 24, 128), torch.bfloat16),
        ((2, 20, 32, 256), torch.float16),
    ],
    ids=str,
)
def test_types_of_16_bits(shape, dtype):
    assert_close(shape, dtype)


def test_a_long_sequence(monkeypatch):
    if INTERPRETED:
        monkeypatch.setattr(lstm_triton, "choose_tiles", wide_tiles)
    assert_close((21, 3, 16, 64))


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "dtype"), SLOW, ids=str)
def test_longer_sequences(shape, dtype, monkeypatch):
    if INTERPRETED:
        monkeypatch.setattr(lstm_triton, "choose_tiles", wide_tiles)
    assert_close(shape, dtype)


@pytest.mark.skipif(INTERPRETED, reason="would take the interpreter hours")
@pytest.mark.parametrize("dtype", list(TOLERANCES))
@pytest.mark.parametrize("shape", GPU, ids=str)
def test_shapes_of_the_networks(shape, dtype):
    assert_close(shape, dtype)


def test_tiles_fit():
    for n_batch, n_hidden, element_size, kernel, kibibytes in itertools.product(
        (1, 656, 4144, 5000),
        (16, 64, 96, 128, 256),
        (2, 4),
        ("forward", "backward"),
        (99, 163, 227),
    ):
        case = (n_batch, n_hidden, element_size, kernel, kibibytes)
        memory = 1024 * kibibytes
        tiles = lstm_triton.choose_tiles(kernel, n_batch, n_hidden, element_size, 132, memory)
        assert n_hidden % tiles.hidden == n_hidden % tiles.inner == 0, case
        assert min(tiles.hidden, tiles.inner, tiles.batch) >= 16, case
        gates = 4 if kernel == "forward" else 1
        stage = (tiles.batch + gates * tiles.hidden) * tiles.inner * element_size
        assert tiles.n_stages * stage < memory, case
        assert tiles.inner >= min(32, n_hidden & -n_hidden), case


def test_tiles_that_do_not_divide_are_refused():
    tiles = lstm_triton.Tiles(16, 32, 32, n_warps=4, n_stages=1)
    projected, weight = torch.zeros(1, 2, 2, 192), torch.zeros(2, 192, 48)
    with pytest.raises(ValueError, match="do not divide a hidden size of 48"):
        lstm_triton.forward(projected, weight, save_cells=False, tiles=tiles)


def test_infinite_gates_saturate():
    projected = torch.full((2, 3, 2, 64), 1e4, device=DEVICE)
    projected[..., 32:48] = -1e4  # the candidate
    weight = torch.zeros(2, 64, 16, device=DEVICE)
    output, cells = lstm_triton.forward(projected, weight, save_cells=True)
    expected = torch.tensor([-1.0, -2.0], device=DEVICE)[:, None, None].expand(2, 3, 16)
    torch.testing.assert_close(cells[..., :16], expected)
    torch.testing.assert_close(output[..., :16], expected.tanh())
