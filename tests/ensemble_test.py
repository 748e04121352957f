"""Models that work together: `--model a b`, bag files, and their scores."""

import json
import pickle
import sys

import numpy as np
import pytest
import soundfile
import torch

from asteroid_bsrnn import BSRNN, PerSourceSeparator, Separator, peers, zoo
from asteroid_bsrnn.models import Ensemble
from asteroid_bsrnn.weights import bag, checkpoint

from .cli_test import complaint, main  # noqa: F401
from .sounds import RATE, noise, refused, write
from .tiny_musdb import make_tiny_musdb
from .warm_python import python

SIZES = {"feature_dim": 4, "n_repeats": 1}


def network(seed, sources, **arguments):
    torch.manual_seed(seed)
    return BSRNN(sources=sources, **{**SIZES, **arguments}).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three models of different sources, and a folder with a network for each source."""
    path = tmp_path_factory.mktemp("models")
    checkpoint.save_model(network(0, ["vocals", "drums"]), path / "a.pth")
    checkpoint.save_model(network(1, ["drums", "vocals"]), path / "b.pth")
    checkpoint.save_model(network(2, ["bass"]), path / "c.pth")
    checkpoint.save_model(network(3, ["vocals"], sample_rate=48000), path / "fast.pth")
    (path / "each").mkdir()
    for seed, source in enumerate(["vocals", "bass"]):
        checkpoint.save_model(network(seed, [source]), path / "each" / f"{source}.pth")
    return path


@pytest.fixture(scope="module")
def mixture():
    return torch.from_numpy(noise(RATE // 2))


def bag_file(folder, text, name="bag.yml"):
    (folder / name).write_text(text)
    return folder / name


def separate(model, mixture, **arguments):
    return Separator(model, device="cpu", **arguments).separate(mixture)


def assert_close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


class TestAverage:
    def test_weights_by_model_and_stem(self, folder, mixture):
        path = bag_file(
            folder,
            "models:\n"
            "  - model: a.pth\n"
            "    weights: {vocals: 3, drums: 0}\n"
            "  - b.pth\n"
            "  - model: c.pth\n"
            "    weights: 2\n",
        )
        a, b, c = (separate(folder / f"{name}.pth", mixture) for name in "abc")
        separator = Separator(path, device="cpu")
        assert separator.sources == ("vocals", "drums", "bass")
        found = separator.separate(mixture)
        assert_close(found["vocals"], 0.75 * a["vocals"] + 0.25 * b["vocals"])
        assert torch.equal(found["drums"], b["drums"]) and torch.equal(found["bass"], c["bass"])

    def test_a_bag_without_a_file(self, folder, mixture):
        members = [zoo.Member(str(folder / "a.pth"), 2), zoo.Member(str(folder / "b.pth"))]
        separator = pickle.loads(pickle.dumps(Separator(zoo.Bag(members), device="cpu")))
        a, b = (separate(folder / f"{name}.pth", mixture) for name in "ab")
        found = separator.separate(mixture)
        assert_close(found["drums"], (2 * a["drums"] + b["drums"]) / 3)

    def test_only_the_networks_of_the_stems_are_built(self, folder, mixture):
        path = bag_file(folder, "models: [a.pth, each]", "stems.yml")
        everything = zoo.load(path)
        assert everything.sources == ("vocals", "drums", "bass")
        assert isinstance(everything.networks[1], PerSourceSeparator)
        vocals = zoo.load(path, stems="vocals")
        assert [net.sources for net in vocals.networks] == [("vocals", "drums"), ("vocals",)]
        assert len(zoo.load(path, stems=["drums"]).networks) == 1
        whole, part = separate(path, mixture), separate(path, mixture, stems="vocals")
        assert list(part) == ["vocals"] and torch.equal(part["vocals"], whole["vocals"])

    def test_mono_stereo_and_other_networks_together(self, mixture):
        stereo = peers.build("xumx", ["vocals"], hidden_size=8, n_layers=2).eval()
        both = Ensemble.of([stereo, network(0, ["vocals"])], [{"vocals": 1}, {"vocals": 1}])
        for channels in (1, 2):
            part = mixture[None, :channels]
            with torch.no_grad():
                other = separate(stereo, part[0])["vocals"]
                expected = (other + both.networks[1](part)[0, 0])[None, None] / 2
                assert_close(both.eval()(part), expected)
                assert_close(both(part[:, 0]), both(part[:, :1])[:, :, 0])

    def test_an_ensemble_is_saved_as_one_file(self, folder, mixture, tmp_path):
        ensemble = zoo.load(bag_file(folder, "models: [a.pth, each]", "saved.yml"))
        path = checkpoint.save_model(ensemble, tmp_path / "one.pth")
        again = zoo.load(path)
        assert type(again) is Ensemble and again.weights == ensemble.weights
        with torch.no_grad():
            assert torch.equal(again(mixture[None]), ensemble(mixture[None]))


class TestResidual:
    TEXT = (
        "models:\n"
        "  - model: a.pth\n"
        "    weights: {vocals: 1}\n"
        "  - model: c.pth\n"
        "    input: residual\n"
        "  - model: b.pth\n"
        "    weights: {drums: 1}\n"
        "    input: residual\n"
    )

    def test_a_model_separates_what_those_before_it_leave(self, folder, mixture, tmp_path):
        path = bag_file(folder, self.TEXT, "residual.yml")
        found = separate(path, mixture)
        vocals = separate(folder / "a.pth", mixture)["vocals"]
        bass = separate(folder / "c.pth", mixture - vocals)["bass"]
        drums = separate(folder / "b.pth", mixture - vocals - bass)["drums"]
        for stem, expected in {"vocals": vocals, "bass": bass, "drums": drums}.items():
            assert_close(found[stem], expected)
        again = zoo.load(checkpoint.save_model(zoo.load(path), tmp_path / "one.pth"))
        assert again.residual == [False, True, True]
        assert_close(separate(again, mixture)["drums"], drums)

    def test_stems_keep_the_models_before_a_residual(self, folder, mixture):
        path = bag_file(folder, self.TEXT, "residual.yml")
        whole = separate(path, mixture)
        for stem, count in (("vocals", 1), ("bass", 2), ("drums", 3)):
            assert len(zoo.load(path, stems=stem).networks) == count
            assert torch.equal(separate(path, mixture, stems=stem)[stem], whole[stem])

    def test_the_input_is_in_the_checksum(self, folder):
        path = bag_file(folder, self.TEXT, "residual.yml")
        assert [fact.get("input") for fact in bag.facts_of(path)] == [None, "residual", "residual"]
        other = bag_file(folder, self.TEXT.replace("residual", "mixture"), "other.yml")
        assert bag.sha256_of(path) != bag.sha256_of(other)


class TestRefused:
    @pytest.mark.parametrize(
        "text, words",
        [
            ("models: []", ["'models'"]),
            ("- a.pth", ["'models'"]),
            ("models: [a.pth", ["YAML"]),
            ("models: [a.pth]\nmodel: b", ["'model'", "valid: models"]),
            ("models: [{weights: 1}]", ["entry 1", "'model'"]),
            ("models: [a.pth, {model: b.pth, weight: 2}]", ["entry 2", "'weight'", "weights"]),
            ("models: [{model: a.pth, weights: -1}]", ["entry 1", "-1", "above 0"]),
            ("models: [{model: a.pth, weights: 0}]", ["above 0"]),
            ("models: [{model: a.pth, weights: {vocals: much}}]", ["much"]),
            ("models: [{model: a.pth, weights: {vocals: .nan}}]", ["nan"]),
            ("models: [{model: a.pth, weights: {piano: 1}}]", ["'piano'", "vocals, drums"]),
            ("models: [a.pth, gone]", ["'gone'", "relative to the bag file", "obsrnn"]),
            ("models: [a.pth, fast.pth]", ["a.pth has 44100 Hz", "fast.pth has 48000 Hz"]),
            ("models: [a.pth, inner.yml]", ["inner.yml", "itself"]),
            ("models: [a.pth, {model: c.pth, input: rest}]", ["'rest'", "mixture or residual"]),
            ("models: [{model: a.pth, input: residual}]", ["first network"]),
            ("models: [a.pth, {model: b.pth, input: residual}]", ["drums, vocals", "lacks"]),
        ],
    )
    def test_a_bag_file(self, folder, text, words):
        bag_file(folder, "models: [a.pth]", "inner.yml")
        path = bag_file(folder, text, "wrong.yml")
        with refused(path, *words):
            zoo.load(path)

    def test_stems_that_no_model_has(self, folder):
        path = bag_file(folder, "models: [a.pth, {model: c.pth, weights: {bass: 1}}]", "few.yml")
        with refused("'piano'", "vocals, drums, bass"):
            zoo.load(path, stems=["vocals", "piano"])
        with refused(path, "'causal'"):
            zoo.load(path, causal=True)

    def test_an_ensemble(self):
        with pytest.raises(ValueError, match="one sample rate"):
            fast = network(0, ["vocals"], sample_rate=48000)
            Ensemble.of([network(0, ["vocals"]), fast], [{"vocals": 1}] * 2)
        with pytest.raises(ValueError, match="'bass'"):
            Ensemble.of([network(0, ["vocals"])], [{"bass": 1}])
        with pytest.raises(ValueError, match="no source"):
            Ensemble.of([network(0, ["vocals"])], [{"vocals": 0}])


class TestCommands:
    def test_separate(self, folder, tmp_path, monkeypatch):
        song = write(tmp_path / "song.wav", noise(RATE // 2))
        monkeypatch.chdir(tmp_path)
        run = ["separate", "--subtype", "FLOAT", "--device"]
        models = ["--model", folder / "a.pth", folder / "b.pth"]
        # The song that follows the models is an input, as after a single one.
        assert main(*run, "cpu", "-o", "one", *models, song) == 0
        weights = ["--model-weights", "3", "1"]
        assert main(*run, "cpu", song, "-o", "two", *models, *weights) == 0
        assert main(*run, "cpu,cpu", song, "-o", "three", *models, *weights) == 0
        for out, (first, second) in (("one", (1, 1)), ("two", (3, 1)), ("three", (3, 1))):
            entries = f"{{model: a.pth, weights: {first}}}, {{model: b.pth, weights: {second}}}"
            bag_file(folder, f"models: [{entries}]", f"{out}.yaml")
            found = soundfile.read(f"{out}/song/drums.wav", dtype="float32")[0].T
            mixture = soundfile.read(song, dtype="float32")[0].T
            expected = separate(folder / f"{out}.yaml", np.ascontiguousarray(mixture))["drums"]
            np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_wrong_weights(self, folder, tmp_path, complaint):  # noqa: F811
        song = write(tmp_path / "song.wav", noise(RATE // 2))
        models = ["--model", folder / "a.pth", folder / "b.pth"]
        for given in (["1"], ["1", "2", "3"]):
            assert "one weight for each" in complaint(
                "separate", song, *models, "--model-weights", *given
            )
        rates = ["--model", folder / "a.pth", folder / "fast.pth"]
        assert "one sample rate" in complaint("separate", song, "-o", tmp_path / "out", *rates)

    def test_evaluate(self, folder, tmp_path, monkeypatch):
        data = make_tiny_musdb(tmp_path / "data", train=0, valid=0, test=1, seconds=1.5)
        output = tmp_path / "out"
        text = "models: [a.pth, {model: b.pth, weights: {drums: 2}}]"
        path = bag_file(folder, text, "scored.yml")
        run = ["evaluate", path, "--root", data, "-o", output, "--device", "cpu"]
        assert main(*run) == 0
        (first,) = output.iterdir()
        assert first.name.startswith("scored-")
        record = json.loads((first / "tracks" / "0000.json").read_text())
        model = record["model"]
        assert model["class"] == "Ensemble" and model["sha256"] == bag.sha256_of(path)
        assert [(m["model"], m["weights"]) for m in model["members"]] == [
            ("a.pth", 1.0),
            ("b.pth", {"drums": 2.0}),
        ]
        assert [m["sha256"] for m in model["members"]] == [
            bag.sha256_of(folder / name) for name in ("a.pth", "b.pth")
        ]
        assert set(record["scores"]["usdr"]) >= {"vocals", "drums"}
        # Comments do not matter; weights and models do.
        bag_file(folder, f"# again\n{text}", "scored.yml")
        assert main(*run) == 0 and len(list(output.iterdir())) == 1
        bag_file(folder, text.replace("2", "3"), "scored.yml")
        assert main(*run) == 0 and len(list(output.iterdir())) == 2
        monkeypatch.setattr(sys, "executable", python())  # starts the processes that measure costs
        assert main("compare", *output.iterdir(), "--cost-seconds", "1", "--cost-repeats", "1") == 0
