"""What every model promises: shapes, precision, causality, gradients, constructor and tracing."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from asteroid_bsrnn import BSCNN, BSRNN, PerSourceSeparator, UserError
from asteroid_bsrnn.filterbank import Decoder, Encoder
from asteroid_bsrnn.models import SourceModel

N_FILTERS = 256
SMALL = {
    "feature_dim": 4,
    "n_repeats": 1,
    "mask_expansion": 2,
    "n_filters": N_FILTERS,
    "stride": 64,
    "bands": [(3, 2000), (2, 4000)],
}
ALL = {
    "feature_dim": 8,
    "stereo": "tac",
    "attention_heads": 2,
    "attention_dim": 3,
    "feature_groups": 2,
    "norm_groups": 2,
    "sources": ["a", "b"],
    "last_source_as_residual": True,
}
VARIANTS = {
    "lstm": (BSRNN, {}),
    "gru": (BSRNN, {"time_layer": "gru", "band_layer": "gru", "bidirectional": False}),
    "conv": (BSRNN, {"time_layer": "conv", "band_layer": "conv", "norm_groups": 2}),
    "groups": (BSRNN, {"feature_groups": 2}),
    "naive": (BSRNN, {"stereo": "naive"}),
    "tac_tanh": (BSRNN, {"stereo": "tac", "tac_activation": "tanh", "tac_expansion": 2}),
    "tac_prelu": (BSRNN, {"stereo": "tac"}),
    "attention": (BSRNN, {"attention_heads": 2, "attention_dim": 3}),
    "multi_source": (BSRNN, {"sources": ["a", "b", "c"], "rnn_expansion": 1}),
    "residual": (BSRNN, {"sources": ["a", "b", "c"], "last_source_as_residual": True}),
    "naive_all": (BSRNN, {**ALL, "stereo": "naive"}),
    "all": (BSRNN, ALL),
    "bscnn": (BSCNN, {}),
    "bscnn_time": (BSCNN, {"band_dilations": 0, "time_kernel_size": 5, "attention_heads": 1}),
    "bscnn_band": (BSCNN, {"time_dilations": 0, "band_expansion": 2, "sources": ["a", "b"]}),
}
PER_SOURCE = {
    "per_source": [("lstm", {"sources": ["a"]}), ("bscnn", {"sources": ["b"]})],
    "per_source_stereo": [("naive", {"sources": ["c"]}), ("all", {}), ("attention", {})],
}
NAMES = [*VARIANTS, *PER_SOURCE]
# A network that treats channels apart, those that join them, and those of several sources.
SEPARATE = ["lstm", "conv", "groups", "attention", "multi_source", "bscnn", "per_source"]
TAC_NETWORKS = ["tac_tanh", "tac_prelu", "all"]


def build(name: str, **overrides) -> SourceModel:
    """The small model of a name, with the same weights at every call."""
    torch.manual_seed(0)
    if name in PER_SOURCE:
        networks = [build(part, **own, **overrides) for part, own in PER_SOURCE[name]]
        return PerSourceSeparator.of(networks).eval()
    model_class, arguments = VARIANTS[name]
    return model_class(**{**SMALL, **arguments, **overrides}).eval()


def mixture(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def snr(estimate: torch.Tensor, reference: torch.Tensor) -> float:
    error = (estimate.double() - reference.double()).norm()
    return (20 * torch.log10(reference.double().norm() / error)).item()


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks as small as these only wait for threads, on a busy machine for minutes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


# --- shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_shapes(name):
    model = build(name)
    n_sources, n_channels = len(model.sources), model.in_channels or 2
    for n_samples in (2, 127, 129, 1000):
        estimates = model(mixture(3, n_channels, n_samples))
        assert estimates.shape == (3, n_sources, n_channels, n_samples)
        assert estimates.isfinite().all()
    if model.in_channels is None:
        wave = mixture(1000)
        three = model(wave.view(1, 1, -1))
        assert three.shape == (1, n_sources, 1, 1000)
        assert torch.equal(model(wave.view(1, -1)), three[:, :, 0])
        assert torch.equal(model(wave), three[0, :, 0])


@pytest.mark.parametrize("n_samples", [1, 2, 1024, 1025, 44101])
def test_length_is_kept_at_the_default_fft(n_samples):
    model = BSRNN(feature_dim=4, n_repeats=1, mask_expansion=1)
    for n_channels in (1, 2) if n_samples > 1 else (1,):
        shape = (1, 1, n_channels, n_samples)
        assert model(mixture(1, n_channels, n_samples)).shape == shape
    assert model(mixture(n_samples)).shape == (1, n_samples)


@pytest.mark.parametrize("sample_rate, n_filters", [(16000, 1024), (48000, 4096)])
@pytest.mark.parametrize("name", ["lstm", "bscnn"])
def test_any_sample_rate_and_fft_size(name, sample_rate, n_filters):
    size = {"sample_rate": sample_rate, "n_filters": n_filters, "stride": n_filters // 4}
    for bands in ("vocals", "drums"):
        model = build(name, bands=bands, **size)
        assert model.sample_rate == model.encoder.filterbank.sample_rate == sample_rate
        assert model(mixture(1, 2, 3000)).shape == (1, 1, 2, 3000)


def test_bands_are_those_of_the_source_unless_given():
    def n_bands(**arguments) -> int:
        network = BSRNN(feature_dim=4, n_repeats=1, mask_expansion=1, **arguments)
        return len(network.masker.mask_estimator.weight)

    assert [n_bands(sources=[name]) for name in ("vocals", "bass", "drums")] == [41, 30, 55]
    assert n_bands(sources=["vocals", "bass"]) == n_bands(sources=["kazoo"]) == 57
    assert n_bands(sources=["piano"]) == 41, "the bands of vocals"
    assert n_bands(sources=["bass"], bands="vocals") == 41
    assert n_bands(bands=[]) == 1, "a table without entries is the whole spectrum as one band"
    with pytest.raises(ValueError, match="unknown band table ''"):
        n_bands(bands="")


def test_named_sources_and_the_channels_that_a_model_needs():
    assert build("multi_source").sources == ("a", "b", "c")
    assert build("per_source_stereo").sources == ("c", "a", "b", "vocals")
    assert BSRNN(**SMALL, sources="vocals").sources == ("vocals",)
    assert build("lstm").in_channels is None
    assert build("naive").in_channels == build("per_source_stereo").in_channels == 2
    assert build("lstm", in_channels=1).in_channels == 1


def test_spectrograms_are_those_of_the_estimates():
    model = build("all")
    x = mixture(2, 2, 1000)
    estimates, spectrograms = model.forward_with_spectrogram(x)
    assert torch.equal(estimates, model(x))
    assert spectrograms.shape == (2, 2, 2, 258, 16)
    assert torch.equal(model.decoder(spectrograms, 1000), estimates)


# --- what an output depends on -------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_batch_items_do_not_influence_each_other(name):
    model = build(name)
    x = mixture(3, model.in_channels or 2, 1000)
    estimates = model(x)
    torch.testing.assert_close(model(x[1:2]), estimates[1:2], rtol=0, atol=1e-5)
    order = [2, 0, 1]
    torch.testing.assert_close(model(x[order]), estimates[order], rtol=0, atol=1e-5)
    loud = torch.cat([x[:1], 100 * x[1:]])
    torch.testing.assert_close(model(loud)[0], estimates[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SEPARATE)
def test_channels_are_treated_alike_and_apart(name):
    model = build(name)
    x = mixture(2, 3, 1000)
    estimates = model(x)
    for channel in range(3):
        alone = model(x[:, channel : channel + 1])
        torch.testing.assert_close(estimates[:, :, channel : channel + 1], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", TAC_NETWORKS)
def test_tac_joins_any_channels_in_any_order(name):
    model = build(name)
    for n_channels in (1, 2, 3):
        x = mixture(2, n_channels, 1000)
        estimates = model(x)
        assert estimates.shape[2] == n_channels
        flipped = model(x.flip(1)).flip(2)
        torch.testing.assert_close(flipped, estimates, rtol=0, atol=1e-5)
    assert (model(x[:, :1]) - estimates[:, :, :1]).abs().max() > 1e-3, "channels exchange something"


def test_naive_joins_two_channels_in_their_order():
    model = build("naive")
    x = mixture(2, 2, 1000)
    assert (model(x.flip(1)).flip(2) - model(x)).abs().max() > 1e-3
    assert build("naive", in_channels=3)(mixture(1, 3, 500)).shape == (1, 1, 3, 500)


@pytest.mark.parametrize("name", NAMES)
def test_silence_stays_exact_silence(name):
    model = build(name)
    assert (model(torch.zeros(2, model.in_channels or 2, 1000)) == 0).all()


@pytest.mark.parametrize("name", ["residual", "all", "naive_all"])
def test_the_last_source_is_the_rest_of_the_mixture(name):
    model = build(name).double()
    x = mixture(2, 2, 1000).double()
    torch.testing.assert_close(model(x).sum(dim=1), x, rtol=0, atol=1e-12)
    x = x.float()
    torch.testing.assert_close(build(name)(x).sum(dim=1), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_causal_networks_do_not_look_ahead(name):
    n, n_samples = 2500, 4000
    model = build(name, causal=True)
    x = mixture(1, model.in_channels or 2, n_samples)
    other = x.clone()
    other[..., n:] = 3 * mixture(*x.shape[:2], n_samples - n, seed=2)
    settled = slice(0, n - N_FILTERS)
    assert torch.equal(model(x)[..., settled], model(other)[..., settled])
    assert not torch.equal(model(x)[..., n - N_FILTERS :], model(other)[..., n - N_FILTERS :])
    free = build(name)
    assert (free(x) - free(other))[..., : n // 4].abs().max() > 1e-4


# --- precision -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_precisions_agree(name):
    model = build(name)
    x = mixture(2, model.in_channels or 2, 2000)
    estimates = model(x)
    assert torch.equal(model(x), estimates), "deterministic"
    double = copy.deepcopy(model).double()(x.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(estimates.double(), double, rtol=0, atol=1e-4)
    half = copy.deepcopy(model).bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16 and half.isfinite().all()
    assert snr(half, estimates) > 15
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model(x)
    assert mixed.dtype == torch.float32 and mixed.isfinite().all()
    assert snr(mixed, estimates) > 15


def test_output_has_the_precision_of_the_input():
    model = build("lstm")
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        assert model(mixture(1, 2, 500).to(dtype)).dtype == dtype


# --- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter(name, causal):
    model = build(name, causal=causal).train()
    with torch.enable_grad():
        estimates, spectrograms = model.forward_with_spectrogram(
            mixture(2, model.in_channels or 2, 2000)
        )
        (estimates.square().sum() + spectrograms.square().sum()).backward()
    gradients = {key: parameter.grad for key, parameter in model.named_parameters()}
    assert not [key for key, gradient in gradients.items() if gradient is None]
    assert not [key for key, gradient in gradients.items() if not gradient.any()]
    assert all(gradient.isfinite().all() for gradient in gradients.values())


class CountOperations(TorchDispatchMode):
    """Counts the operations that reach a device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["lstm", "conv", "all", "naive_all", "bscnn"])
def test_operations_do_not_grow_with_the_number_of_bands(name):
    counts = []
    for n_bands in (10, 40):
        model = build(name, n_filters=2048, stride=512, bands=[(n_bands, 10000 / n_bands)])
        assert len(model.masker.band_split.runs) == 2
        # As in training and on GPUs; without gradients a CPU makes masks band by band, which
        # takes a fraction of the memory.
        with torch.enable_grad(), CountOperations() as operations:
            model(mixture(1, 2, 3000))
        counts.append(operations.count)
    assert counts[0] == counts[1] > 50


# --- constructor ---------------------------------------------------------------------------------


@pytest.mark.parametrize("model_class", [BSRNN, BSCNN, PerSourceSeparator])
def test_unknown_and_positional_arguments_are_refused(model_class):
    valid = ["networks"] if model_class is PerSourceSeparator else ["sources", "bands", "causal"]
    for arguments in ([], {"n_fft": 2048}), (["vocals"], {}):
        with pytest.raises(TypeError) as caught:
            model_class(*arguments[0], **arguments[1])
        assert all(name in str(caught.value) for name in [model_class.__name__, *valid])
    with pytest.raises(TypeError, match="'n_fft'"):
        model_class(n_fft=2048)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"stereo": "TAC"}, "unknown stereo 'TAC'; valid: None, 'naive', 'tac'"),
        ({"stereo": ["tac"]}, r"unknown stereo \['tac'\]"),
        ({"time_layer": "lstmm"}, "unknown time_layer 'lstmm'; valid: 'lstm', 'gru', 'conv'"),
        ({"band_layer": None}, "unknown band_layer None; valid: 'lstm', 'gru', 'conv'"),
        ({"tac_activation": "relu"}, "unknown tac_activation 'relu'; valid: 'tanh', 'prelu'"),
        ({"bands": "vocal"}, "unknown band table 'vocal'; valid names: vocals, bass"),
        ({"bands": "joint"}, r"band 0 .* would hold no bin"),
        ({"sources": []}, "sources must be one or more names"),
        ({"sources": ["a", "b", "a"]}, "sources must differ from each other"),
        ({"sources": ["a", 1]}, "sources must be one or more names"),
        ({"sources": [""]}, "sources must be one or more names"),
        ({"feature_groups": 3}, r"feature_dim \(4\) must be a multiple of feature_groups \(3\)"),
        ({"norm_groups": 3}, r"\(4\) must be a multiple of norm_groups \(3\)"),
        ({"feature_groups": 2, "norm_groups": 4}, r"\(2\) must be a multiple of norm_groups"),
        ({"attention_heads": 3}, r"feature_dim \(4\) must be a multiple of attention_heads \(3\)"),
        ({"attention_heads": -1}, "attention_heads must be a whole number of at least 1, got -1"),
        ({"attention_heads": 1, "attention_dim": 0}, "attention_dim must be .* got 0"),
        ({"feature_dim": 0}, "feature_dim must be a whole number of at least 1, got 0"),
        ({"feature_dim": 4.0}, "feature_dim must be a whole number of at least 1, got 4.0"),
        ({"feature_dim": True}, "feature_dim must be a whole number of at least 1, got True"),
        ({"n_repeats": 0}, "n_repeats must be"),
        ({"mask_expansion": 0}, "mask_expansion must be"),
        ({"rnn_expansion": 0}, "rnn_expansion must be"),
        ({"tac_expansion": 0}, "tac_expansion must be"),
        ({"in_channels": 0}, "in_channels must be"),
        ({"last_source_as_residual": True}, "needs at least two sources"),
        ({"n_filters": 255}, "n_filters must be even and positive, got 255"),
        ({"kernel_size": 128}, r"kernel_size \(128\) must equal n_filters \(256\)"),
        ({"stride": 129}, "stride must be in 1 ... 128, got 129"),
        ({"sample_rate": 0}, "sample_rate must be positive, got 0"),
    ],
)
def test_wrong_values_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        BSRNN(**{**SMALL, **arguments})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"time_dilations": 0, "band_dilations": 0}, "cannot both be 0"),
        ({"time_dilations": 1}, "at least 2 dilated convolutions are needed, got 1"),
        ({"band_dilations": -3}, "band_dilations must be a whole number of at least 1, got -3"),
        ({"time_dilations": 2.5}, "time_dilations must be a whole number of at least 1, got 2.5"),
        ({"time_kernel_size": 2}, "kernel size must be odd, got 2"),
        ({"band_kernel_size": -1}, "band_kernel_size must be"),
        ({"time_expansion": 0}, "time_expansion must be"),
        ({"last_source_as_residual": True}, "needs at least two sources"),
    ],
)
def test_wrong_values_of_bscnn_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        BSCNN(**{**SMALL, **arguments})


def conf(sources: list[str], **arguments) -> dict:
    return {"model_name": "BSRNN", "model_args": {**SMALL, "sources": sources, **arguments}}


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        ([], "at least one network"),
        ([{}], "must have a model_name and model_args"),
        (["BSRNN"], "must have a model_name and model_args"),
        ([conf(["a"]), conf(["b", "a"])], "sources must differ from each other"),
        ([conf(["a"]), conf(["b"], stride=32)], "must share their filterbank"),
        ([conf(["a"], in_channels=1), conf(["b"], in_channels=2)], "differ in in_channels"),
        ([{"model_name": "BSNN", "model_args": {}}], "BSNN"),
        ([{"model_name": "ConvTasNet", "model_args": {"n_src": 2}}], "'ConvTasNet' is not a model"),
        ([{"model_name": "get", "model_args": {"identifier": "BSRNN"}}], "'get' is not a model"),
    ],
)
def test_wrong_networks_of_a_separator_are_refused(networks, words):
    with pytest.raises(ValueError, match=words):
        PerSourceSeparator(networks=networks)


def test_a_separator_checks_the_sample_rate_that_it_is_given():
    assert PerSourceSeparator(networks=[conf(["a"])], sample_rate=44100).sample_rate == 44100
    with pytest.raises(ValueError, match=r"sample_rate \(8000\) is not that of the networks"):
        PerSourceSeparator(networks=[conf(["a"])], sample_rate=8000)


def test_a_separator_gives_what_its_networks_give():
    parts = [build("lstm", sources=["a"]), build("residual", sources=["b", "c"])]
    separator = PerSourceSeparator.of(parts)
    x = mixture(2, 2, 1000)
    assert torch.equal(separator(x), torch.cat([part(x) for part in parts], dim=1))
    for own, part in zip(separator.networks, parts, strict=True):
        assert own is not part
    next(parts[0].parameters()).zero_()
    assert next(separator.parameters()).any(), "the weights are copies"


def test_a_separator_transforms_the_mixture_once_for_all_networks():
    parts = [build("lstm", sources=[source]) for source in "abcd"]
    separator = PerSourceSeparator.of(parts)
    calls = []
    for module in separator.modules():
        if isinstance(module, (Encoder, Decoder)):
            module.register_forward_hook(lambda module, *_: calls.append(type(module)))
    x = mixture(2, 2, 1000)
    with torch.enable_grad():
        separator(x)
    assert calls == [Encoder, Decoder]
    calls.clear()
    estimates = separator(x)
    assert calls == [Encoder] + 4 * [Decoder], "without gradients source by source"
    alone = torch.cat([part(x) for part in parts], dim=1)
    torch.testing.assert_close(estimates, alone, rtol=0, atol=1e-6)


# --- input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["naive", "per_source_stereo"])
@pytest.mark.parametrize("shape", [(1, 1, 500), (1, 3, 500), (2, 500), (500,)])
def test_a_wrong_number_of_channels_is_refused(name, shape):
    with pytest.raises(ValueError, match=r"needs 2 channels but the mixture has [13]"):
        build(name)(mixture(*shape))


@pytest.mark.parametrize(
    "wave",
    [
        torch.zeros(1, 1, 2, 500),
        torch.tensor(1.0),
        torch.zeros(1, 2, 500, dtype=torch.int16),
        torch.zeros(1, 2, 500, dtype=torch.complex64),
        torch.zeros(1, 2, 0),
        torch.zeros(0, 2, 500),
        torch.zeros(1, 0, 500),
    ],
)
def test_what_is_no_mixture_is_refused(wave):
    with pytest.raises(ValueError, match="mixture"):
        build("lstm")(wave)


@pytest.mark.parametrize("name", ["lstm", "per_source"])
def test_transposed_mixtures_are_refused(name):
    model = build(name)
    waves = {
        (1, 2000, 2): "2000 channels of 2 sample",
        (2, 65, 4000): "65 channels of 4000 sample",
        (1, 3, 2): "3 channels of 2 sample",
        (1, 2, 1): "2 channels of 1 sample",
        (2000, 2): "a batch of 2000 mono recordings of 2 sample",
        (5, 2): "a batch of 5 mono recordings of 2 sample",
    }
    for shape, words in waves.items():
        wave = torch.zeros(1).expand(shape)
        for function in (model, model.forward_wav, model.separate, model.torch_separate):
            with pytest.raises(
                UserError, match=rf"{words}.*transpose: \(channels, time\)"
            ) as found:
                function(wave)
            assert str(shape) in str(found.value)
        with pytest.raises(UserError, match=words):
            model.numpy_separate(wave.numpy().copy())
    for shape in ((1, 3, 3), (1, 2, 2), (1, 1, 1), (1, 1), (1,), (70, 100)):
        assert model(mixture(*shape)).shape[-1] == shape[-1]


# --- copies and traces ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_copies(name):
    model = build(name)
    x = mixture(1, model.in_channels or 2, 500)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(x), model(x))
        assert twin.get_model_args() == model.get_model_args()


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", NAMES)
def test_traces_run_on_other_shapes(name):
    model = build(name)
    stereo_only = model.in_channels == 2
    example = mixture(1, 2, 201) if stereo_only else mixture(1, 201)
    # The shapes below check more than the tracer's own run on the same input.
    traced = torch.jit.trace(model, example, check_trace=False)
    shapes = [(1, 2, 30), (3, 2, 1500)]
    if not stereo_only:
        shapes += [(7,), (240,), (3, 250), (3, 1, 290), (2, 5, 99)]
    for index, shape in enumerate(shapes):
        x = mixture(*shape, seed=index)
        torch.testing.assert_close(traced(x), model(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["all", "naive"])
def test_tracing_freezes_nothing_of_this_package(name):
    model = build(name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.jit.trace(model, mixture(1, 2, 201), check_trace=False)
    own = [w for w in caught if "asteroid_bsrnn" in w.filename]
    assert not own, [(w.filename, w.lineno) for w in own]


# --- Asteroid ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["all", "bscnn", "naive"])
def test_asteroids_hooks_are_the_steps_of_the_forward(name):
    model = build(name)
    x = mixture(2, 2, 1000)
    spectrogram = model.forward_encoder(x)
    estimates = model.apply_masks(spectrogram, model.forward_masker(spectrogram))
    assert torch.equal(model.forward_decoder(estimates, 1000), model(x))
    model.forward_masker = lambda spectrogram: torch.zeros_like(spectrogram).unsqueeze(1)
    assert not model(x)[:, 0].any(), "an overridden hook takes effect"


@pytest.mark.parametrize("name", ["multi_source", "per_source"])
def test_asteroids_separate_keeps_level_and_channels(name):
    model = build(name)
    stereo, mono = mixture(2, 2, 1000), mixture(2, 1, 1000)
    assert torch.equal(model.separate(stereo), model(stereo))
    assert torch.equal(model.separate(mono), model(mono)[:, :, 0]), "mono has no channels"
    assert torch.equal(model.forward_wav(mono), model(mono)[:, :, 0])
    array = model.separate(stereo.numpy())
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(array, model(stereo).numpy())
    assert (model.separate(torch.zeros(1, 2, 500)) == 0).all()
