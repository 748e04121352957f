"""Peers behind the project's interface: shapes, files, losses, and what they are made of."""

import numpy as np
import pytest
import torch

from asteroid_bsrnn import Separator, peers
from asteroid_bsrnn.errors import UserError
from asteroid_bsrnn.losses import L1Loss
from asteroid_bsrnn.weights import checkpoint

from .sounds import noise, refused

SOURCES = ("vocals", "bass", "drums", "other")
RECURRENT = {"hidden_size": 16, "n_layers": 2}
TINY = {
    "conv_tasnet": {"n_filters": 8, "n_blocks": 2, "n_repeats": 1, "bn_chan": 8, "hid_chan": 8,
                    "skip_chan": 8},
    "dprnn_tasnet": {"n_filters": 8, "bn_chan": 8, "hid_size": 8, "n_repeats": 1},
    "dptnet": {"n_filters": 8, "ff_hid": 8, "n_heads": 2, "n_repeats": 1},
    "open_unmix": RECURRENT,
    "sudormrf_improved": {"n_filters": 8, "bn_chan": 8, "num_blocks": 1},
    "xumx": RECURRENT,
}  # fmt: skip
NAMES = sorted(TINY)


def tiny(name, sources=SOURCES):
    torch.manual_seed(0)
    return peers.build(name, sources, **TINY[name]).eval()


def test_all_names_are_tried_here():
    assert peers.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
class TestEveryPeer:
    @torch.no_grad()
    def test_any_length_and_number_of_channels(self, name):
        network = tiny(name)
        for shape in ((1, 2, 2), (2, 2, 1000), (1, 2, 20_001)):
            estimates = network(torch.randn(shape))
            assert estimates.shape == (shape[0], 4, *shape[1:])
            assert torch.isfinite(estimates).all()
        with pytest.raises(UserError, match=r"transpose: \(channels, time\)"):
            network(torch.zeros(1, 2, 1))
        assert torch.isfinite(network(torch.zeros(1, 2, 5000))).all()
        stems = Separator(network, device="cpu", segment=0.1).separate(noise(9000, channels=1))
        assert sorted(stems) == sorted(SOURCES)
        assert all(stem.shape == (1, 9000) for stem in stems.values())

    @torch.no_grad()
    def test_files_load_safely_and_give_the_same_estimates(self, name, tmp_path):
        network = tiny(name, ("vocals", "other"))
        with torch.random.fork_rng():
            for parameter in network.parameters():
                parameter += 0.01 * torch.randn_like(parameter)
        path = checkpoint.save_model(network, tmp_path / "peer.pth")
        torch.load(path, weights_only=True)
        loaded = Separator(path, device="cpu").model
        assert type(loaded) is type(network)
        assert loaded.sources == ("vocals", "other")
        mixture = torch.randn(1, 2, 6000)
        assert torch.equal(loaded(mixture), network(mixture))

    def test_the_loss_of_all_reaches_all_weights(self, name):
        network = tiny(name).train()
        mixture = torch.randn(2, 2, 12_000)
        estimates, spectrograms = network.forward_with_spectrogram(mixture)
        targets = torch.randn(2, 4, 2, 12_000)
        loss = L1Loss("time+stft")(estimates, targets, spectrograms, network.encoder(targets))
        loss.backward()
        # The last block of ConvTasNet has a residual that leads nowhere.
        missing = [n for n, p in network.named_parameters() if p.grad is None]
        assert all("res_conv" in n for n in missing), missing
        # One STFT for all of them, which is BSRNN's.
        assert spectrograms.shape[-2] == 2050
        assert not any(key.startswith("encoder") for key in network.state_dict())


@pytest.mark.parametrize(
    ("name", "millions"),
    [("conv_tasnet", 5.23), ("dprnn_tasnet", 3.77), ("dptnet", 8.54), ("open_unmix", 35.57),
     ("sudormrf_improved", 2.81), ("xumx", 35.57)],
)  # fmt: skip
def test_the_sizes_of_the_settings_for_music(name, millions):
    with torch.device("meta"):
        network = peers.build(name, SOURCES)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters / 1e6 == pytest.approx(millions, abs=0.005)
    assert network.sample_rate == 44100


@torch.no_grad()
def test_time_domain_peers_take_each_channel_on_its_own():
    network = tiny("conv_tasnet")
    mixture = torch.randn(2, 2, 5000)
    together = network(mixture)
    for channel in range(2):
        alone = network(mixture[:, channel : channel + 1])
        torch.testing.assert_close(together[:, :, channel], alone[:, :, 0])


@torch.no_grad()
def test_spectrogram_peers_scale_the_mixture_and_keep_its_phase():
    for name in ("open_unmix", "xumx"):
        network = tiny(name)
        mixture = torch.randn(1, 2, 30_000)
        real, imaginary = network.analysis(mixture).chunk(2, dim=-2)
        estimates = network.estimate_magnitudes(torch.hypot(real, imaginary))
        assert (estimates >= 0).all() and estimates.any()
        phase = torch.complex(real, imaginary) / torch.hypot(real, imaginary)
        expected = (
            torch.view_as_real(estimates * phase.unsqueeze(1)).movedim(-1, -3).flatten(-3, -2)
        )
        expected = network.synthesis(expected, 30_000)
        torch.testing.assert_close(network(mixture), expected, rtol=1e-4, atol=1e-4)


def test_spectrogram_peers_learn_the_levels_of_their_input():
    for name in ("open_unmix", "xumx"):
        network = tiny(name)
        generator = torch.Generator().manual_seed(1)
        mixtures = [torch.randn(1, 2, 20_000, generator=generator) for _ in range(3)]
        network.fit_input(mixtures)
        spectra = [network.analysis(mixture).chunk(2, dim=-2) for mixture in mixtures]
        magnitudes = torch.cat([torch.hypot(*pair) for pair in spectra], dim=-1)
        mean = magnitudes.mean(dim=(0, 1, 3))
        deviation = magnitudes.transpose(-1, -2).flatten(0, 2).std(dim=0, correction=0)
        if name == "open_unmix":
            inner = network.networks["bass"]
            found = inner.input_mean, inner.input_scale
        else:
            parameters = network.network.mean_scale
            found = parameters["input_mean_bass"], parameters["input_scale_bass"]
        n_bins = len(found[0])
        assert n_bins == 1487  # up to 16 kHz
        torch.testing.assert_close(-found[0].data, mean[:n_bins], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(1 / found[1].data, deviation[:n_bins], rtol=1e-3, atol=1e-4)
        network.fit_input([torch.zeros(1, 2, 5000)])
        assert all(bool(torch.isfinite(value).all()) for value in found)


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="unknown peer 'umx'; valid names: conv_tasnet"):
        peers.build("umx", SOURCES)
    with pytest.raises(TypeError, match="unknown setting 'n_blokcs'"):
        peers.build("conv_tasnet", SOURCES, n_blokcs=2)
    with pytest.raises(TypeError, match="unknown argument 'window'"):
        peers.build("xumx", SOURCES, window=1)
    with pytest.raises(ValueError, match="hidden_size"):
        peers.build("open_unmix", SOURCES, hidden_size=0)
    with pytest.raises(ValueError, match="needs 2 channels"):
        tiny("xumx")(torch.randn(1, 1, 5000))
    with refused("NaN"):
        Separator(tiny("xumx"), device="cpu").separate(np.full((2, 100), np.nan, np.float32))
