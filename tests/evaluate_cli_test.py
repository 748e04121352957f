"""`asteroid-bsrnn evaluate`: its records, what they are keyed by, its data, and the references."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asteroid_bsrnn import BSRNN, Separator, cli, metrics, peers, zoo
from asteroid_bsrnn.evaluation import oracles, scores
from asteroid_bsrnn.evaluation.datasets import EvaluationTracks
from asteroid_bsrnn.weights import checkpoint
from asteroid_bsrnn.weights.cache import sha256_of

from .sounds import refused
from .tiny_musdb import SOURCES, make_tiny_musdb
from .tiny_networks import FEW_BANDS
from .warm_python import python


def main(*arguments):
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as error:
        return error.code


def save_bsrnn(path, sources=("vocals", "drums")):
    torch.manual_seed(0)
    network = BSRNN(sources=sources, feature_dim=4, n_repeats=1, bands=FEW_BANDS)
    return checkpoint.save_model(network, path)


def only(folder):
    (found,) = folder.iterdir()
    return found


def record_of(folder, number=0):
    return json.loads((folder / "tracks" / f"{number:04d}.json").read_text())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_musdb(
        tmp_path_factory.mktemp("tiny") / "data", train=1, valid=1, test=2, seconds=1.5
    )


class TestRecords:
    def test_what_a_record_holds(self, tiny, tmp_path, capsys):
        model = save_bsrnn(tmp_path / "mine.pth")
        output = tmp_path / "out"
        assert main("evaluate", model, "--root", tiny, "-o", output, "--device", "cpu") == 0
        out, err = capsys.readouterr()
        assert err == ""
        folder = only(output)
        assert folder.name.startswith("mine-") and str(folder) in out
        record = record_of(folder, 1)
        assert record["name"] == "Test 2"
        assert record["model"]["sha256"] == sha256_of(model)
        assert (folder / record["model"]["path"]).resolve() == model.resolve()
        assert record["model"]["class"] == "BSRNN" and record["model"]["kind"] == "model"
        assert record["made_with"]["separator"]["segment"] == 10
        assert record["made_with"]["versions"]["torch"] == str(torch.__version__)
        assert record["data"]["fingerprint"] == EvaluationTracks(tiny).fingerprint
        summary = json.loads((folder / "final_metrics.json").read_text())
        assert summary["settings_hash"] == record["settings"]
        assert summary["settings_hash"].startswith(folder.name[-8:])
        assert summary["n_tracks"] == 2
        # The figures are those of the metrics, and improvements differences of them.
        track = EvaluationTracks(tiny)[1]
        network = zoo.load(model)
        with torch.no_grad():
            estimates = network(track["mixture"][None])[0]
        references = track["sources"][[0, 2]]
        usdr = metrics.usdr(references, estimates)
        mixture = track["mixture"].expand(2, -1, -1)
        for index, source in enumerate(("vocals", "drums")):
            found = {measure: values[source] for measure, values in record["scores"].items()}
            assert found["usdr"] == pytest.approx(float(usdr[index]), abs=1e-3)
            gain = usdr - metrics.usdr(references, mixture)
            assert found["usdr_over_mixture"] == pytest.approx(float(gain[index]), abs=1e-3)

    def test_other_settings_get_another_folder_and_the_same_go_on(self, tiny, tmp_path, capsys):
        model = save_bsrnn(tmp_path / "mine.pth")
        output = tmp_path / "out"
        common = ["--root", tiny, "--output", output, "--device", "cpu"]
        assert main("evaluate", model, *common) == 0
        first = only(output)
        finished = record_of(first, 1)
        # What is there is not made again; what is missing is.
        (first / "tracks" / "0000.json").unlink()
        stamp = (first / "tracks" / "0001.json").stat().st_mtime_ns
        assert main("evaluate", model, *common) == 0
        assert only(output) == first
        assert (first / "tracks" / "0001.json").stat().st_mtime_ns == stamp
        assert record_of(first, 0)["settings"] == finished["settings"]
        # Other chunks, data and weights under the same name.
        assert main("evaluate", model, *common, "--segment", "0.5") == 0
        assert main("evaluate", model, *common, "--split", "all") == 0
        assert main("evaluate", model, *common, "--shifts", "2") == 0
        save_bsrnn(model, ("drums", "vocals"))
        assert main("evaluate", model, *common) == 0
        hashes = {path.name.rpartition("-")[2] for path in output.iterdir()}
        assert len(hashes) == 5
        assert {path.name.rpartition("-")[0] for path in output.iterdir()} == {"mine"}

    def test_labels_names_and_folders_of_runs(self, tiny, tmp_path, capsys):
        run = tmp_path / "exp" / "train_small_peer"
        run.mkdir(parents=True)
        network = peers.build("xumx", ["bass", "other"], hidden_size=8, n_layers=2)
        checkpoint.save_model(network, run / "best_model.pth")
        save_bsrnn(tmp_path / "mine.pth")
        output = tmp_path / "out"
        models = [run, f"again={run / 'best_model.pth'}", tmp_path / "mine.pth"]
        common = ["--root", tiny, "--output", output, "--device", "cpu"]
        assert main("evaluate", *models, *common) == 0
        labels = [path.name.rpartition("-")[0] for path in sorted(output.iterdir())]
        assert labels == ["again", "mine", "small_peer"]
        out = capsys.readouterr().out
        # A model that does not separate a source has no figure for it.
        mine = next(line for line in out.splitlines() if line.startswith("mine"))
        assert mine.split().count("-") == 3, "bass, other, and the mean: no source is common"

    def test_without_an_output_there_is_a_default(self, tiny, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        model = save_bsrnn(tmp_path / "mine.pth")
        arguments = ["evaluate", model, "--root", tiny, "--device", "cpu"]
        assert main(*arguments) == 0
        assert only(tmp_path / "evaluation").name.startswith("mine-")
        assert "evaluation/mine-" in capsys.readouterr().out
        # A folder that cannot be made takes one line.
        for name in ("mine.pth", "mine.pth/below"):
            assert main(*arguments, "-o", name) == 2
            err = capsys.readouterr().err
            assert err.count("\n") == 1 and "choose another folder with --output" in err

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["nothing"], "neither a file"),
            ([], "nothing to evaluate"),
            ([zoo.DEFAULT, "--sources", "a,b"], "a.wav: missing"),
            ([zoo.DEFAULT, "--split", "valid"], "validation tracks"),
            ([zoo.DEFAULT, "--root", "nowhere"], "nowhere: no such folder"),
            ([zoo.DEFAULT, "--split", "rest"], "invalid choice"),
        ],
    )
    def test_mistakes_take_one_line(self, tiny, tmp_path, capsys, monkeypatch, arguments, words):
        monkeypatch.chdir(tmp_path)
        assert main("evaluate", "--root", tiny, *arguments) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and words in err
        assert list(tmp_path.iterdir()) == []


class TestShards:
    def test_shards_join_to_what_one_run_scores(self, tiny, tmp_path, capsys):
        model = save_bsrnn(tmp_path / "mine.pth")
        run = ["evaluate", model, "--root", tiny, "--split", "all", "--device", "cpu", "--oracles"]
        assert main(*run, "-o", tmp_path / "whole") == 0
        table = capsys.readouterr().out
        for shard in ("3/3", "1/3", "2/3"):
            assert main(*run, "-o", tmp_path / "parts", "--shard", shard) == 0
            out = capsys.readouterr().out
            assert f"shard {shard}: " in out and "without --shard joins them" in out
            assert not list((tmp_path / "parts").glob("*/final_metrics.json"))
        times = {p: p.stat().st_mtime_ns for p in tmp_path.glob("parts/*/tracks/*.json")}
        assert len(times) == 4 * len(list((tmp_path / "parts").iterdir()))
        assert main(*run, "-o", tmp_path / "parts") == 0
        assert {p: p.stat().st_mtime_ns for p in times} == times, "nothing is scored again"
        assert capsys.readouterr().out.replace("parts", "whole") == table
        for whole in (tmp_path / "whole").iterdir():
            for path in whole.glob("tracks/*.json"):
                other = tmp_path / "parts" / whole.name / "tracks" / path.name
                one, two = (json.loads(p.read_text()) for p in (path, other))
                assert one.pop("wall_seconds") and two.pop("wall_seconds")
                assert one == two
        assert main(*run, "-o", tmp_path / "parts", "--shard", "0/3") == 2
        assert "K/N" in capsys.readouterr().err

    def test_progress_for_programs(self, tiny, tmp_path, capsys):
        model = save_bsrnn(tmp_path / "mine.pth")
        run = ["evaluate", model, "--root", tiny, "-o", tmp_path / "out", "--device", "cpu"]
        assert main(*run, "--progress", "json") == 0
        out, err = capsys.readouterr()
        found = [json.loads(line) for line in out.splitlines()]
        assert "uSDR" in err
        start, *progress, written, end = found
        assert start["models"] == ["mine"] and start["tracks"] == 2
        assert [(event["model"], event["tracks"], event["total"]) for event in progress] == [
            ("mine", 1, 2), ("mine", 2, 2),
        ]  # fmt: skip
        assert json.loads(Path(written["path"]).read_text())["n_tracks"] == 2
        assert end["exit_code"] == 0 and end["event"] == "end"
        assert main(*run, "--progress", "json", "--split", "valid") == 2
        error, end = (json.loads(line) for line in capsys.readouterr().out.splitlines())
        assert error["event"] == "error" and end["exit_code"] == 2


class TestData:
    def test_musdb18s_own_files_are_told_apart(self, tmp_path, capsys):
        (tmp_path / "musdb18" / "test").mkdir(parents=True)
        (tmp_path / "musdb18" / "test" / "A - B.stem.mp4").write_bytes(b"x")
        assert main("evaluate", "small", "--root", tmp_path / "musdb18") == 2
        err = capsys.readouterr().err
        assert "decode them to wav files first, with asteroid-bsrnn evaluate --decoded DIR" in err

    def test_splits(self, tiny):
        assert [t.name for t in EvaluationTracks(tiny).tracks] == ["Test 1", "Test 2"]
        valid = {"validation_tracks": ["Valid 1"]}
        assert [t.name for t in EvaluationTracks(tiny, "valid", **valid).tracks] == ["Valid 1"]
        assert [t.name for t in EvaluationTracks(tiny, "train", **valid).tracks] == ["Train 1"]
        assert len(EvaluationTracks(tiny, "all")) == 4

    def test_single_folders_of_stems_without_a_mixture(self, tiny, tmp_path, capsys):
        folder = tmp_path / "song"
        shutil.copytree(tiny / "test" / "Test 1", folder)
        whole = EvaluationTracks(folder)
        assert (whole.split, len(whole), whole.without_mixture) == ("folders", 1, [])
        (folder / "mixture.wav").unlink()
        (folder / "other.wav").unlink()
        data = EvaluationTracks(folder)
        assert data.sources == ("bass", "drums", "vocals")
        assert data.without_mixture == ["song"]
        track = data[0]
        assert torch.equal(track["mixture"], track["sources"].sum(dim=0))
        model = save_bsrnn(tmp_path / "mine.pth")
        arguments = ["--root", folder, "--output", tmp_path / "out", "--device", "cpu"]
        assert main("evaluate", model, *arguments) == 0
        out, err = capsys.readouterr()
        assert "'song': the sum of the stems is separated" in err and "sum of the stems" in out
        assert record_of(only(tmp_path / "out"))["data"]["without_mixture"] == ["song"]
        # The folder above is one of such folders.
        assert [track.name for track in EvaluationTracks(tmp_path).tracks] == ["song"]
        with refused("neither train or test"):
            EvaluationTracks(tmp_path / "out")
        # A mixture of another spelling is not taken for none.
        shutil.copy(tiny / "test" / "Test 1" / "mixture.wav", folder / "Mixture.WAV")
        with refused("mixture.wav: missing", "rename Mixture.WAV"):
            EvaluationTracks(folder)

    def test_what_systems_leave_changes_nothing(self, tiny, tmp_path):
        plain = EvaluationTracks(tiny)
        root = shutil.copytree(tiny, tmp_path / "data")
        left = ("._vocals.wav", ".Trash-0/vocals.wav", "@eaDir/vocals.wav", "__MACOSX/bass.wav")
        for place in (root, root / "test", root / "test" / "Test 1"):
            for name in left:
                (place / name).parent.mkdir(exist_ok=True)
                (place / name).write_bytes(b"\0" * 82)
        for folder in (root, root / "test"):  # in the layout, and as a folder of folders
            found = EvaluationTracks(folder)
            assert [track.name for track in found.tracks] == ["Test 1", "Test 2"], folder
            assert found.sources == plain.sources
        song = EvaluationTracks(root / "test" / "Test 1")
        assert [track.name for track in song.tracks] == ["Test 1"]
        assert EvaluationTracks(root).fingerprint == plain.fingerprint

    @pytest.mark.parametrize("layout", [True, False])
    def test_stems_in_another_format_or_spelling_are_not_left_out(self, tiny, tmp_path, layout):
        cases = {
            "vocals.wav": ("vocals.m4a", "convert vocals.m4a beside it to vocals.wav"),
            "bass.wav": ("Bass.WAV", "rename Bass.WAV beside it to bass.wav"),
            "mixture.wav": ("mixture.mp3", "convert mixture.mp3 beside it to mixture.wav"),
            "drums.wav": ("DRUMS.wav", "rename DRUMS.wav beside it to drums.wav"),
            "other.wav": ("Other.Wav", "rename Other.Wav beside it to other.wav"),
        }
        root = shutil.copytree(tiny, tmp_path / "data")
        folder = root / "test" / "Test 1"
        for name, (other, words) in cases.items():
            (folder / name).rename(folder / other)
            with refused(words):
                EvaluationTracks(root if layout else folder)
            (folder / other).rename(folder / name)
        (folder / "preview.mp3").touch()  # not a stem
        assert EvaluationTracks(folder).sources == SOURCES

    def test_flac_and_ogg_are_scored(self, tiny, tmp_path):
        folder = shutil.copytree(tiny / "test" / "Test 1", tmp_path / "song")
        for name, suffix in (("vocals", "flac"), ("drums", "ogg"), ("mixture", "flac")):
            samples, rate = soundfile.read(folder / f"{name}.wav")
            soundfile.write(folder / f"{name}.{suffix}", samples, rate)
            (folder / f"{name}.wav").unlink()
        found = EvaluationTracks(folder)
        assert found.sources == SOURCES and found.without_mixture == []
        plain = EvaluationTracks(tiny / "test" / "Test 1")[0]
        assert torch.equal(found[0]["mixture"], plain["mixture"])
        assert torch.equal(found[0]["sources"][0], plain["sources"][0])

    def test_the_whole_train_folder(self, tiny):
        assert len(EvaluationTracks(tiny, "train+valid")) == 2


class TestFailures:
    def test_damaged_records_are_made_anew(self, tiny, tmp_path, capsys):
        model = save_bsrnn(tmp_path / "mine.pth")
        run = ["evaluate", model, "--root", tiny, "-o", tmp_path / "out", "--device", "cpu"]
        assert main(*run) == 0
        folder = only(tmp_path / "out")
        whole = record_of(folder)
        for text in ("", "[]", "3", "{}", '{"settings": null}', '{"settings": '):
            (folder / "tracks" / "0000.json").write_text(text)
            assert main(*run) == 0
            assert record_of(folder)["scores"] == whole["scores"]
        capsys.readouterr()
        for name, text in (("final_metrics.json", "[]"), ("final_metrics.json", "{}"),
                           ("tracks/0000.json", "[]")):  # fmt: skip
            before = (folder / name).read_text()
            (folder / name).write_text(text)
            assert main("compare", folder, "--costs", "none") == 2
            line = capsys.readouterr().err
            assert line.count("\n") == 1 and f"{name}: damaged, no record" in line
            (folder / name).write_text(before)

    def test_full_disk(self, tiny, tmp_path):
        model = save_bsrnn(tmp_path / "mine.pth")
        code = (
            "import resource, signal, sys; from asteroid_bsrnn import cli\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
            "sys.exit(cli.main(sys.argv[1:]))"
        )
        run = ["evaluate", model, "--root", tiny, "-o", tmp_path / "out", "--device", "cpu"]
        command = [python(), "-c", code, *map(str, run)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("\n") == 1 and "0000.json: cannot be written (" in done.stderr
        assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]

    def test_names_that_are_no_unicode(self, tiny, tmp_path, capsys):
        model = save_bsrnn(tmp_path / os.fsdecode(b"mod\xe8l.pth"))
        root = tmp_path / os.fsdecode(b"donn\xe9es")
        shutil.copytree(tiny / "test" / "Test 1", root / os.fsdecode(b"caf\xe9"))
        output = tmp_path / os.fsdecode(b"r\xe9sultats")
        run = ["evaluate", "--root", root, "-o", output, "--device", "cpu"]
        assert main(*run, model, "--estimates", root) == 0
        table = tmp_path / "table.md"
        assert main("compare", output, "--costs", "none", "-o", table) == 0
        folders = sorted(output.iterdir())
        assert len(folders) == 2
        for folder in folders:
            assert record_of(folder)["name"] == os.fsdecode(b"caf\xe9")
            assert b"caf\xe9" in (folder / "all_metrics.csv").read_bytes()
        assert capsys.readouterr().err == ""


class TestEstimates:
    @pytest.fixture(scope="class")
    @classmethod
    def stems(cls, tiny, tmp_path_factory):
        """A model, and the stems of both tracks that it has written."""
        folder = tmp_path_factory.mktemp("estimates")
        model = save_bsrnn(folder / "mine.pth", SOURCES)
        separator = Separator(model, device="cpu", precision="32")
        for track in ("Test 1", "Test 2"):
            separator.separate_file(
                tiny / "test" / track / "mixture.wav",
                folder / "stems",
                track=track,
                subtype="FLOAT",
                clip="none",
            )
        return folder

    def score(self, tiny, output, *arguments):
        return main("evaluate", "--root", tiny, "-o", output, "--device", "cpu", *arguments)

    def test_stems_of_a_model_score_as_the_model(self, tiny, stems, tmp_path, capsys):
        given = ["--estimates", f"theirs={stems / 'stems'}"]
        assert self.score(tiny, tmp_path / "out", stems / "mine.pth", *given) == 0
        out, err = capsys.readouterr()
        assert err == "" and "theirs" in out and "mine" in out
        mine, theirs = sorted((tmp_path / "out").iterdir())
        for number in (0, 1):
            one, two = record_of(mine, number), record_of(theirs, number)
            assert one["name"] == two["name"]
            for measure, values in one["scores"].items():
                for source, value in values.items():
                    found = two["scores"][measure][source]
                    assert float(found) == pytest.approx(float(value), abs=0.01)
        # The records are those of a model to `compare`.
        assert main("compare", mine, theirs, "--table", tmp_path / "t.md", "--costs", "none") == 0
        assert "theirs" in (tmp_path / "t.md").read_text()

    def test_flat_folders_of_any_format_and_a_few_samples_more(self, tiny, stems, tmp_path, capsys):
        flat = tmp_path / "other tool"
        flat.mkdir()
        for track in ("Test 1", "Test 2"):
            samples, rate = soundfile.read(stems / "stems" / track / "vocals.wav")
            soundfile.write(flat / f"{track}-vocals.flac", samples[:-3], rate)
            samples = np.pad(samples, ((0, 100), (0, 0)))
            soundfile.write(flat / f"{track}-bass.ogg", samples, rate)
        assert self.score(tiny, tmp_path / "out", "--estimates", flat) == 0
        out, err = capsys.readouterr()
        assert "4 stem(s) cut or padded at the end" in err and "(-3 samples)" in err
        record = record_of(only(tmp_path / "out"))
        assert record["model"]["label"] == "other_tool"
        assert list(record["scores"]["usdr"]) == ["vocals", "bass"]
        # Other contents of the files get another record.
        soundfile.write(flat / "Test 2-bass.ogg", samples / 2, rate)
        assert self.score(tiny, tmp_path / "out", "--estimates", flat) == 0
        assert len(list((tmp_path / "out").iterdir())) == 2

    def test_what_is_missing_or_does_not_fit_is_named(self, tiny, stems, tmp_path, capsys):
        folder = shutil.copytree(stems / "stems", tmp_path / "stems")

        def complaint(*names):
            arguments = ["--estimates", folder, *names]
            assert self.score(tiny, tmp_path / "out", *arguments) == 2
            err = capsys.readouterr().err
            assert err.count("\n") == 1
            return err

        (folder / "Test 2" / "drums.wav").unlink()
        assert "1 stem(s) missing that other tracks have: Test 2: drums;" in complaint()
        path = folder / "Test 1" / "vocals.wav"
        only_vocals = ("--sources", "vocals")
        samples, rate = soundfile.read(path)
        soundfile.write(path, samples, 48000)
        assert "vocals.wav: has 48000 Hz and its track 44100 Hz" in complaint(*only_vocals)
        soundfile.write(path, samples[:, :1], rate)
        assert "has 1 channel(s) and its track 2" in complaint(*only_vocals)
        soundfile.write(path, samples[: rate // 2], rate)
        assert "has 22050 samples and its track 66150" in complaint(*only_vocals)
        shutil.rmtree(folder / "Test 1")
        assert "no estimates of 1 of 2 track(s): Test 1; name them" in complaint()
        shutil.rmtree(folder)
        assert "stems: no such folder; give the folder of the estimates" in complaint()


class TestReferencePoints:
    @pytest.fixture(scope="class")
    @classmethod
    def track(cls):
        """Sources in bands and at places of their own, but for some overlap."""
        generator = torch.Generator().manual_seed(0)
        sources = torch.randn(3, 2, 30_000, generator=generator)
        spectra = torch.fft.rfft(sources)
        for index, spectrum in enumerate(spectra):
            spectrum[:, : 4000 * index] = 0
            spectrum[:, 4000 * index + 5000 :] = 0
        sources = torch.fft.irfft(spectra, 30_000)
        sources[0, 1] *= 0.2
        sources[1, 0] *= 0.3
        return {"mixture": sources.sum(dim=0), "sources": sources}

    def usdr(self, name, track):
        estimates = oracles.Oracle(name, ["a", "b", "c"]).separate_track(track)
        return metrics.usdr(track["sources"], torch.stack(list(estimates.values())))

    def test_masks_of_the_truth_come_close_to_it(self, track):
        mixture = self.usdr("mixture", track)
        scaled = self.usdr("scaled_mixture", track)
        assert (scaled > mixture).all()
        for name in ("oracle_ratio_mask", "oracle_wiener", "oracle_complex_mask"):
            assert (self.usdr(name, track) > scaled + 5).all(), name

    def test_the_scaled_mixture_is_the_best_of_all_scales(self, track):
        best = scores.scaled_mixture(track["mixture"], track["sources"])
        usdr = metrics.usdr(track["sources"], best)
        for factor in (0.9, 0.99, 1.01, 1.1):
            assert (metrics.usdr(track["sources"], factor * best) < usdr).all()

    def test_ratio_masks_and_wiener_filters_sum_up_to_the_mixture(self, track):
        for name in ("oracle_ratio_mask", "oracle_wiener"):
            estimates = oracles.Oracle(name, ["a", "b", "c"]).separate_track(track)
            torch.testing.assert_close(
                sum(estimates.values()), track["mixture"], rtol=1e-3, atol=1e-3
            )

    def test_masks_bin_by_bin(self):
        sources = torch.tensor([3.0, 1j, -2]).reshape(3, 1, 1, 1)
        mixture = sources.sum(dim=0)  # 1 + 1j
        ratio = oracles.ratio_mask(mixture, sources).flatten()
        torch.testing.assert_close(ratio, (1 + 1j) * torch.tensor([3.0, 1, 2]) / 6)
        bounded = oracles.complex_mask(mixture, sources).flatten()
        expected = torch.tensor([2**0.5, 1j, -(2**0.5)])
        torch.testing.assert_close(bounded, expected)

    def test_the_wiener_filter_of_one_channel_is_the_share_of_power(self):
        generator = torch.Generator().manual_seed(0)
        sources = torch.randn(2, 1, 3, 40, generator=generator, dtype=torch.complex64)
        mixture = sources.sum(dim=0)
        power = sources.abs() ** 2
        expected = mixture * power / power.sum(dim=0)
        found = oracles.wiener_filter(mixture, sources)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)

    def test_silent_and_short_tracks(self):
        for length in (100, 5000):
            silence = {"mixture": torch.zeros(2, length), "sources": torch.zeros(2, 2, length)}
            for name in oracles.names():
                estimates = oracles.Oracle(name, ["a", "b"]).separate_track(silence)
                assert all(stem.shape == (2, length) for stem in estimates.values())
                assert all(not stem.any() for stem in estimates.values())

    def test_si_sdr(self):
        reference = torch.tensor([[[1.0, 0, 0, 0]]])
        estimate = torch.tensor([[[3.0, 0, 0.3, 0]]])
        assert metrics.si_sdr(reference, estimate).item() == pytest.approx(20, abs=1e-5)
        assert metrics.si_sdr(reference, 7 * estimate).item() == pytest.approx(20, abs=1e-5)
        assert np.isnan(metrics.si_sdr(0 * reference, estimate).item())

    def test_on_the_command_line(self, tiny, tmp_path, capsys):
        arguments = ["--root", tiny, "--output", tmp_path / "out", "--oracles"]
        assert main("evaluate", *arguments) == 0
        out, err = capsys.readouterr()
        assert err == ""
        rows = [line.split()[0] for line in out.split("\n\n")[0].splitlines() if line[0] != " "]
        assert rows == ["Model", *oracles.names()]
        found = {path.name.rpartition("-")[0] for path in (tmp_path / "out").iterdir()}
        assert found == set(oracles.names())
        record = record_of(next((tmp_path / "out").glob("scaled_mixture-*")))
        assert record["model"]["kind"] == "reference point"
        over = record["scores"]["usdr_over_scaled_mixture"]
        assert set(over) == set(SOURCES) and all(abs(gain) < 1e-6 for gain in over.values())
