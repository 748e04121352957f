"""Exported networks compute what PyTorch computes, in ONNX Runtime and after `torch.export`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asteroid_bsrnn import BSRNN, PerSourceSeparator, Separator, cli, peers, presets, zoo
from asteroid_bsrnn.audio import AudioFile
from asteroid_bsrnn.errors import UserError
from asteroid_bsrnn.export import Masker, _facts, _module, export
from asteroid_bsrnn.models import Ensemble
from asteroid_bsrnn.weights import checkpoint

from .sounds import decibels, noise, refused, write

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "separate_onnx.py"
PAGE = ROOT / "docs" / "export.md"
BANDS = [(6, 2756.25)]  # with the rest two widths; every width takes seconds
TINY = {"bands": BANDS, "feature_dim": 8, "n_repeats": 1, "n_filters": 512, "stride": 128}


def load(path):
    """Return an exported file as a function of the mixture. A .pt2 file takes seconds to load."""
    if path.suffix == ".pt2":
        return torch.no_grad()(torch.export.load(path).module())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda mixture: torch.from_numpy(session.run(None, {"mixture": mixture.numpy()})[0])


def check(model, path, shapes, bound=1e-4):
    """Compare an exported masker with PyTorch at several sizes."""
    generator, run = torch.Generator().manual_seed(1), load(path)
    for batch, channels, frames in shapes:
        n_bins = model.encoder.filterbank.cutoff
        mixture = torch.randn(batch, channels, frames, n_bins, 2, generator=generator)
        with torch.no_grad():
            expected = Masker(model)(mixture)
        found = run(mixture)
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < bound * max(1, expected.abs().max())


def everything():
    """A network with LSTMs, TAC, attention and a residual source."""
    torch.manual_seed(0)
    blocks = {"stereo": "tac", "attention_heads": 2, "last_source_as_residual": True}
    return BSRNN(sources=["vocals", "other"], **TINY, **blocks).eval()


def per_source():
    """A separator of a causal network with GRUs in two groups, and one of convolutions."""
    torch.manual_seed(0)
    confs = [
        {"model_name": kind, "model_args": {"sources": [source], **TINY, **more}}
        for kind, source, more in [
            ("BSRNN", "vocals", {"time_layer": "gru", "feature_groups": 2, "causal": True}),
            ("BSCNN", "bass", {}),
        ]
    ]
    return PerSourceSeparator(networks=confs).eval()


@pytest.mark.parametrize(
    ("make", "suffix"),
    [
        (everything, "onnx"),
        (everything, "pt2"),
        pytest.param(per_source, "onnx", marks=pytest.mark.slow),
        pytest.param(per_source, "pt2", marks=pytest.mark.slow),
    ],
)
def test_maskers_of_any_size(tmp_path, make, suffix):
    model = make()
    exported = export(model, tmp_path / f"model.{suffix}")
    assert exported.error < 1e-5
    check(model, exported.path, [(1, 2, 40), (2, 1, 9), (1, 1, 1), (1, 3, 12)])
    assert next(model.parameters()).requires_grad, "it is not changed"


@pytest.mark.slow
@pytest.mark.parametrize("name", presets.names())
def test_every_preset(tmp_path, name):
    torch.manual_seed(0)
    model = presets.build(name, None if presets.is_simo(name) else "vocals").eval()
    exported = export(model, tmp_path / "model.onnx")
    check(model, exported.path, [(2, 2, 5), (1, 2, 24)])


class TestShippedWeights:
    @pytest.fixture(scope="class")
    @classmethod
    def exported(cls, tmp_path_factory):
        """The weights in the package as ONNX, by the command."""
        return tmp_path_factory.mktemp("export") / "small.onnx"

    def test_the_command(self, exported, capsys):
        assert cli.main(["export", "small", "-o", str(exported)]) == 0
        out = capsys.readouterr().out
        size = exported.stat().st_size / 1e6
        assert f"masker, ONNX, opset 18, {size:.1f} MB" in out
        assert "(batch, 2, frames, 2049, 2) -> (batch, 4, 2, frames, 2049, 2)" in out
        assert float(re.search(r"PyTorch: (\S+)", out).group(1)) < 1e-4
        check(zoo.load("small"), exported, [(1, 2, 20), (3, 2, 2)])
        assert cli.main(["export", "small", "-o", str(exported)]) == 2
        assert "use --overwrite" in capsys.readouterr().err

    @pytest.mark.parametrize("length", [1, 2, round(11.5 * 44100)])
    def test_the_example_without_torch_separates_as_separator_does(
        self, exported, tmp_path, length
    ):
        song = write(tmp_path / "song.wav", noise(length))
        script = "import sys, runpy; sys.modules['torch'] = None; sys.argv = sys.argv[1:];"
        script += "runpy.run_path(sys.argv[0], run_name='__main__')"
        command = [sys.executable, "-c", script, EXAMPLE, exported, song, tmp_path / "stems"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        separator = Separator("small", device="cpu", precision="32")
        paths = separator.separate_file(song, tmp_path, subtype="FLOAT")
        expected = {source: AudioFile(path).read() for source, path in paths.items()}
        assert len(expected) == 4
        for source, stem in expected.items():
            found, _ = soundfile.read(tmp_path / "stems" / f"{source}.wav", always_2d=True)
            assert found.T.shape == stem.shape == (2, length)
            assert decibels(stem, found.T) > 50, source

    @pytest.mark.slow
    def test_int8_is_smaller_and_close(self, tmp_path):
        model = zoo.load("small")
        whole = export(model, tmp_path / "whole.onnx")
        small = export(model, tmp_path / "int8.onnx", int8=True)
        assert small.path.stat().st_size < 0.8 * whole.path.stat().st_size
        assert small.error < 0.1
        facts = onnxruntime.InferenceSession(str(small.path)).get_modelmeta().custom_metadata_map
        assert json.loads(facts["sources"]) == list(model.sources)


def two_sources():
    """A network of two sources, whose blocks are those of the masker."""
    torch.manual_seed(0)
    return BSRNN(sources=["vocals", "other"], **TINY).eval()


def test_transforms_of_waveform_models_are_those_of_the_network():
    """The bag below exports such models; this compares one that is alone."""
    model, mixture = two_sources(), torch.randn(2, 2, 4410)
    facts = _facts(model, 0.1)
    assert facts["samples"] == 4410
    with torch.no_grad():
        found, expected = _module(model, facts)(mixture), model(mixture)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.slow  # the bag below exports such models
@pytest.mark.parametrize("suffix", ["pt2", "onnx"])
def test_waveform_models_of_a_fixed_length(tmp_path, suffix):
    model = two_sources()
    path = tmp_path / f"wave.{suffix}"
    exported = export(model, path, seconds=0.1)
    assert exported.facts["samples"] == 4410 and exported.error < 1e-5
    mixture = torch.randn(2, 2, 4410)
    with torch.no_grad():
        expected = model(mixture)
    torch.testing.assert_close(load(path)(mixture), expected, atol=1e-4, rtol=0)


def test_a_bag_is_exported_from_waveform_to_waveforms(tmp_path, capsys):
    """Two models of different windows; the second one hears what the first one leaves."""
    torch.manual_seed(0)
    networks = {
        "vocals": BSRNN(sources=["vocals"], **TINY),
        "other": BSRNN(sources=["drums", "other"], **{**TINY, "n_filters": 1024}, stereo="naive"),
    }
    for name, network in networks.items():
        checkpoint.save_model(network, tmp_path / f"{name}.pth")
    bag = tmp_path / "bag.yml"
    bag.write_text("models:\n  - vocals.pth\n  - {model: other.pth, input: residual}\n")
    path = tmp_path / "bag.pt2"
    assert cli.main(["export", str(bag), "-o", str(path)]) == 2
    assert "a bag has no masker" in capsys.readouterr().err and not path.exists()
    assert cli.main(["export", str(bag), "-o", str(path), "--seconds", "0.1"]) == 0
    out = capsys.readouterr().out
    assert "(batch, 2, 4410) -> (batch, 3, 2, 4410); sources: vocals, drums, other" in out
    assert float(re.search(r"PyTorch: (\S+)", out).group(1)) < 1e-5
    with zipfile.ZipFile(path) as archive:
        (facts,) = (name for name in archive.namelist() if name.endswith("facts.json"))
        assert json.loads(archive.read(facts))["samples"] == 4410
    mixture = torch.randn(2, 2, 4410)
    with torch.no_grad():
        expected = zoo.load(bag)(mixture)
    torch.testing.assert_close(load(path)(mixture), expected, atol=1e-4, rtol=0)


def test_what_cannot_be_exported(tmp_path, capsys):
    model = everything()
    peer = peers.build("xumx", ["bass"], hidden_size=8, n_layers=2)
    for network in (peer, Ensemble.of([model, peer], [{"vocals": 1}, {"bass": 1}])):
        with refused("XUMXPeer cannot be exported; BSRNN, BSCNN"):
            export(network, tmp_path / "a.onnx", seconds=1)
    with refused("a.txt", ".onnx or .pt2"):
        export(model, tmp_path / "a.txt")
    with refused("more than half a window of 512 samples"):
        export(model, tmp_path / "a.onnx", seconds=0.001)
    saved = checkpoint.save_model(model, tmp_path / "model.pth")
    assert cli.main(["export", str(saved), "-o", str(tmp_path / "a.pt2"), "--int8"]) == 2
    assert "int8 is for ONNX files" in capsys.readouterr().err
    (tmp_path / "b.onnx").mkdir()
    for place, words in (("missing/a.pt2", "No such file"), ("b.onnx", "Is a directory")):
        with refused(f"{place}: cannot be written ({words}"):
            export(model, tmp_path / place)
    (tmp_path / "b.onnx").rmdir()
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"onnxscript: pip install 'asteroid-bsrnn\[export\]'"):
        export(everything(), tmp_path / "a.onnx")


# --- the page's code -----------------------------------------------------------------------------


def block(language: str) -> str:
    """The code of the page in a language."""
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return code


def numbers_of_the_page() -> list[float]:
    """The numbers to check an STFT against."""
    lines = re.findall(r"^\| (\d+) \| (\d+) \| (\S+) \| (\S+) \|$", PAGE.read_text(), re.MULTILINE)
    return [float(cell) for line in lines for cell in line[2:]]


def test_numbers_of_the_page():
    sys.path.insert(0, str(EXAMPLE.parent))
    import separate_onnx

    n = np.arange(4096)
    signal = np.sin(0.05 * n) + 0.5 * np.cos(0.3 * n)
    spectrogram = separate_onnx.stft(signal, 2048, 512)
    assert spectrogram.shape == (9, 1025)
    lines = re.findall(r"^\| (\d+) \| (\d+) \| (\S+) \| (\S+) \|$", PAGE.read_text(), re.MULTILINE)
    assert len(lines) == 4
    for frame, k, real, imag in lines:
        value = spectrogram[int(frame), int(k)]
        assert value.real == pytest.approx(float(real), abs=6e-4)
        assert value.imag == pytest.approx(float(imag), abs=6e-4)
    assert np.abs(separate_onnx.istft(spectrogram, 2048, 512, 4096) - signal).max() < 1e-5
    expected = torch.stft(
        torch.from_numpy(signal), 2048, 512, window=torch.hann_window(2048).double(),
        return_complex=True,
    )  # fmt: skip
    assert np.abs(spectrogram.T - expected.numpy()).max() < 1e-3


def test_the_javascript_of_the_page(tmp_path):
    if shutil.which("node") is None:
        pytest.skip("needs Node.js")
    script = tmp_path / "stft.mjs"
    script.write_text(block("js"))
    done = subprocess.run(["node", script], capture_output=True, text=True, timeout=120)
    check_printed(done)


def test_the_cpp_of_the_page(tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("needs a C++ compiler")
    source, program = tmp_path / "stft.cpp", tmp_path / "stft"
    source.write_text(block("cpp"))
    subprocess.run(
        ["g++", "-std=c++17", "-O2", "-Wall", "-Werror", source, "-o", program], check=True
    )
    check_printed(subprocess.run([program], capture_output=True, text=True, timeout=120))


def check_printed(done):
    """Both programs print the numbers of the page, and the error of the inverse."""
    assert done.returncode == 0, done.stderr
    *values, error = [float(word) for word in done.stdout.split()]
    assert values == pytest.approx(numbers_of_the_page(), abs=6e-4)
    assert error < 1e-5
