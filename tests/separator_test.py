import copy
import io
import json
import multiprocessing
import os
import pickle
import re
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import stempeg
import torch
from asteroid.models import ConvTasNet
from torch import nn

import asteroid_bsrnn
from asteroid_bsrnn import BSRNN, Separator, kernels, zoo
from asteroid_bsrnn.audio import AudioFile
from asteroid_bsrnn.weights import checkpoint

from .sounds import RATE, decibels, noise, refused, write
from .tiny_networks import FEW_BANDS
from .warm_python import python

ROOT = Path(__file__).parents[1]


class Splitter(nn.Module):
    """Estimates that are known beforehand and sum up to the mixture: 3 times it, and -2 times."""

    sources, sample_rate, in_channels = ("vocals", "rest"), RATE, None

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, chunks):
        self.calls += 1
        return torch.stack([3 * chunks, -2 * chunks], dim=1)


class Halver(Splitter):
    """The same with stems that never exceed the mixture: a quarter of it, and the others."""

    def forward(self, chunks):
        self.calls += 1
        return torch.stack([0.25 * chunks, 0.75 * chunks], dim=1)


class Broken(Splitter):
    """Fails, or gives something that is no number, from its second chunk on."""

    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, chunks):
        estimates = super().forward(chunks)
        if self.calls > 1 and isinstance(self.result, BaseException):
            raise self.result
        return estimates * (self.result if self.calls > 1 else 1)


def tiny_network(**arguments):
    torch.manual_seed(0)
    sizes = {"feature_dim": 8, "n_repeats": 1, "mask_expansion": 1, "bands": FEW_BANDS}
    return BSRNN(sources=["vocals", "drums"], **sizes, **arguments)


@pytest.fixture(scope="module")
def tiny():
    return tiny_network().eval()


@pytest.fixture(scope="module")
def excerpt():
    """Two seconds of music from the middle of a real song."""
    return AudioFile(stempeg.example_stem_path(), start=2.0, duration=2.0).read()


def found_below(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


def open_files(folder):
    """Names of the files in a folder that this process has opened; empty where it cannot tell."""
    links = Path("/proc/self/fd").glob("*")
    opened = [Path(os.path.realpath(link)) for link in links]
    return sorted(path.name for path in opened if Path(folder).resolve() in path.parents)


class TestModels:
    def test_what_ships_is_loaded_by_default(self, excerpt):
        mixture = excerpt[:, : RATE // 2]
        stems = Separator().separate(mixture)
        assert list(stems) == ["vocals", "bass", "drums", "other"]
        again = Separator(zoo.DEFAULT, batch_size=3)
        assert again.sources == tuple(stems)
        assert again.sample_rate == RATE
        for name, stem in again(mixture).items():
            np.testing.assert_array_equal(stem, stems[name])

    def test_file_and_module_are_the_same(self, tiny, tmp_path):
        checkpoint.save_model(tiny, tmp_path / "tiny.pth")
        mixture = noise(20_000)
        by_module = Separator(tiny).separate(mixture)
        for path in (tmp_path / "tiny.pth", str(tmp_path / "tiny.pth")):
            by_file = Separator(path).separate(mixture)
            for name in ("vocals", "drums"):
                np.testing.assert_array_equal(by_file[name], by_module[name])

    def test_a_module_stays_what_it_was(self):
        network = tiny_network()
        network.register_module("dropout", nn.Dropout(0.5))
        network.masker.eval()  # as one who trains the rest does
        modes = [module.training for module in network.modules()]
        weights = {name: value.clone() for name, value in network.state_dict().items()}
        Separator(network).separate(noise(20_000))
        assert [module.training for module in network.modules()] == modes
        assert set(modes) == {True, False}
        for name, value in network.state_dict().items():
            assert torch.equal(value, weights[name])

    def test_estimates_are_those_of_evaluation_mode(self):
        class Dropping(Splitter):
            def forward(self, chunks):
                return super().forward(nn.functional.dropout(chunks, training=self.training))

        mixture, network = noise(2000), Dropping().train()
        np.testing.assert_array_equal(Separator(network)(mixture)["rest"], -2 * mixture)
        assert network.training

    def test_training_mode_comes_back_after_an_error(self):
        network = Broken(RuntimeError("broken")).train()
        network.calls = 1
        with pytest.raises(RuntimeError, match="broken"):
            Separator(network).separate(noise(1000))
        assert network.training

    def test_other_models_are_refused(self, tmp_path):
        with refused("ConvTasNet", "sources"):
            Separator(ConvTasNet(n_src=2, n_repeats=1, n_blocks=1))
        with refused("Linear", "sources"):
            Separator(nn.Linear(1, 1))
        with refused("umx", zoo.DEFAULT):
            Separator("umx")
        with refused(tmp_path / "gone.pth", "No such file"):
            Separator(tmp_path / "gone.pth")

    def test_network_of_more_than_two_channels(self):
        network = Splitter()
        network.in_channels = 5
        with refused("5 channels"):
            Separator(network)


class TestArguments:
    def test_values_out_of_range(self):
        for arguments, words in (
            ({"segment": 0}, ["segment"]),
            ({"segment": -1}, ["segment"]),
            ({"segment": float("nan")}, ["segment"]),
            ({"overlap": 1}, ["overlap", "0 to below 1"]),
            ({"overlap": -0.5}, ["overlap"]),
            ({"segment": 5, "hop": 6}, ["hop", "5", "6"]),
            ({"segment": None, "hop": 1}, ["hop", "segment"]),
            ({"batch_size": 0}, ["batch_size", "0"]),
            ({"batch_size": 1.5}, ["batch_size", "1.5"]),
            ({"precision": "64"}, ["64", "auto, 32, bf16, 16"]),
            ({"shifts": 0}, ["shifts", "0"]),
            ({"shifts": 2}, ["shifts", "Splitter", "filterbank"]),
            ({"device": "gpu"}, ["gpu", "auto, cpu, cuda, mps"]),
            ({"device": "meta"}, ["meta", "cpu"]),
            ({"device": "cuda:99"}, ["cuda:99", "cpu"]),
            ({"device": 1.5}, ["1.5", "cpu"]),
        ):
            with refused(*words):
                Separator(Splitter(), **arguments)

    def test_devices(self):
        assert Separator(Splitter(), device=torch.device("cpu")).device.type == "cpu"
        automatic = Separator(Splitter()).device.type
        if torch.cuda.is_available():
            assert automatic == "cuda"
        elif not torch.backends.mps.is_available():
            assert automatic == "cpu"
            for device in ("cuda", "mps"):
                with refused(device, "--device cpu"):
                    Separator(Splitter(), device=device)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    @pytest.mark.parametrize("precision, level", [("32", 60), ("bf16", 20), ("16", 25)])
    def test_cuda_is_close_to_the_cpu(self, excerpt, precision, level):
        wanted = Separator("small", device="cpu", precision="32").separate(excerpt)
        stems = Separator("small", device="cuda", precision=precision).separate(excerpt)
        for name, stem in stems.items():
            assert decibels(wanted[name], stem) > level

    def test_shifts_average_over_passes(self, tiny):
        mixture = torch.from_numpy(noise(30_000))
        stride = tiny.encoder.filterbank.stride
        with torch.no_grad():
            late = torch.nn.functional.pad(mixture, (stride // 2, 0))
            passes = [tiny(mixture[None])[0], tiny(late[None])[0, ..., stride // 2 :]]
        stems = Separator(tiny, segment=None, shifts=2, precision="32").separate(mixture)
        for expected, *parts in zip(stems.values(), *passes, strict=True):
            torch.testing.assert_close(sum(parts) / 2, expected, rtol=0, atol=1e-6)
        assert not torch.allclose(passes[0], passes[1], atol=1e-4)

    def test_lower_precision_is_close(self, excerpt):
        mixture = excerpt[:, : RATE // 2]  # a CPU takes its time with them
        wanted = Separator("small", precision=32).separate(mixture)
        for precision in ("bf16", 16):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                separator = Separator("small", precision=precision)
            slow = [str(w.message) for w in caught if "compute in bfloat16; 32" in str(w.message)]
            on_cpu = separator.device.type == "cpu"
            assert len(slow) == (precision == "bf16" and on_cpu and not kernels.has_bfloat16())
            stems = separator.separate(mixture)
            for name, stem in stems.items():
                assert np.isfinite(stem).all()
                assert 25 < decibels(wanted[name], stem) < 100  # and it is not the same


class TestSeparate:
    @pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 6), (48000, 3), (96000, 2)])
    def test_rate_length_and_channels_stay(self, tiny, rate, channels):
        mixture = noise(rate // 10 + 7, channels)
        for stem in Separator(tiny).separate(mixture, rate).values():
            assert stem.shape == mixture.shape
            assert stem.dtype == np.float32
            assert stem.any()

    @pytest.mark.parametrize(("rate", "hop"), [(8000, None), (44100, 0.05), (96000, None)])
    def test_any_length(self, tiny, rate, hop):
        separator = Separator(tiny, segment=0.1, hop=hop)
        for frames in (1, 2, 1024, 1025, 4410, 4411):
            mixture = noise(frames, channels=min(frames, 2))
            stems = separator.separate(mixture, rate)
            assert {stem.shape for stem in stems.values()} == {mixture.shape}, frames
            assert all(np.isfinite(stem).all() for stem in stems.values()), frames

    @pytest.mark.parametrize(
        ("dtype", "rate"),
        [(torch.float32, 48000), (torch.float64, RATE), (torch.float16, RATE)],
    )
    def test_tensors_come_back_as_they_are(self, dtype, rate):
        mixture = torch.from_numpy(noise(5000)).to(dtype)
        for given in (mixture, mixture[0], mixture[:, ::2], mixture.T.contiguous().T):
            stems = Separator(Halver()).separate(given, rate)
            assert list(stems) == ["vocals", "rest"]
            for stem, share in zip(stems.values(), (0.25, 0.75), strict=True):
                assert (stem.shape, stem.dtype, stem.device) == (given.shape, dtype, given.device)
                if rate == RATE:
                    torch.testing.assert_close(stem, share * given, rtol=1e-6, atol=1e-7)

    @pytest.mark.parametrize("dtype", ["f4", "f2", ">f8"])
    def test_arrays_come_back_as_they_are(self, dtype):
        mixture = noise(5000).astype(dtype)
        fixed = mixture.copy()
        fixed.setflags(write=False)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for given in (mixture, fixed, mixture[0], mixture[:, ::-1], mixture.T.copy().T):
                before = given.copy()
                stems = Separator(Halver()).separate(given, RATE)
                np.testing.assert_array_equal(given, before)
                for stem, share in zip(stems.values(), (0.25, 0.75), strict=True):
                    assert isinstance(stem, np.ndarray)
                    assert (stem.shape, stem.dtype) == (given.shape, given.dtype)
                    np.testing.assert_allclose(stem, share * given, rtol=1e-3, atol=1e-7)

    def test_a_tensor_with_gradients_is_left_alone(self):
        mixture = torch.randn(2, 1000, requires_grad=True)
        assert not Separator(Halver()).separate(mixture)["rest"].requires_grad

    def test_it_is_the_network_s_own_estimate(self, tiny):
        mixture = torch.from_numpy(noise(30_000))
        with torch.no_grad():
            wanted = tiny(mixture[None])[0]
            mono = tiny(mixture[:1][None])[0, :, 0]
        separator = Separator(tiny, precision="32")
        stems = separator.separate(mixture)
        assert torch.equal(torch.stack(list(stems.values())), wanted)
        single = separator.separate(mixture[0])
        torch.testing.assert_close(torch.stack(list(single.values())), mono, rtol=0, atol=1e-6)

    def test_batches_do_not_matter(self, tiny):
        mixture = noise(40_000)
        for arguments in ({"segment": 0.2}, {"segment": 0.2, "hop": 0.1}):
            arguments["precision"] = "32"
            one = Separator(tiny, batch_size=1, **arguments).separate(mixture)
            three = Separator(tiny, batch_size=3, **arguments).separate(mixture)
            for name in one:
                np.testing.assert_allclose(one[name], three[name], rtol=0, atol=1e-6)

    @pytest.mark.parametrize("rate", [8000, RATE])
    def test_gain_and_silence(self, tiny, rate):
        separator, mixture = Separator(tiny, segment=0.5, precision="32"), noise(rate)
        stems = separator.separate(mixture, rate)
        for gain in (0.1, 10.0):
            for name, louder in separator.separate(gain * mixture, rate).items():
                error = np.linalg.norm(louder / gain - stems[name])
                assert error < 1e-3 * np.linalg.norm(stems[name])
        for stem in separator.separate(0 * mixture, rate).values():
            assert not stem.any()

    def test_gain_and_silence_of_music(self):
        excerpt = AudioFile(stempeg.example_stem_path(), duration=2.0).read()
        separator = Separator("small", precision="32")
        stems = separator.separate(excerpt)
        for name, quieter in separator.separate(0.5 * excerpt).items():
            error = np.linalg.norm(quieter / 0.5 - stems[name])
            assert error < 1e-3 * np.linalg.norm(stems[name])
        for stem in separator.separate(0 * excerpt, 48000).values():
            assert not stem.any()

    def test_quiet_music_loses_what_the_documentation_says(self, excerpt):
        separator = Separator("small", precision="32")
        stems = separator.separate(excerpt)
        for gain, least in ((0.1, 73), (0.01, 34), (0.001, 11)):
            quiet = separator.separate(np.float32(gain) * excerpt)
            found = min(decibels(stem, quiet[name] / gain) for name, stem in stems.items())
            assert least <= found < least + 5, gain
        page = (ROOT / "docs" / "separate.md").read_text(encoding="utf-8")
        assert re.search(
            r"to 73 dB .*-20 dB, to 34 dB at -40 dB, .*to 11 dB at -60", page, re.DOTALL
        )

    def test_stems_are_not_scaled_to_the_mixture(self):
        mixture = noise(1000)
        stems = Separator(Splitter()).separate(mixture)
        np.testing.assert_array_equal(stems["vocals"], 3 * mixture)

    @pytest.mark.parametrize(("rate", "hop"), [(8000, None), (44100, 0.3), (44101, None)])
    def test_progress_grows_up_to_the_whole(self, rate, hop):
        frames, calls = 3 * rate + 1, []
        separator = Separator(Splitter(), segment=0.5, hop=hop)
        separator.separate(noise(frames), rate, lambda *numbers: calls.append(numbers))
        done = [numbers[0] for numbers in calls]
        assert {numbers[1] for numbers in calls} == {frames}
        assert len(done) >= 5
        assert done == sorted(set(done))
        assert done[0] > 0
        assert done[-1] == frames

    def test_what_is_no_recording(self):
        for mixture, words in (
            (np.zeros((2, 1000), np.int16), ["int16", "full scale"]),
            (torch.zeros(1000, dtype=torch.int32), ["int32", "full scale"]),
            (np.zeros((2, 1000), bool), ["bool"]),
            (torch.zeros(1, 2, 1000), ["(channels, time)", "(1, 2, 1000)"]),
            (np.array(0.5), ["(channels, time)"]),
            (np.zeros((2, 0), np.float32), ["no samples"]),
            (np.zeros((0, 1000), np.float32), ["no samples"]),
            (np.full((2, 1000), np.nan), ["NaN"]),
            (torch.full((1000,), torch.inf), ["infinite"]),
            (np.array(["a", "b"]), ["tensor or an array"]),
            (None, ["tensor or an array"]),
        ):
            with refused(*words):
                Separator(Splitter()).separate(mixture)

    def test_sample_rate_that_is_none(self):
        for rate in (0, -44100, 44100.5, float("nan"), float("inf")):
            with refused("sample_rate", "hertz"):
                Separator(Splitter()).separate(noise(1000), rate)
        assert Separator(Splitter()).separate(noise(1000), 44100.0)["rest"].shape == (2, 1000)

    def test_estimates_that_are_no_numbers(self):
        with refused("estimates", "NaN", "precision"):
            Separator(Broken(torch.nan), segment=0.1).separate(noise(20_000))


class TestFiles:
    @pytest.mark.parametrize("channels, rate", [(1, 48000), (2, RATE), (3, 22050)])
    def test_file_and_array_give_the_same(self, tiny, tmp_path, channels, rate):
        samples = noise(rate, channels)
        path = write(tmp_path / "song.wav", samples, rate)
        separator = Separator(tiny, segment=0.3)
        arrays = separator.separate(samples, rate)
        paths = separator.separate_file(path, tmp_path / "out", subtype="FLOAT")
        assert list(paths) == ["vocals", "drums"]
        for name, file in paths.items():
            assert file == tmp_path / "out" / "song" / f"{name}.wav"
            stem = AudioFile(file)
            assert (stem.sample_rate, stem.channels, stem.subtype) == (rate, channels, "FLOAT")
            np.testing.assert_allclose(stem.read(), arrays[name], rtol=0, atol=1e-6)

    def test_a_part_of_the_file(self, tmp_path):
        samples = noise(3 * RATE)
        path = write(tmp_path / "song.wav", samples)
        paths = Separator(Halver()).separate_file(
            path, tmp_path / "out", stems="rest", start=1.25, duration=0.5, subtype="FLOAT"
        )
        first = round(1.25 * RATE)
        part = samples[:, first : first + RATE // 2]
        np.testing.assert_allclose(AudioFile(paths["rest"]).read(), 0.75 * part, atol=1e-7)

    def test_m4a_and_mp3_without_a_length(self, tmp_path):
        source = write(tmp_path / "song.wav", noise(RATE))
        for name, options in (("a.m4a", []), ("b.mp3", ["-write_xing", "0"]), ("c.webm", [])):
            path = tmp_path / name
            subprocess.run(["ffmpeg", "-v", "error", "-i", source, *options, path], check=True)
            told = []
            paths = Separator(Splitter()).separate_file(
                path, tmp_path, subtype="FLOAT", progress=lambda *numbers, t=told: t.append(numbers)
            )
            mixture = AudioFile(path).read()
            assert told[-1] == (mixture.shape[1],) * 2
            if name != "c.webm":  # Opus has another rate
                stem = AudioFile(paths["rest"]).read()
                np.testing.assert_allclose(stem, -2 * mixture, rtol=0, atol=1e-6)
        assert open_files(tmp_path) == []

    @pytest.mark.parametrize(
        "source, format, subtype, result",
        [
            ("PCM_16", "wav", None, "PCM_16"),
            ("PCM_24", "wav", None, "PCM_24"),
            ("FLOAT", "wav", None, "FLOAT"),
            ("FLOAT", "flac", None, "PCM_24"),
            ("PCM_16", "flac", "PCM_24", "PCM_24"),
            ("PCM_24", "wav", "PCM_16", "PCM_16"),
            ("PCM_16", "mp3", None, "MPEG_LAYER_III"),
        ],
    )
    def test_depth(self, tmp_path, source, format, subtype, result):
        path = write(tmp_path / "song.wav", noise(4000), subtype=source)
        paths = Separator(Halver()).separate_file(path, tmp_path, format=format, subtype=subtype)
        for file in paths.values():
            assert file.suffix == f".{format}"
            assert AudioFile(file).subtype == result
            assert AudioFile(file).frames == 4000

    def test_one_gain_for_all_stems(self, tmp_path):
        samples = noise(2 * RATE, scale=0.2)  # vocals reach about 2.5
        path = write(tmp_path / "song.wav", samples)
        gain = 1 / (3 * np.abs(samples).max())
        assert gain < 0.6
        for subtype, tolerance in (("PCM_16", 2**-15), ("PCM_24", 2**-22), ("FLOAT", 1e-6)):
            paths = Separator(Splitter(), segment=0.5).separate_file(
                path, tmp_path / subtype, subtype=subtype, clip="rescale"
            )
            vocals, rest = (AudioFile(file).read() for file in paths.values())
            assert np.abs(vocals).max() <= 1
            np.testing.assert_allclose(vocals, gain * 3 * samples, rtol=0, atol=tolerance)
            np.testing.assert_allclose(rest, gain * -2 * samples, rtol=0, atol=tolerance)
            np.testing.assert_allclose(vocals + rest, gain * samples, rtol=0, atol=2 * tolerance)

    def test_stems_that_fit_are_not_scaled(self, tmp_path):
        samples = noise(4000)
        path = write(tmp_path / "song.wav", samples)
        paths = Separator(Halver()).separate_file(path, tmp_path, clip="rescale")
        stem = AudioFile(paths["vocals"]).read()
        np.testing.assert_allclose(stem, 0.25 * samples, rtol=0, atol=2**-16)

    def test_clamp_none_and_float(self, tmp_path):
        samples = noise(4000, scale=0.2)
        path, separator = write(tmp_path / "song.wav", samples), Separator(Splitter())
        cut = np.clip(3 * samples, -1, 1)
        for clip, subtype, wanted in (
            ("clamp", "PCM_16", cut),
            ("clamp", "FLOAT", cut),
            ("none", "PCM_16", cut),  # an integer cannot hold more
            ("none", "FLOAT", 3 * samples),
            (None, "FLOAT", 3 * samples),
        ):
            paths = separator.separate_file(
                path, tmp_path, clip=clip, subtype=subtype, overwrite=True
            )
            stem = AudioFile(paths["vocals"]).read()
            np.testing.assert_allclose(stem, wanted, rtol=0, atol=2**-15)

    @pytest.mark.parametrize("channels, rate", [(1, 48000), (2, RATE), (3, 8000)])
    def test_two_stems_sum_up(self, tiny, tmp_path, channels, rate):
        samples = noise(rate // 2 + 1, channels)
        path = write(tmp_path / "song.wav", samples, rate)
        separator = Separator(tiny, segment=0.2)
        for subtype, tolerance in (("PCM_16", 2**-15), ("PCM_24", 2**-22), ("FLOAT", 1e-7)):
            paths = separator.separate_file(
                path, tmp_path / subtype, two_stems="drums", subtype=subtype
            )
            assert list(paths) == ["drums", "no_drums"]
            drums, rest = (AudioFile(file).read() for file in paths.values())
            assert drums.any()
            np.testing.assert_allclose(drums + rest, samples, rtol=0, atol=tolerance)

    def test_two_stems_of_a_part_of_an_m4a(self, tmp_path):
        source = write(tmp_path / "song.wav", noise(2 * RATE))
        path = tmp_path / "song.m4a"
        subprocess.run(["ffmpeg", "-v", "error", "-i", source, path], check=True)
        paths = Separator(Halver()).separate_file(
            path, tmp_path, two_stems="vocals", start=0.5, duration=0.7, subtype="FLOAT"
        )
        vocals, rest = (AudioFile(file).read() for file in paths.values())
        wanted = AudioFile(path, 0.5, 0.7).read()
        np.testing.assert_allclose(vocals + rest, wanted, rtol=0, atol=1e-6)
        np.testing.assert_allclose(vocals, 0.25 * wanted, rtol=0, atol=1e-6)

    def test_choice_of_stems(self, tmp_path):
        path, network = write(tmp_path / "song.wav", noise(4000)), Splitter()
        separator = Separator(network)
        assert list(separator.separate_file(path, tmp_path, stems=["rest"])) == ["rest"]
        assert found_below(tmp_path / "song") == ["rest.wav"]
        calls = network.calls
        for choice, words in (
            ({"stems": ["vocals", "piano"]}, ["piano", "vocals, rest"]),
            ({"stems": []}, ["no stem"]),
            ({"two_stems": "piano"}, ["piano", "vocals, rest"]),
            ({"two_stems": ""}, ["unknown stem"]),
            ({"stems": ["rest"], "two_stems": "vocals"}, ["not both"]),
        ):
            with refused(*words):
                separator.separate_file(path, tmp_path / "new", **choice)
        assert network.calls == calls

    def test_sources_that_would_leave_the_folder(self, tmp_path):
        network = Splitter()
        network.sources = ("../../evil", "rest")
        path = write(tmp_path / "song.wav", noise(4000))
        with refused("../../evil"):
            Separator(network).separate_file(path, tmp_path / "out")
        assert found_below(tmp_path) == ["song.wav"]

    def test_track_names(self, tmp_path):
        separator = Separator(Halver())
        for name, track in (
            ("a.stem.mp4", "a"),
            ("b.c.wav", "b.c"),
            (".wav", ".wav"),
            ("...wav", "...wav"),
            ("ünï côde.wav", "ünï côde"),
            (os.fsdecode(b"caf\xe9.wav"), os.fsdecode(b"caf\xe9")),
        ):
            source = write(tmp_path / "x.wav", noise(100))
            path = source.rename(tmp_path / name)
            file = separator.separate_file(path, tmp_path / "out")["rest"]
            assert file == tmp_path / "out" / track / "rest.wav"
            assert file.is_file()
        file = separator.separate_file(path, tmp_path / "out", track="named")["rest"]
        assert file == tmp_path / "out" / "named" / "rest.wav"


class TestBeforeTheWork:
    """What can be known to fail fails before the network is run, and changes nothing."""

    @pytest.fixture
    def network(self):
        return Splitter()

    @pytest.fixture
    def refuses(self, network, tmp_path):
        @contextmanager
        def check(*words):
            before = found_below(tmp_path)
            with refused(*words):
                yield
            assert network.calls == 0
            assert found_below(tmp_path) == before

        return check

    def test_existing_stems(self, network, refuses, tmp_path):
        path = write(tmp_path / "song.wav", noise(4000))
        (tmp_path / "song").mkdir()
        (tmp_path / "song" / "rest.wav").write_text("precious")
        with refuses(tmp_path / "song" / "rest.wav", "exists", "--overwrite"):
            Separator(network).separate_file(path, tmp_path)
        assert (tmp_path / "song" / "rest.wav").read_text() == "precious"
        Separator(network).separate_file(path, tmp_path, overwrite=True)
        assert AudioFile(tmp_path / "song" / "rest.wav").frames == 4000
        assert found_below(tmp_path / "song") == ["rest.wav", "vocals.wav"]

    def test_output_that_is_no_folder(self, network, refuses, tmp_path):
        path = write(tmp_path / "song.wav", noise(4000))
        for directory in (path, path / "below"):
            with refuses(path, "not a folder"):
                Separator(network).separate_file(path, directory)
        (tmp_path / "taken").write_text("a file in the track's place")
        with refuses(tmp_path / "taken", "not a folder"):
            Separator(network).separate_file(path, tmp_path, track="taken")
        (tmp_path / "song" / "rest.wav").mkdir(parents=True)
        with refuses("rest.wav", "a folder is in the file's place"):
            Separator(network).separate_file(path, tmp_path, overwrite=True)
        with refuses("x" * 300):
            Separator(network).separate_file(path, tmp_path / ("x" * 300))

    def test_output_that_may_not_be_written(self, network, refuses, tmp_path):
        path = write(tmp_path / "song.wav", noise(4000))
        (tmp_path / "locked").mkdir()
        (tmp_path / "locked").chmod(0o500)
        if os.access(tmp_path / "locked", os.W_OK):
            pytest.skip("root may write everywhere")
        with refuses("locked"):
            Separator(network).separate_file(path, tmp_path / "locked")

    def test_formats_that_do_not_fit(self, network, refuses, tmp_path):
        separator = Separator(network)
        path = write(tmp_path / "stereo.wav", noise(4000))
        for arguments, words in (
            ({"format": "aac"}, ["aac", "wav, flac, mp3"]),
            ({"format": "mp3", "subtype": "FLOAT"}, ["mp3", "FLOAT"]),
            ({"format": "flac", "subtype": "FLOAT"}, ["flac", "FLOAT"]),
            ({"subtype": "PCM_8"}, ["PCM_8", "PCM_16"]),
            ({"clip": "wrap"}, ["wrap", "rescale, clamp, none"]),
            ({"start": -1}, [path, "start"]),
            ({"start": float("nan")}, [path, "start"]),
            ({"start": 1.0}, [path, "beyond the end"]),
            ({"duration": 0}, [path, "duration"]),
            ({"duration": float("nan")}, [path, "duration"]),
        ):
            with refuses(*words):
                separator.separate_file(path, tmp_path / "out", **arguments)
        three = write(tmp_path / "three.wav", noise(4000, channels=3))
        with refuses("mp3", "3", "wav"):
            separator.separate_file(three, tmp_path / "out", format="mp3")
        fast = write(tmp_path / "fast.wav", noise(4000), rate=96000)
        with refuses("mp3", "96000 Hz", "wav"):
            separator.separate_file(fast, tmp_path / "out", format="mp3")

    def test_inputs_are_never_replaced(self, network, refuses, tmp_path):
        (tmp_path / "vocals").mkdir()
        path = write(tmp_path / "vocals" / "vocals.wav", noise(4000))
        content = path.read_bytes()
        with refuses(path, "input"):
            Separator(network).separate_file(path, tmp_path, overwrite=True)
        other = write(tmp_path / "vocals.wav", noise(4000, seed=1))
        with refuses(path, "input"):
            Separator(network).separate_file(other, tmp_path, overwrite=True, keep=[path])
        assert path.read_bytes() == content

    def test_bad_inputs(self, network, refuses, tmp_path):
        text = tmp_path / "text.wav"
        text.write_text("The quick brown fox jumps over the lazy dog.\n" * 100)
        silent = write(tmp_path / "silent.wav", np.zeros((2, 0)))
        whole = write(tmp_path / "whole.wav", noise(4000)).read_bytes()
        (tmp_path / "cut.wav").write_bytes(whole[:-1000])
        for path, word in (
            (tmp_path / "gone.wav", "No such file"),
            (tmp_path, "folder"),
            (text, "audio"),
            (silent, "no samples"),
            (tmp_path / "cut.wav", "cut short"),
        ):
            with refuses(path, word):
                Separator(network).separate_file(path, tmp_path / "out")


class TestInTheMidst:
    """What fails in the midst leaves nothing behind."""

    @pytest.fixture(scope="class")
    @classmethod
    def encoded(cls, tmp_path_factory):
        folder = tmp_path_factory.mktemp("encoded")
        source, path = write(folder / "song.wav", noise(20 * RATE)), folder / "song.m4a"
        subprocess.run(["ffmpeg", "-v", "error", "-i", source, path], check=True)
        return path

    @pytest.fixture
    def song(self, encoded, tmp_path):
        return Path(shutil.copy(encoded, tmp_path))

    @pytest.mark.parametrize(
        ("clip", "error"), [("rescale", ZeroDivisionError()), ("none", KeyboardInterrupt())]
    )
    def test_network_that_fails(self, song, tmp_path, clip, error):
        separator = Separator(Broken(error), segment=1.0)
        with pytest.raises(type(error)) as caught:
            separator.separate_file(song, tmp_path / "out", two_stems="vocals", clip=clip)
        # With the error, and what it refers to, still at hand.
        assert caught.tb is not None
        assert open_files(tmp_path) == []
        assert found_below(tmp_path) == ["song.m4a"]

    def test_estimates_that_are_no_numbers(self, song, tmp_path):
        with refused("NaN"):
            Separator(Broken(torch.inf), segment=1.0).separate_file(song, tmp_path / "out")
        assert open_files(tmp_path) == []
        assert found_below(tmp_path) == ["song.m4a"]

    def test_callback_that_fails(self, song, tmp_path):
        def progress(done, total):
            if sys.platform.startswith("linux"):
                assert "song.m4a" in open_files(tmp_path)
            raise LookupError

        with pytest.raises(LookupError):
            Separator(Splitter(), segment=1.0).separate_file(
                song, tmp_path / "out", progress=progress
            )
        assert open_files(tmp_path) == []
        assert found_below(tmp_path) == ["song.m4a"]

    def test_input_that_turns_bad(self, tmp_path):
        samples = noise(5 * RATE)
        samples[0, 4 * RATE] = np.nan
        write(tmp_path / "nan.wav", samples, subtype="FLOAT")
        whole = write(tmp_path / "x.flac", noise(5 * RATE)).read_bytes()
        (tmp_path / "x.flac").write_bytes(whole[: len(whole) // 2])
        network = Splitter()
        for name, words in (("nan.wav", ["NaN", "4.000 s"]), ("x.flac", ["cut short"])):
            with refused(tmp_path / name, *words):
                Separator(network, segment=1.0).separate_file(tmp_path / name, tmp_path / "out")
        assert network.calls > 0
        assert found_below(tmp_path) == ["nan.wav", "x.flac"]

    @pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of file sizes")
    @pytest.mark.parametrize(
        ("format", "clip"), [("wav", "rescale"), ("flac", "clamp"), ("mp3", "clamp")]
    )
    def test_no_space(self, tmp_path, format, clip):
        import resource

        path = write(tmp_path / "song.wav", noise(3 * RATE))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        try:
            with refused(tmp_path / "out", "cannot be written", "free space"):
                Separator(Halver(), segment=1.0).separate_file(
                    path, tmp_path / "out", format=format, clip=clip
                )
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert found_below(tmp_path) == ["song.wav"]

    def test_old_stems_outlive_a_failure(self, song, tmp_path):
        old = tmp_path / "out" / "song" / "vocals.wav"
        old.parent.mkdir(parents=True)
        old.write_text("precious")
        with pytest.raises(ZeroDivisionError):
            Separator(Broken(ZeroDivisionError()), segment=1.0).separate_file(
                song, tmp_path / "out", overwrite=True
            )
        assert old.read_text() == "precious"
        assert found_below(tmp_path / "out") == ["song", "song/vocals.wav"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    minutes = 6
    path = tmp_path / "long.wav"
    part = noise(10 * RATE).T
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as sound:
        for _ in range(minutes * 6):
            sound.write(part)
    sizes = []

    def progress(done, total):
        sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6)

    Separator(Halver()).separate_file(path, tmp_path, two_stems="vocals", progress=progress)
    # All of it would be 127 MB, and its two stems twice as much.
    assert max(sizes) - sizes[1] < 100


def test_separator_is_public():
    assert asteroid_bsrnn.Separator is Separator


OUT_OF_MEMORY = """
import json, os, resource, warnings
from pathlib import Path
import torch
from asteroid_bsrnn import Separator, presets

torch.set_num_threads(1)
torch.manual_seed(0)
network = presets.build("obsrnn", "vocals", feature_dim=32, n_repeats=1)
mixture = torch.randn(2, 12 * 44100)
separator = Separator(network, device="cpu", precision="32", batch_size=2)
separator.separate(mixture[:, :44100])


def held(which):
    "Address space in MiB: VmSize now, VmPeak at most so far."
    return int(Path("/proc/self/status").read_text().split(which + ":")[1].split()[0]) / 1024


def separate(mebibytes):
    "Separate with so much more memory than the process holds now."
    before = held("VmSize")
    limit = int((before + mebibytes) * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            stems = separator.separate(mixture)
    except RuntimeError:
        stems = None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    found = {"done": stems is not None, "segment": separator.settings["segment"],
             "batch_size": separator.batch_size, "warnings": [str(w.message) for w in caught]}
    if found["done"]:
        found["taken"] = held("VmPeak") - before
    if found["done"] and found["segment"] < 10:
        wanted = Separator(network, found["segment"], device="cpu", precision="32")
        wanted = wanted.separate(mixture)
        found["error"] = float((stems["vocals"] - wanted["vocals"]).abs().max())
    return found


def attempt(mebibytes):
    "Call `separate` in a fork: what an attempt leaves behind would change the next one."
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(there, "w") as file:
            json.dump(separate(mebibytes), file)
        os._exit(0)
    os.close(there)
    with os.fdopen(here) as file:
        found = json.load(file)
    os.waitpid(child, 0)
    return found


nothing_fits, whole = attempt(8), attempt(10_000)
# Whole chunks take so much. With a little less, chunks shrink; an attempt may yet fail after its
# first chunk.
for percent in range(97, 30, -3):
    found = attempt(whole["taken"] * percent / 100)
    if found["done"] and found["segment"] < 10:
        break
print(json.dumps([nothing_fits, found]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space")
def test_too_little_memory():
    command = [python(), "-c", OUT_OF_MEMORY]
    nothing_fits, found = json.loads(subprocess.check_output(command, text=True, cwd=ROOT))
    assert nothing_fits == {"done": False, "segment": 10.0, "batch_size": 2, "warnings": []}
    assert found["done"] and found["batch_size"] == 1
    assert 1 <= found["segment"] < 10
    assert found["error"] < 1e-6
    (warning,) = found["warnings"]
    assert f"chunks of {found['segment']:.4g} s" in warning


class TestTransposed:
    """A (time, channels) array would be separated as thousands of channels, for days."""

    def test_shapes_that_are_refused(self):
        network = Splitter()
        separator = Separator(network)
        for shape in ((2000, 2), (44_100, 1), (65, 1000), (5, 3), (65, 65), (2, 1)):
            for mixture in (np.zeros(shape, np.float32), torch.zeros(shape)):
                with refused(shape, "transpose: (channels, time)"):
                    separator.separate(mixture)
        assert network.calls == 0

    def test_shapes_that_are_recordings(self):
        for shape in ((1, 1), (1,), (2, 2), (64, 64), (6, 7)):
            stem = Separator(Splitter()).separate(np.ones(shape, np.float32))["rest"]
            np.testing.assert_array_equal(stem, np.full(shape, -2))

    def test_a_file_may_have_one_sample(self, tiny, tmp_path):
        # Its header tells channels from samples. At 96 kHz, two samples become one.
        for channels, frames, rate in (
            (2, 1, RATE), (2, 2, RATE), (2, 3, RATE), (1, 1, RATE), (3, 1, RATE), (2, 2, 96_000),
            (2, 1, 8000),
        ):  # fmt: skip
            name = f"{channels}_{frames}_{rate}.wav"
            path = write(tmp_path / name, noise(frames, channels), rate)
            paths = Separator(tiny).separate_file(path, tmp_path / "out", subtype="FLOAT")
            assert AudioFile(paths["vocals"]).read().shape == (channels, frames)
            tiny.file_separate(path, tmp_path / "asteroid", resample=True)
            stem = tmp_path / "asteroid" / f"{path.stem}_est1.wav"
            assert AudioFile(stem).read().shape == (channels, frames)

    @pytest.mark.parametrize("model_channels", [None, 1, 2])
    @pytest.mark.parametrize("channels", [1, 2, 3])
    def test_the_last_chunk_may_be_one_sample(self, model_channels, channels):
        network = tiny_network(in_channels=model_channels).eval()
        for options in ({"segment": 0.1}, {"segment": 0.1, "hop": 0.05}, {"segment": None}):
            separator = Separator(network, batch_size=2, **options)
            lengths = (1, 2, 3, 2 * 4410 + 1) if "hop" in options else (1, 2, 3, 2 * 4851 + 1)
            for length in lengths if options["segment"] else lengths[:3]:
                blocks = [noise(length, channels)]
                stems = np.concatenate(list(separator._estimates(blocks, None, length, RATE)), 2)
                assert stems.shape == (len(separator.sources), channels, length)
                assert np.isfinite(stems).all()


class Recordings(torch.utils.data.Dataset):
    """Stems that a worker separates."""

    def __init__(self, separator, mixtures):
        self.separator, self.mixtures = separator, mixtures

    def __len__(self):
        return len(self.mixtures)

    def __getitem__(self, index):
        return self.separator.separate(self.mixtures[index])["vocals"]


class TestCopies:
    """A separator is copied, moved and changed as any other object."""

    @pytest.fixture
    def separator(self):
        return Separator(tiny_network().eval(), segment=0.3, stems="vocals", precision="32")

    def test_copies_give_the_same_stems(self, separator):
        mixture = noise(20_000)
        wanted = separator.separate(mixture)["vocals"]
        file = io.BytesIO()
        torch.save(separator, file)
        file.seek(0)
        copies = {
            "pickle": pickle.loads(pickle.dumps(separator)),
            "torch": torch.load(file, weights_only=False),
            "deepcopy": copy.deepcopy(separator),
        }
        for way, other in copies.items():
            assert other.settings == separator.settings, way
            np.testing.assert_array_equal(other.separate(mixture)["vocals"], wanted, way)

    def test_a_deep_copy_has_its_own_network(self, separator):
        mixture = noise(20_000)
        wanted = separator.separate(mixture)["vocals"]
        other = copy.deepcopy(separator)
        for parameter in other.model.parameters():
            parameter.data.zero_()
        assert not other.separate(mixture)["vocals"].any()
        np.testing.assert_array_equal(separator.separate(mixture)["vocals"], wanted)

    def test_the_network_can_be_exchanged(self, separator, tmp_path):
        mixture = noise(20_000)
        other = tiny_network(sample_rate=22_050, n_filters=1024, stride=256).eval()
        separator.model = other
        assert separator.model is other and separator.sample_rate == 22_050
        wanted = Separator(other, segment=0.3, precision="32").separate(mixture)["vocals"]
        np.testing.assert_array_equal(separator.separate(mixture)["vocals"], wanted)
        separator.model = checkpoint.save_model(tiny_network(), tmp_path / "tiny.pth")
        assert separator.sample_rate == RATE
        with refused("unknown stem 'vocals'", "bass"):
            separator.model = BSRNN(sources=["bass"], feature_dim=8, n_repeats=1)
        with refused("Linear", "sources"):
            separator.model = nn.Linear(1, 1)
        assert separator.sample_rate == RATE, "a refused network changes nothing"

    def test_it_moves_to_a_device(self, separator):
        mixture = noise(20_000)
        wanted = separator.separate(mixture)["vocals"]
        assert separator.to("cpu") is separator
        np.testing.assert_array_equal(separator.separate(mixture)["vocals"], wanted)
        with refused("gpu", "auto, cpu"):
            separator.to("gpu")
        separator.model.to("meta")
        assert separator.device.type == "meta", "the device is where the network is"

    def test_workers(self, separator):
        mixtures = [noise(8000, seed=seed) for seed in range(3)]
        wanted = [separator.separate(mixture)["vocals"] for mixture in mixtures]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            pooled = [stems["vocals"] for stems in pool.map(separator.separate, mixtures)]
        loader = torch.utils.data.DataLoader(
            Recordings(separator, mixtures), batch_size=None, num_workers=1, timeout=120
        )
        for expected, *results in zip(wanted, pooled, loader, strict=True):
            for result in results:
                np.testing.assert_array_equal(result, expected)


class TestSkipExisting:
    """A batch that was interrupted goes on: whole stems are left, and missing ones are written."""

    @pytest.fixture
    def network(self):
        return Splitter()

    @pytest.fixture
    def again(self, network, tmp_path):
        path = write(tmp_path / "song.wav", noise(RATE // 2))
        separator = Separator(network)

        def run(**options):
            return separator.separate_file(path, tmp_path, skip_existing=True, **options)

        return run

    def test_whole_stems_are_left(self, again, network):
        paths = again()
        before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths.values()}
        calls = network.calls
        for options in ({}, {"stems": "rest"}, {"overwrite": True}):
            again(**options)
        assert network.calls == calls
        for path, state in before.items():
            assert (path.stat().st_mtime_ns, path.read_bytes()) == state

    def test_missing_stems_are_written(self, again):
        paths = again()
        content = paths["rest"].read_bytes()
        paths["rest"].unlink()
        modified = paths["vocals"].stat().st_mtime_ns
        assert again() == paths
        assert paths["rest"].read_bytes() == content
        assert paths["vocals"].stat().st_mtime_ns == modified

    def test_incomplete_stems_are_not_taken_for_whole(self, again):
        paths = again()
        whole = paths["rest"].read_bytes()
        for content in (whole[: len(whole) // 2], b"", b"no audio"):
            paths["rest"].write_bytes(content)
            with refused(paths["rest"], "not a whole stem", "--overwrite"):
                again()
            assert paths["rest"].read_bytes() == content
        again(overwrite=True)
        assert paths["rest"].read_bytes() == whole

    def test_stems_of_another_part_are_not_taken_for_whole(self, again):
        paths = again(duration=0.25)
        with refused(paths["vocals"], "not a whole stem"):
            again()
