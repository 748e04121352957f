"""The FFT filterbank against torch.stft, against the toolkit's convolutions, and on its own."""

from __future__ import annotations

import copy
import pickle

import asteroid_filterbanks
import pytest
import torch
from asteroid_filterbanks import TorchSTFTFB
from scipy.signal import get_window

import asteroid_bsrnn
from asteroid_bsrnn.filterbank import FFTSTFTFB, Decoder, Encoder

from .models_test import one_thread  # noqa: F401

SIZES = [(512, 128), (512, 256), (512, 100), (256, 64), (30, 7)]
LENGTHS = [512, 1000, 1601]
# The toolkit warns about two-dimensional input to its convolutions, and torch about lengths that
# end within the last window.
pytestmark = pytest.mark.filterwarnings("ignore:Input tensor was 2D", "ignore:The length of signal")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def pair(n_filters: int = 512, stride: int = 128, **kwargs) -> tuple[Encoder, Decoder]:
    filterbank = FFTSTFTFB(n_filters, stride=stride, **kwargs)
    return Encoder(filterbank), Decoder(filterbank)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("n_samples", LENGTHS)
@pytest.mark.parametrize(("n_filters", "stride"), SIZES)
def test_equals_torch_stft_and_istft(n_filters, stride, n_samples, dtype, tolerance):
    encoder, decoder = pair(n_filters, stride)
    encoder.to(dtype)
    waveform = torch.randn(2, 3, n_samples, dtype=dtype)
    window = torch.hann_window(n_filters, periodic=True, dtype=torch.float64).to(dtype)
    stft = {"n_fft": n_filters, "hop_length": stride, "window": window}
    expected = torch.stft(waveform.flatten(0, 1), **stft, return_complex=True)
    stacked = torch.cat([expected.real, expected.imag], dim=1).unflatten(0, (2, 3))
    spectrogram = encoder(waveform)
    assert spectrogram.dtype == dtype
    torch.testing.assert_close(spectrogram, stacked, rtol=tolerance, atol=tolerance * n_filters)
    again = torch.istft(expected, **stft, length=n_samples).unflatten(0, (2, 3))
    decoded = decoder(spectrogram, length=n_samples)
    torch.testing.assert_close(decoded, again, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("n_samples", [*LENGTHS, None])
@pytest.mark.parametrize(("n_filters", "stride"), SIZES)
def test_overlap_add_equals_torch_istft(n_filters, stride, n_samples, dtype, tolerance):
    filterbank = FFTSTFTFB(n_filters, stride=stride).to(dtype)
    spectrogram = filterbank.stft(torch.randn(3, n_samples or 1000, dtype=dtype))
    # Not the spectrogram of any waveform: windows and their weights count.
    spectrogram = (spectrogram * torch.rand_like(spectrogram.real)).requires_grad_()
    window = filterbank.torch_window
    expected = torch.istft(spectrogram, n_filters, stride, window=window, length=n_samples)
    waveform = filterbank.overlap_add(spectrogram, n_samples)
    # Last samples that lie under a tail of a window are as uncertain as the tail is small.
    end = (spectrogram.shape[-1] - 1) * stride
    torch.testing.assert_close(waveform[:, :end], expected[:, :end], rtol=0, atol=10 * tolerance)
    assert waveform.shape == expected.shape
    torch.testing.assert_close(waveform[:, end:], expected[:, end:], rtol=1e-3, atol=1e-3)
    gradient = torch.randn_like(expected[:, :end])
    wanted, given = (
        torch.autograd.grad(y[:, :end], spectrogram, gradient)[0] for y in (expected, waveform)
    )
    torch.testing.assert_close(given, wanted, rtol=0, atol=10 * tolerance)


def test_overlap_add_reads_no_value():
    """On the meta device there are none, as on a GPU whose work is queued."""
    filterbank = FFTSTFTFB(64, stride=16).to("meta")
    spectrogram = torch.empty(2, 33, 9, dtype=torch.complex64, device="meta")
    assert filterbank.overlap_add(spectrogram, 140).shape == (2, 140)
    with pytest.raises(RuntimeError):
        torch.istft(spectrogram, 64, 16, window=filterbank.torch_window, length=140)


@pytest.mark.parametrize("n_samples", LENGTHS)
@pytest.mark.parametrize(("n_filters", "stride"), [(512, 128), (512, 256), (256, 64)])
@pytest.mark.parametrize("filterbank_class", [TorchSTFTFB, FFTSTFTFB])
def test_equals_the_toolkits_convolutions(filterbank_class, n_filters, stride, n_samples):
    if filterbank_class is TorchSTFTFB:
        window = get_window("hann", n_filters)
        filterbank = TorchSTFTFB(n_filters, n_filters, stride, window=window)
    else:
        filterbank = FFTSTFTFB(n_filters, stride=stride)
    slow = asteroid_filterbanks.Encoder(filterbank), asteroid_filterbanks.Decoder(filterbank)
    fast = pair(n_filters, stride)
    for shape in [(n_samples,), (2, n_samples), (2, 1, n_samples), (2, 3, n_samples)]:
        waveform = torch.randn(shape)
        expected, spectrogram = slow[0](waveform), fast[0](waveform)
        assert expected.shape == spectrogram.shape
        error = (spectrogram - expected).norm() / expected.norm()
        assert error < 1e-5
        # Without a length, the toolkit also gives what the last half window holds.
        for length in (n_samples, None):
            wanted, decoded = slow[1](expected, length), fast[1](spectrogram, length)
            assert decoded.shape == (wanted if length else wanted[..., : -n_filters // 2]).shape
            end = n_samples // stride * stride
            torch.testing.assert_close(decoded[..., :end], wanted[..., :end], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "as_conv1d", "expected"),
    [
        ((800,), True, (514, 7)),
        ((800,), False, (514, 7)),
        ((5, 800), True, (5, 514, 7)),
        ((5, 1, 800), True, (5, 514, 7)),
        ((5, 1, 800), False, (5, 1, 514, 7)),
        ((5, 3, 800), True, (5, 3, 514, 7)),
        ((5, 3, 800), False, (5, 3, 514, 7)),
        ((5, 2, 3, 800), True, (5, 2, 3, 514, 7)),
    ],
)
def test_encoder_shapes(shape, as_conv1d, expected):
    filterbank = FFTSTFTFB(512, stride=128)
    encoder = Encoder(filterbank, as_conv1d=as_conv1d)
    assert encoder(torch.randn(shape)).shape == expected
    assert encoder.n_feats_out == 514
    if len(shape) < 4:  # the toolkit's padding is wrong for more dimensions
        toolkit = asteroid_filterbanks.Encoder(filterbank, as_conv1d=as_conv1d)
        assert toolkit(torch.randn(shape)).shape == expected


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((514, 7), (768,)),
        ((5, 514, 7), (5, 1, 768)),
        ((5, 3, 514, 7), (5, 3, 768)),
        ((5, 2, 3, 514, 7), (5, 2, 3, 768)),
    ],
)
def test_decoder_shapes(shape, expected):
    _, decoder = pair()
    assert decoder(torch.randn(shape)).shape == expected
    assert decoder(torch.randn(shape), length=700).shape == (*expected[:-1], 700)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
def test_options_reach_torch_stft(center, pad_mode):
    filterbank = FFTSTFTFB(64, stride=16, window="hamming", center=center, pad_mode=pad_mode)
    waveform = torch.randn(500)
    window = torch.from_numpy(get_window("hamming", 64)).float()
    stft = {"n_fft": 64, "hop_length": 16, "window": window, "center": center}
    expected = torch.stft(waveform, **stft, pad_mode=pad_mode, return_complex=True)
    torch.testing.assert_close(filterbank.stft(waveform), expected)
    decoded = filterbank.istft(expected)
    torch.testing.assert_close(decoded, waveform[: len(decoded)], rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_samples", [257, 300, 511, 513, 1001, 4411])
@pytest.mark.parametrize("stride", [64, 128, 100, 255, 256])
def test_perfect_reconstruction(n_samples, stride):
    encoder, decoder = pair(512, stride)
    waveform = torch.randn(2, 2, n_samples)
    decoded = decoder(encoder(waveform), length=n_samples)
    assert decoded.shape == waveform.shape
    # With a hop beyond a quarter of the window, the last samples may lie under its tail alone.
    end = n_samples if stride <= 128 else n_samples // stride * stride
    torch.testing.assert_close(decoded[..., :end], waveform[..., :end], rtol=0, atol=3e-6)


@pytest.mark.parametrize("name", ["FFTSTFTFB", "fft_stft"])
def test_is_known_to_the_toolkit(name):
    assert asteroid_filterbanks.get(name) is FFTSTFTFB
    assert FFTSTFTFB is asteroid_bsrnn.FFTSTFTFB
    encoder, decoder = asteroid_filterbanks.make_enc_dec(name, 512, 512, 128, sample_rate=16000)
    for part in (encoder, decoder):
        assert type(part.filterbank) is FFTSTFTFB
        assert part.filterbank.sample_rate == 16000
    waveform = torch.randn(1, 1, 1000)
    decoded = decoder(encoder(waveform), length=1000)
    torch.testing.assert_close(decoded, waveform, rtol=0, atol=1e-5)


def test_the_pseudo_inverse_and_padding_run_as_the_toolkits():
    filterbank = FFTSTFTFB(64, stride=32)
    waveform = torch.randn(2, 1, 400)
    spectrogram = Encoder(filterbank)(waveform)
    for own, toolkit in [
        (Encoder(filterbank, padding=8), asteroid_filterbanks.Encoder(filterbank, padding=8)),
        (Encoder.pinv_of(filterbank), asteroid_filterbanks.Encoder.pinv_of(filterbank)),
    ]:
        assert torch.equal(own(waveform), toolkit(waveform))
    own, toolkit = Decoder.pinv_of(filterbank), asteroid_filterbanks.Decoder.pinv_of(filterbank)
    assert isinstance(own, Decoder) and own.is_pinv
    assert torch.equal(own(spectrogram), toolkit(spectrogram))


@pytest.mark.parametrize(
    "arguments",
    [{}, {"n_filters": 512}, {"n_filters": 30, "stride": 7, "window": "hamming", "center": False},
     {"n_filters": 64, "pad_mode": "constant", "sample_rate": 8000.0}],
)  # fmt: skip
def test_config_round_trip(arguments):
    config = FFTSTFTFB(**arguments).get_config()
    assert arguments.items() <= config.items()
    assert config["fb_name"] == "FFTSTFTFB"
    encoder, decoder = asteroid_filterbanks.make_enc_dec(**config)
    for part in (encoder, decoder):
        assert part.filterbank.get_config() == config
    own = Encoder(FFTSTFTFB(**arguments))
    assert own.get_config() == {**config, "is_pinv": False}


def test_nothing_is_stored_or_learned():
    for module in pair():
        assert not module.state_dict()
        assert not list(module.parameters())
        module.load_state_dict({}, strict=True)


def test_the_window_survives_changes_of_precision_and_device():
    exact = torch.from_numpy(get_window("hann", 512))
    filterbank = FFTSTFTFB(512)
    for change in ("half", "bfloat16", "float", "double", "half", "double", "bfloat16"):
        getattr(filterbank, change)()
        expected = torch.float64 if change == "double" else torch.float32
        assert filterbank.torch_window.dtype == expected
        assert torch.equal(filterbank.torch_window, exact.to(expected)), change
    filterbank.to("meta")
    assert filterbank.torch_window.is_meta
    filterbank.to_empty(device="cpu")
    assert torch.equal(filterbank.torch_window, exact.float())
    for twin in (copy.deepcopy(filterbank), pickle.loads(pickle.dumps(filterbank))):
        assert torch.equal(twin.torch_window, exact.float())
    with torch.device("meta"):
        built = FFTSTFTFB(512)
    assert torch.equal(built.to_empty(device="cpu").torch_window, exact.float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_transformed_in_float32(dtype):
    encoder, decoder = pair()
    waveform = torch.randn(2, 1000).to(dtype)
    spectrogram = encoder.to(dtype)(waveform)
    assert spectrogram.dtype == torch.float32
    assert torch.equal(spectrogram, pair()[0](waveform.float()))
    assert decoder(spectrogram.to(dtype), length=1000).dtype == torch.float32


def test_gradients_flow():
    encoder, decoder = pair(64, 16)
    waveform = torch.randn(1, 1, 100, dtype=torch.float64, requires_grad=True)
    encoder.double()
    assert torch.autograd.gradcheck(lambda x: decoder(encoder(x).tanh(), length=100), (waveform,))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_filters": 511}, "n_filters must be even and positive, got 511"),
        ({"n_filters": 0}, "n_filters must be even and positive, got 0"),
        ({"n_filters": -2}, "n_filters must be even and positive, got -2"),
        ({"n_filters": 512.0, "stride": 128}, "n_filters must be a whole number, got 512.0"),
        ({"n_filters": 512, "kernel_size": 400}, r"kernel_size \(400\) must equal n_filters \(512"),
        ({"n_filters": 512, "stride": 0}, "stride must be in 1 ... 256, got 0"),
        ({"n_filters": 512, "stride": 257}, "stride must be in 1 ... 256, got 257"),
        ({"n_filters": 512, "stride": 128.5}, "stride must be a whole number, got 128.5"),
    ],
)
def test_wrong_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        FFTSTFTFB(**arguments)


def test_too_short_input():
    encoder, _ = pair()
    assert encoder(torch.randn(257)).shape == (514, 3)
    with pytest.raises(ValueError, match="256 samples is too short.*needs at least 257"):
        encoder(torch.randn(1, 2, 256))
    zeros = Encoder(FFTSTFTFB(512, pad_mode="constant"))
    assert zeros(torch.randn(1)).shape == (514, 1)
    with pytest.raises(ValueError, match="0 samples is too short"):
        zeros(torch.randn(0))
