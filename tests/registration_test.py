import importlib
import warnings
from pathlib import Path

import asteroid.separate
import asteroid_filterbanks
import numpy as np
import pytest
import torch
from asteroid import models

import asteroid_bsrnn
from asteroid_bsrnn import BSCNN, BSRNN, FFTSTFTFB, PerSourceSeparator, Separator, UserError
from asteroid_bsrnn.audio import AudioFile

from .sounds import RATE, noise, write

SIZES = {"feature_dim": 8, "n_repeats": 1, "mask_expansion": 1}


def tiny(**arguments):
    torch.manual_seed(0)
    return BSRNN(sources=["vocals", "drums"], **SIZES, **arguments).eval()


@pytest.fixture(scope="module")
def network():
    return tiny()


class TestRegistries:
    @pytest.mark.parametrize("model_class", [BSRNN, BSCNN, PerSourceSeparator])
    def test_models_are_found_by_name(self, model_class):
        name = model_class.__name__
        assert getattr(models, name) is model_class
        for spelling in (name, name.lower()):
            assert models.get(spelling) is model_class

    def test_filterbank_is_found_by_name(self):
        assert asteroid_filterbanks.get("fft_stft") is FFTSTFTFB
        assert asteroid_filterbanks.get("FFTSTFTFB") is FFTSTFTFB
        encoder, _ = asteroid_filterbanks.make_enc_dec("fft_stft", 512, 512, 128)
        assert isinstance(encoder.filterbank, FFTSTFTFB)

    def test_reload_changes_nothing(self):
        for _ in range(2):
            importlib.reload(asteroid_bsrnn)
        assert models.BSRNN is BSRNN
        assert asteroid_bsrnn.Separator is Separator


class TestTensors:
    @pytest.mark.parametrize("shape", [(8000,), (3, 8000), (3, 1, 8000), (3, 2, 8000)])
    def test_level_and_shape(self, network, shape):
        wav = 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
        before = wav.clone()
        with torch.no_grad():
            wanted = network(wav)
        if shape[-2:-1] == (1,):
            wanted = wanted.squeeze(2)  # Asteroid leaves out the channels of mono
        assert wanted.shape[-1] == 8000
        for call in (network.separate, network.torch_separate):
            estimates = call(wav)
            assert torch.equal(estimates, wanted), call
            assert not estimates.requires_grad
        for call in (network.separate, network.numpy_separate):
            estimates = call(wav.numpy())
            assert isinstance(estimates, np.ndarray)
            np.testing.assert_array_equal(estimates, wanted.numpy())
        assert torch.equal(wav, before)

    def test_gain_and_silence(self, network):
        wav = 0.1 * torch.randn(1, 2, 8000, generator=torch.Generator().manual_seed(0))
        louder, estimates = network.separate(4 * wav), network.separate(wav)
        torch.testing.assert_close(louder, 4 * estimates, rtol=1e-3, atol=1e-5)
        assert not network.separate(0 * wav).any()

    def test_asteroid_s_own_function_keeps_channels_and_rescales(self, network):
        wav = 0.1 * torch.randn(3, 2, 8000, generator=torch.Generator().manual_seed(0))
        estimates = network.separate(wav)
        rescaled = asteroid.separate.separate(network, wav)
        assert rescaled.shape == estimates.shape == (3, 2, 2, 8000)
        gain = wav.abs().sum() / estimates.abs().sum()
        assert abs(gain - 1) > 0.01
        torch.testing.assert_close(rescaled, gain * estimates)

    def test_other_types_are_refused(self, network):
        with pytest.raises(ValueError, match="list"):
            network.separate([0.0])

    def test_pretrained_by_asteroid(self, network, tmp_path):
        torch.save(network.serialize(), tmp_path / "model.pth")
        loaded = models.BaseModel.from_pretrained(str(tmp_path / "model.pth")).eval()
        assert type(loaded) is BSRNN
        wav = torch.randn(1, 2, 8000)
        assert torch.equal(loaded.separate(wav), network.separate(wav))

    def test_per_source_separators_too(self):
        networks = [BSRNN(sources=[name], **SIZES).eval() for name in ("vocals", "bass")]
        separator = PerSourceSeparator.of(networks).eval()
        wav = torch.randn(1, 2, 8000)
        with torch.no_grad():
            assert torch.equal(separator.separate(wav), separator(wav))

    def test_training_mode_stays(self):
        network = tiny().train()
        network.separate(torch.randn(1, 2, 8000))
        assert network.training


class TestFiles:
    def estimates(self, folder, name="song"):
        return [AudioFile(folder / f"{name}_est{index}.wav") for index in (1, 2)]

    @pytest.mark.parametrize("channels", [1, 2, 3])
    def test_all_channels_at_the_file_s_level(self, network, tmp_path, channels):
        samples = noise(RATE, channels)
        path = write(tmp_path / "song.wav", samples)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            network.separate(str(path))
        stems = Separator(network, precision="32").separate(samples)
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            "song.wav",
            "song_est1.wav",
            "song_est2.wav",
        ]
        for estimate, stem in zip(self.estimates(tmp_path), stems.values(), strict=True):
            assert (estimate.sample_rate, estimate.channels) == (RATE, channels)
            assert estimate.subtype == "PCM_16"
            assert np.abs(stem).max() < 1
            np.testing.assert_allclose(estimate.read(), stem, rtol=0, atol=2**-15)

    def test_every_way_to_call_it(self, network, tmp_path):
        path = str(write(tmp_path / "song.wav", noise(8000)))
        folders = [tmp_path / str(number) for number in range(3)]
        network.separate(path, output_dir=str(folders[0]))
        network.file_separate(path, str(folders[1]))
        network.file_separate(filename=Path(path), output_dir=folders[2])
        first = self.estimates(folders[0])[0].read()
        for folder in folders:
            assert sorted(p.name for p in folder.iterdir()) == ["song_est1.wav", "song_est2.wav"]
            np.testing.assert_array_equal(self.estimates(folder)[0].read(), first)

    def test_existing_estimates(self, network, tmp_path):
        path = str(write(tmp_path / "song.wav", noise(8000)))
        (tmp_path / "song_est1.wav").write_text("precious")
        with pytest.warns(UserWarning, match=r"song_est1\.wav already exists.*force_overwrite"):
            network.separate(path)
        assert (tmp_path / "song_est1.wav").read_text() == "precious"
        assert not (tmp_path / "song_est2.wav").exists()
        (tmp_path / "song_est1.wav").rename(tmp_path / "song_est2.wav")
        with pytest.warns(UserWarning, match=r"song_est2\.wav already exists"):
            network.separate(path)
        assert (tmp_path / "song_est2.wav").read_text() == "precious"
        network.separate(path, force_overwrite=True)
        assert all(estimate.frames == 8000 for estimate in self.estimates(tmp_path))

    def test_other_sample_rates(self, network, tmp_path):
        samples = noise(48000)
        path = str(write(tmp_path / "song.wav", samples, rate=48000, subtype="FLOAT"))
        with pytest.raises(RuntimeError, match=r"48000Hz.*44100.*resample=True"):
            network.separate(path)
        assert [p.name for p in tmp_path.iterdir()] == ["song.wav"]
        network.separate(path, resample=True)
        stems = Separator(network, precision="32").separate(samples, 48000)
        for estimate, stem in zip(self.estimates(tmp_path), stems.values(), strict=True):
            assert (estimate.sample_rate, estimate.frames) == (48000, 48000)
            assert estimate.subtype == "FLOAT"
            np.testing.assert_allclose(estimate.read(), stem, rtol=0, atol=1e-6)

    def test_long_files_are_cut_into_chunks(self, tmp_path):
        network, lengths = tiny(), []
        network.register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[-1]))
        path = str(write(tmp_path / "song.wav", noise(25 * RATE)))
        network.separate(path)
        assert lengths == [485_100, 529_200, 25 * RATE - 2 * 485_100 + 44_100]
        assert self.estimates(tmp_path)[1].frames == 25 * RATE

    def test_networks_of_mono_and_of_stereo(self, tmp_path):
        for in_channels in (1, 2):
            network = tiny(in_channels=in_channels)
            for channels in (1, 2):
                name = f"song{in_channels}{channels}"
                samples = noise(8000, channels)
                network.separate(str(write(tmp_path / f"{name}.wav", samples)))
                stems = Separator(network, precision="32").separate(samples)
                estimates = self.estimates(tmp_path, name)
                for estimate, stem in zip(estimates, stems.values(), strict=True):
                    np.testing.assert_allclose(estimate.read(), stem, rtol=0, atol=2**-15)

    def test_failures(self, network, tmp_path):
        (tmp_path / "text.wav").write_text("no music\n" * 100)
        path = write(tmp_path / "song.wav", noise(8000))
        for arguments, word in (
            ([str(tmp_path / "gone.wav")], "No such file"),
            ([str(tmp_path / "text.wav")], "audio"),
            ([str(path), str(path)], "not a folder"),
        ):
            with pytest.raises(UserError, match=word):
                network.file_separate(*arguments)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["song.wav", "text.wav"]

    def test_asteroid_s_own_function_works_on_mono(self, network, tmp_path):
        path = str(write(tmp_path / "song.wav", noise(8000, channels=1)))
        asteroid.separate.file_separate(network, path)
        with torch.no_grad():
            wanted = network(torch.from_numpy(noise(8000, channels=1)))[0]
        wanted *= np.abs(noise(8000, channels=1)).sum() / wanted.abs().sum()  # it rescales
        for estimate, stem in zip(self.estimates(tmp_path), wanted, strict=True):
            assert estimate.channels == 1
            np.testing.assert_allclose(estimate.read()[0], stem, rtol=0, atol=2**-14)
