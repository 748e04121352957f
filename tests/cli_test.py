import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import stempeg
import torch
from asteroid.models import ConvTasNet

from asteroid_bsrnn import BSRNN, cli, presets, zoo
from asteroid_bsrnn.audio import AudioFile
from asteroid_bsrnn.weights import checkpoint

from .sounds import RATE, noise, write
from .tiny_networks import FEW_BANDS
from .warm_python import python


def program(*arguments, interpreter=None):
    """The real command line, to be started as a process."""
    return [interpreter or python(), "-m", "asteroid_bsrnn", *map(str, arguments)]


def command(*arguments, **kwargs):
    """Run the real command line."""
    return subprocess.run(
        program(*arguments), capture_output=True, text=True, timeout=300, **kwargs
    )


def main(*arguments):
    """Run the command line in this process, which spares the imports."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as error:
        return error.code


def convert(source, name, *options):
    target = source.with_name(name)
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, *options, target], check=True)
    return target


def files_below(folder):
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


def save_network(path, sources, **arguments):
    torch.manual_seed(0)
    sizes = {"feature_dim": 8, "n_repeats": 1, "mask_expansion": 1, "bands": FEW_BANDS}
    return checkpoint.save_model(BSRNN(sources=sources, **{**sizes, **arguments}), path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A file of a tiny network whose two stems sum up to the mixture."""
    path = tmp_path_factory.mktemp("model") / "tiny.pth"
    return save_network(path, ["vocals", "other"], last_source_as_residual=True)


@pytest.fixture(scope="module")
def long_song(tmp_path_factory):
    source = write(tmp_path_factory.mktemp("long") / "song.wav", noise(30 * RATE))
    return convert(source, "song.m4a")


@pytest.fixture
def song(tmp_path):
    return write(tmp_path / "song.wav", noise(RATE // 2))


@pytest.fixture
def complaint(capsys):
    """Runs a command that a user got wrong; gives the one line that it prints."""

    def run(*arguments):
        assert main(*arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert err.endswith("\n")
        assert err.startswith("asteroid-bsrnn: error: ")
        return err

    return run


class TestRealSong:
    def test_four_stems_of_an_excerpt(self, tmp_path):
        result = command("separate", stempeg.example_stem_path(), "-o", tmp_path / "out")
        assert (result.returncode, result.stderr) == (0, "")
        track = "The Easton Ellises - Falcon 69"
        folder = tmp_path / "out" / track
        assert str(folder) in result.stdout
        mixture = AudioFile(stempeg.example_stem_path())
        names = ["bass", "drums", "other", "vocals"]
        assert files_below(tmp_path / "out") == [f"{track}/{name}.wav" for name in names]
        # Each stem is closer to what it is to be than the mixture is.
        order = ["mixture", "drums", "bass", "other", "vocals"]
        truth = {}
        for name in names:
            reference = tmp_path / f"{name}.wav"
            stream = ["-map", f"0:a:{order.index(name)}", reference]
            source = stempeg.example_stem_path()
            subprocess.run(["ffmpeg", "-v", "error", "-i", source, *stream], check=True)
            truth[name] = AudioFile(reference).read()
        for name in names:
            stem = AudioFile(folder / f"{name}.wav")
            assert (stem.sample_rate, stem.channels, stem.subtype) == (RATE, 2, "PCM_16")
            assert stem.frames == mixture.frames
            distance = np.sum((stem.read() - truth[name]) ** 2)
            assert distance < 0.9 * np.sum((mixture.read() - truth[name]) ** 2)

    @pytest.mark.parametrize(
        "format, subtype", [("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16"),
                            ("flac", "PCM_24"), ("mp3", None), ("wav", None)]
    )  # fmt: skip
    def test_every_format(self, tmp_path, capsys, format, subtype):
        depth = ["--subtype", subtype] if subtype else []
        part = ["--start", "2.5", "--duration", "0.25", "--format", format, *depth]
        part += ["--model", "small"]  # one network; the default has three
        assert main("separate", stempeg.example_stem_path(), "-o", tmp_path, *part) == 0
        assert capsys.readouterr().err == ""
        stems = [AudioFile(path) for path in tmp_path.rglob(f"*.{format}")]
        assert len(stems) == 4
        for stem in stems:
            assert stem.subtype == (subtype or ("MPEG_LAYER_III" if format == "mp3" else "PCM_16"))
            samples = stem.read()
            assert samples.shape == (2, round(0.25 * RATE))
            assert samples.any()


class TestInputs:
    def test_rates_channels_and_types_in_a_folder(self, tmp_path, model):
        music = tmp_path / "music"
        (music / "deep" / "down").mkdir(parents=True)
        for rate, channels in ((8000, 1), (22050, 6), (44100, 2), (48000, 3), (96000, 2)):
            path = music / "deep" / f"{rate}_{channels}.wav"
            write(path, noise(rate // 20 + 1, channels), rate)
        source = write(music / "deep" / "down" / "one.wav", noise(RATE // 5))
        for name in ("two.flac", "three.ogg", "four.mp3", "five.m4a", "six.mp4", "seven.stem.mp4"):
            convert(source, name)
        (music / "notes.txt").write_text("not a song")
        assert main("separate", music, "-o", tmp_path / "out", "--model", model) == 0
        songs = [path for path in music.rglob("*") if path.is_file() and path.suffix != ".txt"]
        assert len(songs) == 12
        for path in songs:
            mixture = AudioFile(path)
            for name in ("vocals", "other"):
                track = path.name.removesuffix(path.suffix).removesuffix(".stem")
                stem = AudioFile(tmp_path / "out" / track / f"{name}.wav")
                assert (stem.sample_rate, stem.channels) == (mixture.sample_rate, mixture.channels)
                assert stem.frames == mixture.frames

    def test_one_name_twice(self, tmp_path, model):
        for folder, seed in (("a", 1), ("b", 2), ("c", 3)):
            (tmp_path / folder).mkdir()
            name = "Song.wav" if folder == "c" else "song.wav"
            write(tmp_path / folder / name, noise(3000, seed=seed))
        songs = [tmp_path / "a" / "song.wav", tmp_path / "b", tmp_path / "c", tmp_path / "a"]
        arguments = ["--model", model, "--subtype", "FLOAT"]
        assert main("separate", *songs, "-o", tmp_path / "out", *arguments) == 0
        tracks = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert tracks == ["Song (3)", "song", "song (2)"]
        for track, seed in (("song", 1), ("song (2)", 2), ("Song (3)", 3)):
            parts = [AudioFile(path).read() for path in (tmp_path / "out" / track).iterdir()]
            np.testing.assert_allclose(sum(parts), noise(3000, seed=seed), rtol=0, atol=1e-6)

    def test_earlier_stems_are_no_input(self, tmp_path, model, capsys, monkeypatch):
        write(tmp_path / "song.wav", noise(3000))
        monkeypatch.chdir(tmp_path)
        for _ in range(2):
            assert main("separate", ".", "--model", model, "--overwrite") == 0
            out, err = capsys.readouterr()
            assert err == ""
            assert out.count("\n") == 1
        assert files_below("separated") == ["song/other.wav", "song/vocals.wav"]
        # Named on their own they are separated, like any song.
        assert main("separate", "separated/song", "-o", "again", "--model", model) == 0
        assert len(files_below("again")) == 4

    def test_inputs_in_the_output_folder_stay(self, tmp_path, model, capsys):
        (tmp_path / "vocals").mkdir()
        inside = write(tmp_path / "vocals" / "other.wav", noise(3000, seed=1))
        beside = write(tmp_path / "vocals.wav", noise(3000, seed=2))
        content = inside.read_bytes()
        arguments = ["-o", tmp_path, "--model", model, "--overwrite"]
        assert main("separate", inside, beside, *arguments) == 2
        assert str(inside) in capsys.readouterr().err
        assert inside.read_bytes() == content
        assert (tmp_path / "other" / "vocals.wav").is_file()

    def test_names_that_the_screen_cannot_show(self, tmp_path, model):
        name = os.fsdecode(b"caf\xe9 \xc3\xbc.wav")
        write(tmp_path / "x.wav", noise(3000)).rename(tmp_path / name)
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        result = command("separate", name, "--model", model, cwd=tmp_path, env=environment)
        assert (result.returncode, result.stderr) == (0, "")
        assert len(files_below(tmp_path / "separated")) == 2


class TestVideos:
    @pytest.fixture
    def video(self, tmp_path):
        """A video with two tracks that start half a second later; the second is the default."""
        sounds = [write(tmp_path / f"{n}.wav", noise(RATE // 2, seed=n)) for n in (1, 2)]
        inputs = ["-f", "lavfi", "-i", "testsrc=d=1:s=64x64"]
        for sound in sounds:
            inputs += ["-itsoffset", "0.5", "-i", sound]
        streams = ["-map", "0", "-map", "1", "-map", "2", "-c:a", "pcm_s16le"]
        flags = ["-disposition:a:0", "0", "-disposition:a:1", "default"]
        path = tmp_path / "concert.mkv"
        command = ["ffmpeg", "-v", "error", *inputs, *streams, *flags, path]
        subprocess.run(command, check=True)
        return path

    @pytest.mark.parametrize("arguments, track", [([], 2), (["--audio-track", "1"], 1)])
    def test_track_and_place_of_the_stems(self, tmp_path, model, video, arguments, track):
        run = ["separate", video, "-o", tmp_path / "out", "--model", model, "--subtype", "FLOAT"]
        assert main(*run, *arguments) == 0
        stems = [AudioFile(path).read() for path in (tmp_path / "out").rglob("*.wav")]
        silence = np.zeros((2, RATE // 2), np.float32)
        wanted = np.concatenate([silence, noise(RATE // 2, seed=track)], axis=1)
        np.testing.assert_allclose(sum(stems), wanted, rtol=0, atol=1e-6)

    def test_track_that_is_not_there(self, tmp_path, model, video, complaint):
        run = ["separate", video, "-o", tmp_path / "out", "--model", model, "--audio-track"]
        line = complaint(*run, "3")
        assert str(video) in line and "no audio track 3" in line and "1 to 2" in line
        assert "--audio-track" in complaint(*run, "0")
        assert not (tmp_path / "out").exists()


class TestOutput:
    def test_stems_and_two_stems(self, tmp_path, model, song, capsys):
        run = ["separate", song, "--model", model, "-o"]
        assert main(*run, tmp_path / "a", "--stems", "other") == 0
        assert files_below(tmp_path / "a") == ["song/other.wav"]
        assert main(*run, tmp_path / "b", "--stems", "other,vocals") == 0
        assert main("separate", "--stems=other,vocals", *run[1:], tmp_path / "c") == 0
        assert main(*run, tmp_path / "d", "--stems", "other", "vocals", "other") == 0
        for name in "bcd":
            assert files_below(tmp_path / name) == ["song/other.wav", "song/vocals.wav"]
        assert main(*run, tmp_path / "e", "--two-stems", "vocals") == 0
        assert files_below(tmp_path / "e") == ["song/no_vocals.wav", "song/vocals.wav"]
        parts = [AudioFile(path).read() for path in (tmp_path / "e" / "song").iterdir()]
        np.testing.assert_allclose(sum(parts), AudioFile(song).read(), rtol=0, atol=2**-15)
        out, err = capsys.readouterr()
        assert err == ""
        assert f"{song} -> {tmp_path / 'e' / 'song'} (vocals, no_vocals)" in out

    def test_start_and_duration(self, tmp_path, model, song):
        part = ["--start", "0.1", "--duration", "0.2", "--subtype", "FLOAT"]
        assert main("separate", song, "-o", tmp_path, "--model", model, *part) == 0
        parts = [AudioFile(path).read() for path in (tmp_path / "song").iterdir()]
        wanted = AudioFile(song).read()[:, 4410 : 4410 + 8820]
        np.testing.assert_allclose(sum(parts), wanted, rtol=0, atol=1e-6)

    def test_one_gain_for_stems_beyond_full_scale(self, tmp_path, model):
        loud = write(tmp_path / "loud.wav", 10 * noise(RATE // 2), subtype="FLOAT")
        run = ["separate", loud, "--model", model, "-o"]
        assert main(*run, tmp_path / "float", "--subtype", "FLOAT") == 0
        assert main(*run, tmp_path / "scaled", "--subtype", "PCM_24") == 0
        assert main(*run, tmp_path / "cut", "--subtype", "PCM_24", "--clip", "clamp") == 0
        stems = {
            kind: [AudioFile(tmp_path / kind / "loud" / f"{n}.wav").read() for n in names]
            for names in [("vocals", "other")]
            for kind in ("float", "scaled", "cut")
        }
        peak = max(np.abs(stem).max() for stem in stems["float"])
        assert peak > 1.05
        for kept, scaled, cut in zip(*stems.values(), strict=True):
            np.testing.assert_allclose(scaled, kept / peak, rtol=0, atol=2**-22)
            np.testing.assert_allclose(cut, kept.clip(-1, 1), rtol=0, atol=2**-22)
        total = sum(stems["scaled"])
        np.testing.assert_allclose(total, AudioFile(loud).read() / peak, rtol=0, atol=2**-21)

    def test_chunks_and_precision(self, tmp_path, model, song):
        results = []
        for number, arguments in enumerate((
            [],
            ["--segment", "none"],
            ["--segment", "60", "--overlap", "0.5", "--batch-size", "2", "--device", "cpu"],
            ["--precision", "bf16"],
            ["--segment", "0.2", "--hop", "0.1"],
            ["--shifts", "2"],
        )):  # fmt: skip
            folder = tmp_path / str(number)
            run = ["separate", song, "-o", folder, "--model", model, "--subtype", "FLOAT"]
            assert main(*run, *arguments) == 0
            results.append(AudioFile(folder / "song" / "vocals.wav").read())
        for same in results[1:3]:
            np.testing.assert_allclose(same, results[0], rtol=0, atol=1e-6)
        for close in results[3:]:
            difference = np.linalg.norm(close - results[0]) / np.linalg.norm(results[0])
            assert 0 < difference < 0.5

    def test_existing_stems(self, tmp_path, model, song, complaint, capsys):
        run = ["separate", song, "-o", tmp_path / "out", "--model", model]
        assert main(*run) == 0
        capsys.readouterr()
        stem = tmp_path / "out" / "song" / "vocals.wav"
        before = stem.stat().st_mtime_ns, stem.read_bytes()
        line = complaint(*run, "--start", "0.1")
        assert str(stem) in line
        assert "--overwrite" in line
        assert (stem.stat().st_mtime_ns, stem.read_bytes()) == before
        assert main(*run, "--start", "0.1", "--overwrite") == 0
        assert AudioFile(stem).frames == RATE // 2 - 4410


class TestFailures:
    def test_one_line_for_each_bad_file_and_the_others_are_separated(self, tmp_path, model):
        good = write(tmp_path / "good.wav", noise(3000))
        long = write(tmp_path / "long.wav", noise(3 * RATE))
        nan = noise(3000)
        nan[0, 1000] = np.nan
        for name in ("cut.mp3", "mid.mp3", "cut.flac", "cut.m4a"):
            whole = convert(long, f"whole_{name}").read_bytes()
            middle = len(whole) // 2
            (tmp_path / name).write_bytes(whole[:middle])
            if name == "mid.mp3":
                damage = np.random.default_rng(0).bytes(3000)
                (tmp_path / name).write_bytes(whole[:middle] + damage + whole[middle + 3000 :])
        whole = long.read_bytes()
        (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
        (tmp_path / "text.wav").write_text("The quick brown fox jumps over the lazy dog.\n" * 99)
        (tmp_path / "text.mp3").write_text("The quick brown fox jumps over the lazy dog.\n" * 99)
        (tmp_path / "zero bytes.wav").touch()
        (tmp_path / "no audio").mkdir()
        write(tmp_path / "nan.wav", nan, subtype="FLOAT")
        write(tmp_path / "no samples.wav", np.zeros((2, 0)))
        wanted = {  # the first two are known before anything is separated
            "gone.wav": "No such file",
            "no audio": "no audio files",
            "cut.wav": "cut short",
            "cut.flac": "cut short",
            "cut.mp3": "cut short",
            "mid.mp3": "damaged",
            "cut.m4a": "damaged",
            "text.wav": "audio",
            "text.mp3": "audio",
            "zero bytes.wav": "empty",
            "nan.wav": "NaN",
            "no samples.wav": "no samples",
        }
        inputs = [*wanted, good.name]
        result = command("separate", *inputs, "-o", "out", "--model", model, cwd=tmp_path)
        lines = result.stderr.splitlines()
        assert result.returncode == 2
        assert len(lines) == len(wanted), result.stderr
        for line, (name, reason) in zip(lines, wanted.items(), strict=True):
            assert line.startswith(f"asteroid-bsrnn: error: {name}: ")
            assert reason in line
            assert "; " in line  # what to do
        assert result.stdout.count("\n") == 1
        assert files_below(tmp_path / "out") == ["good/other.wav", "good/vocals.wav"]

    def test_wrong_arguments(self, tmp_path, model, song, complaint, monkeypatch):
        monkeypatch.setenv("ASTEROID_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("asteroid_bsrnn.weights.download.BACKOFF_SECONDS", 0)
        monkeypatch.chdir(tmp_path)
        line = complaint("separate", "gone.wav", "-o", "out")
        assert "gone.wav: No such file" in line
        for arguments, words in (
            (["--stems", "piano"], ["piano", "vocals, other"]),
            (["--stems", ","], ["stem", "vocals, other"]),
            (["--two-stems", "piano"], ["piano", "vocals, other"]),
            (["--stems", "vocals", "--two-stems", "vocals"], ["--stems", "--two-stems"]),
            (["--format", "aac"], ["--format", "aac", "wav"]),
            (["--subtype", "PCM_8"], ["--subtype", "PCM_8", "PCM_16"]),
            (["--format", "mp3", "--subtype", "FLOAT"], ["mp3", "FLOAT"]),
            (["--clip", "wrap"], ["--clip", "wrap", "rescale"]),
            (["--start", "-1"], ["--start", "-1"]),
            (["--start", "nan"], ["--start", "nan"]),
            (["--start", "1e9"], ["song.wav", "beyond the end"]),
            (["--duration", "0"], ["--duration", "0"]),
            (["--duration", "nan"], ["--duration", "nan"]),
            (["--segment", "0"], ["--segment", "0"]),
            (["--segment", "-3"], ["--segment", "-3"]),
            (["--segment", "nan"], ["--segment", "nan"]),
            (["--segment", "inf"], ["--segment", "inf"]),
            (["--segment", "ten"], ["--segment", "ten"]),
            (["--segment", "1e-9"], ["segment", "sample"]),
            (["--overlap", "1"], ["overlap", "below 1"]),
            (["--overlap", "-0.1"], ["overlap", "-0.1"]),
            (["--overlap", "nan"], ["overlap", "nan"]),
            (["--hop", "11"], ["hop", "10 s", "11 s"]),
            (["--hop", "0"], ["--hop", "0"]),
            (["--hop", "nan"], ["--hop", "nan"]),
            (["--segment", "none", "--hop", "1"], ["hop", "segment"]),
            (["--batch-size", "0"], ["--batch-size", "0"]),
            (["--batch-size", "1.5"], ["--batch-size", "1.5"]),
            (["--device", "gpu"], ["gpu", "auto, cpu, cuda, mps"]),
            (["--device", "cuda:99"], ["cuda:99", "--device cpu"]),
            (["--precision", "64"], ["--precision", "64", "bf16"]),
            (["--model", "umx"], ["umx", zoo.DEFAULT]),
            (["--model", ""], ["unknown model", zoo.DEFAULT]),
            (["--model", "gone.pth"], ["gone.pth", "No such file"]),
            (["--model", "bsrnn"], ["unknown model 'bsrnn'", "obsrnn_simo"]),
            (["--model", "http://127.0.0.1:9/x.pth"], ["x.pth", "download"]),
            (["--output", ""], ["--output", "empty"]),
            (["--outptu", "x"], ["unrecognized arguments", "--help"]),
        ):
            line = complaint("separate", song, "-o", "out", "--model", model, *arguments)
            for word in words:
                assert word in line, arguments
        assert not (tmp_path / "out").exists()

    def test_missing_arguments(self, complaint):
        for arguments, word in (
            ([], "COMMAND"),
            (["separat"], "separat"),
            (["separate"], "INPUT"),
            (["separate", ""], "INPUT"),
            (["separate", "--stems", "vocals", "drums"], "name the inputs before --stems"),
            (["separate", "x.wav", "--bat\nch"], "--bat ch"),
            (["convert", "x.ckpt"], "--output"),
            (["convert", "x.ckpt", "-o", ""], "--output"),
        ):
            line = complaint(*arguments)
            assert word in line
            assert "--help" in line

    @pytest.mark.parametrize(
        "arguments, words",
        [
            (["gone.ckpt", "-o", "x.pth"], ["gone.ckpt", "No such file"]),
            (["song.wav", "-o", "x.pth"], ["song.wav", "not a checkpoint"]),
            (["song.wav", "-o", "song.wav"], ["song.wav", "--overwrite"]),
            (["song.wav", "--name", "nobody"], ["nobody", "bsrnn"]),
            (["song.wav", "--name", zoo.DEFAULT], [zoo.DEFAULT, "needs no import"]),
            (["song.wav", "--name", "bsrnn", "--half"], ["--half", "--output"]),
        ],
    )
    def test_convert(self, song, complaint, monkeypatch, arguments, words):
        monkeypatch.setenv("ASTEROID_CACHE", str(song.parent / "cache"))
        monkeypatch.chdir(song.parent)
        content = song.read_bytes()
        line = complaint("convert", *arguments)
        for word in words:
            assert word in line
        assert song.read_bytes() == content
        assert files_below(song.parent) == ["song.wav"]

    def test_no_cuda(self, tmp_path, model, song, complaint):
        if torch.cuda.is_available():
            pytest.skip("there is a CUDA device")
        line = complaint("separate", song, "-o", tmp_path, "--model", model, "--device", "cuda")
        assert "cuda" in line
        assert "--device cpu" in line

    def test_output_that_is_no_folder_is_told_once(self, tmp_path, model, song, complaint):
        other = write(tmp_path / "other.wav", noise(3000))
        for folder in (song, song / "below"):
            line = complaint("separate", song, other, "-o", folder, "--model", model)
            assert f"{song}: not a folder" in line

    def test_mp3_that_cannot_be(self, tmp_path, model, complaint):
        three = write(tmp_path / "three.wav", noise(3000, channels=3))
        fast = write(tmp_path / "fast.wav", noise(3000), rate=96000)
        for path, word in ((three, "channels"), (fast, "96000 Hz")):
            run = ["separate", path, "-o", tmp_path / "out", "--model", model, "--format", "mp3"]
            assert word in complaint(*run)
        assert not (tmp_path / "out").exists()

    def test_folder_with_nothing_but_stems(self, tmp_path, model, complaint):
        (tmp_path / "out" / "song").mkdir(parents=True)
        write(tmp_path / "out" / "song" / "vocals.wav", noise(3000))
        line = complaint("separate", tmp_path, "-o", tmp_path / "out", "--model", model)
        assert "output folder" in line

    def test_odd_paths(self, tmp_path, model, complaint):
        (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
        os.mkfifo(tmp_path / "pipe.wav")
        for name, word in (("loop.wav", "symbolic links"), ("x" * 300, "too long"),
                           ("pipe.wav", "regular file")):  # fmt: skip
            path = tmp_path / name
            assert word in complaint("separate", path, "-o", tmp_path / "out", "--model", model)

    def test_too_little_memory(self, tmp_path, model, song, complaint, monkeypatch):
        def forward(self, wav):
            return torch.empty(2**52, dtype=torch.uint8)  # torch's own error, of the real allocator

        monkeypatch.setattr(BSRNN, "forward", forward)
        line = complaint("separate", song, "-o", tmp_path / "out", "--model", model)
        assert f"{song}: out of memory" in line
        assert "--segment" in line
        assert not (tmp_path / "out").exists()

    def test_a_bug_is_no_mistake_of_the_user(self, tmp_path, model, song, monkeypatch):
        monkeypatch.setattr(BSRNN, "forward", lambda self, wav: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            main("separate", song, "-o", tmp_path / "out", "--model", model)
        assert not (tmp_path / "out").exists()

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid(), reason="only root may mount")
    @pytest.mark.parametrize("format", ["wav", "flac", "mp3"])
    def test_full_disk(self, tmp_path, model, complaint, format):
        path = write(tmp_path / "song.wav", noise(4 * RATE))
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("no rights to mount a small disk")
        try:
            line = complaint(
                *["separate", path, "-o", disk / "out", "--model", model, "--format", format],
                *["--clip", "none", "--segment", "1"],
            )
            assert "No space left on device" in line
            assert str(disk) in line
            assert list(disk.iterdir()) == []
        finally:
            subprocess.run(["umount", disk], check=True)


class Harmful:
    """What a malicious file holds: unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


class TestModelFiles:
    def refused(self, complaint, song, path):
        output = song.parent / "out"
        line = complaint("separate", song, "-o", output, "--model", path)
        assert str(path) in line
        assert not output.exists()
        return line

    def test_code_in_a_file_is_not_executed(self, tmp_path, song, complaint):
        trap = tmp_path / "executed"
        state = {"model_name": "BSRNN", "model_args": {}, "state_dict": Harmful(trap)}
        torch.save(state, tmp_path / "zip.pth")
        torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
        (tmp_path / "pickle.pth").write_bytes(pickle.dumps(state))
        for name in ("zip.pth", "old.pth", "pickle.pth"):
            self.refused(complaint, song, tmp_path / name)
            assert not trap.exists()
        with open(tmp_path / "pickle.pth", "rb") as file:  # the trap would have worked
            pickle.load(file)
        assert trap.exists()

    def test_what_is_no_model(self, tmp_path, song, model, complaint):
        data = model.read_bytes()
        for name, content in (
            ("text.pth", b"not a model\n" * 100),
            ("empty.pth", b""),
            ("cut.pth", data[: len(data) // 2]),
        ):
            (tmp_path / name).write_bytes(content)
            self.refused(complaint, song, tmp_path / name)
        for name, content in (("list.pth", [1, 2]), ("dict.pth", {"weights": 1})):
            torch.save(content, tmp_path / name)
            self.refused(complaint, song, tmp_path / name)
        self.refused(complaint, song, tmp_path)  # a folder
        self.refused(complaint, song, song)  # the song itself

    def test_other_models_of_asteroid(self, tmp_path, song, complaint):
        network = ConvTasNet(n_src=2, n_repeats=1, n_blocks=1, n_filters=8, bn_chan=8, hid_chan=8)
        torch.save(
            {
                "model_name": "ConvTasNet",
                "model_args": network.get_model_args(),
                "state_dict": network.state_dict(),
            },
            tmp_path / "tasnet.pth",
        )
        self.refused(complaint, song, tmp_path / "tasnet.pth")

    def test_weights_that_are_no_numbers(self, tmp_path, song, complaint):
        network = BSRNN(sources=["vocals"], feature_dim=8, n_repeats=1, mask_expansion=1)
        for parameter in network.parameters():
            parameter.data.fill_(torch.nan)
        path = checkpoint.save_model(network, tmp_path / "nan.pth")
        line = complaint("separate", song, "-o", tmp_path / "out", "--model", path)
        assert "NaN" in line
        assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and terminals")
class TestOnATerminal:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
    def test_stopped_in_the_midst(self, tmp_path, model, long_song, number):
        run = ["separate", long_song, "-o", tmp_path / "out", "--model", model]
        slowly = ["--segment", "0.1", "--hop", "0.01", "--two-stems", "vocals"]
        process = subprocess.Popen(program(*run, *slowly), stdout=-1, stderr=-1, text=True)
        try:
            deadline = time.monotonic() + 120
            while not any(p.stat().st_size > 100_000 for p in tmp_path.glob("out/song/.*/*")):
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert out == ""
        assert [path for path in files_below(tmp_path) if "/.incomplete-" not in path] == []
        if number == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
            return
        assert process.returncode == 128 + number
        assert err == ("asteroid-bsrnn: interrupted\n" if number == signal.SIGINT else "")
        assert not (tmp_path / "out").exists()

    def test_progress_and_time_left(self, tmp_path, model):
        import pty

        path = write(tmp_path / "my song.wav", noise(20 * RATE))
        screen, terminal = pty.openpty()
        run = ["separate", path, "-o", tmp_path / "out", "--model", model, "--segment", "1"]
        process = subprocess.Popen(program(*run), stdout=subprocess.PIPE, stderr=terminal)
        os.close(terminal)
        shown = b""
        while True:
            try:
                data = os.read(screen, 4096)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            shown += data
        os.close(screen)
        process.communicate(timeout=60)
        assert process.returncode == 0
        text = shown.decode()
        times = r"(?:\d\d:\d\d|\?)"
        shape = rf"my song: +(\d+)%\|.*?\| {times} of ({times}), ({times}) left"
        bars = re.findall(shape, text)
        percents = [int(percent) for percent, _, _ in bars]
        assert percents == sorted(percents)
        assert percents[0] == 0
        assert any(0 < percent < 100 and "?" not in (whole, left) for percent, (_, whole, left) in
                   zip(percents, bars, strict=True))  # fmt: skip
        assert "\n" not in text  # the bar goes when the song is done


class TestWords:
    def test_version(self, capsys):
        from asteroid_bsrnn import __version__

        assert main("--version") == 0
        assert capsys.readouterr().out.strip() == __version__

    def test_models(self, capsys):
        assert main("models") == 0
        out, err = capsys.readouterr()
        assert err == ""
        for name, entry in zoo.registry().items():
            assert f"\n  {name}: " in out
            assert entry.licence in " ".join(out.split())
        for name in presets.names():
            assert re.search(rf"[ ,]{name}\b", out)
        assert max(map(len, out.splitlines())) <= 160

    @pytest.mark.parametrize("name", ["separate", "convert", "models"])
    def test_help(self, capsys, name):
        assert main("--help") == 0
        assert re.search(rf"^ +{name} +\w+", capsys.readouterr().out, re.MULTILINE)
        assert main(name, "--help") == 0
        out, err = capsys.readouterr()
        assert err == ""
        # Every argument says what it does.
        for line in re.split(r"\n(?=  [-\w])", out.split("options:")[1])[1:]:
            assert len(line.split()) > 3, line

    def test_help_tells_the_defaults(self, capsys):
        main("separate", "--help")
        out = " ".join(capsys.readouterr().out.split())
        for default in ("separated", zoo.DEFAULT, "10", "0.1", "auto", "32", "wav", "rescale"):
            assert re.search(rf"default: [^;]*{default}", out)


class TestLongFile:
    """The memory of the whole program does not grow with the file."""

    @pytest.mark.slow
    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kilobytes on Linux")
    def test_memory_is_that_of_a_minute(self, tmp_path):
        model = save_network(tmp_path / "tiny.pth", ["vocals"], feature_dim=2)
        peaks = {}
        for minutes in (1, 30):
            path = tmp_path / f"{minutes}.wav"
            with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as sound:
                for _ in range(minutes):
                    sound.write(noise(60 * RATE).T)
            run = ["separate", path, "-o", tmp_path / "out", "--model", model]
            run += ["--two-stems", "vocals"]
            process = subprocess.Popen(program(*run, interpreter=sys.executable))
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0
            peaks[minutes] = usage.ru_maxrss / 1024
            for name in ("vocals", "no_vocals"):
                assert AudioFile(tmp_path / "out" / str(minutes) / f"{name}.wav").frames == (
                    minutes * 60 * RATE
                )
        # One stem of half an hour would be 606 MiB.
        assert peaks[30] - peaks[1] < 256, peaks


class TestTerminal:
    """What a person sees who types the command at a terminal."""

    @staticmethod
    def at_a_terminal(*arguments, **environment) -> str:
        """All that the command line shows in a pseudo-terminal."""
        script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
        done = subprocess.run(
            [sys.executable, "-c", script, *program(*arguments)],
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def test_better_weights_are_mentioned_once(self, tmp_path):
        songs = [write(tmp_path / f"{name}.wav", noise(4000)) for name in "ab"]
        shown = self.at_a_terminal("separate", *songs, "-o", tmp_path / "out")
        assert shown.count("--model obsrnn_simo") == 1 and "1.21 GB" in shown
        chosen = self.at_a_terminal(
            "separate", songs[0], "-o", tmp_path / "two", "--model", zoo.DEFAULT
        )
        assert "obsrnn_simo" not in chosen


class TestWhatUsersTry:
    """Inputs and options as people write them."""

    def test_stems_before_the_inputs(self, tmp_path, model, song, monkeypatch, complaint, capsys):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "album").mkdir()
        write(tmp_path / "album" / "one.wav", noise(3000))
        for number, (arguments, tracks) in enumerate((
            (["--stems", "vocals", "song.wav"], ["song"]),
            (["--stems", "vocals", "other", "album"], ["one"]),
            (["album", "--stems", "vocals", "other", tmp_path / "song.wav"], ["one", "song"]),
        )):  # fmt: skip
            out = tmp_path / f"out{number}"
            assert main("separate", *arguments, "-o", out, "--model", model) == 0, arguments
            assert sorted(path.name for path in out.iterdir()) == tracks, arguments
        capsys.readouterr()
        line = complaint("separate", "--stems", "vocals", "gone.wav", "--model", model)
        assert "gone.wav: No such file" in line
        line = complaint("separate", "song.wav", "--stems", "vocals", "album", "--model", model)
        assert "unknown stem 'album'" in line

    def test_urls_are_shown_as_they_are(self, tmp_path, model, complaint):
        for url in ("https://example.org/song.wav", "file:///tmp/song.wav", "ftp://a.b/c d.mp3"):
            line = complaint("separate", url, "-o", tmp_path / "out", "--model", model)
            assert f"{url}: a URL, not a file; download it" in line
            for arguments in (
                ["evaluate", model, "--root", url],
                ["evaluate", model, "--root", tmp_path, "-o", url],
                ["convert", url, "-o", tmp_path / "x.pth"],
                ["report", tmp_path, url],
                ["separate", tmp_path, "-o", url],
            ):
                assert f"{url} is a URL; give the path" in complaint(*arguments)

    def test_times_with_minutes(self, tmp_path, model, complaint, capsys):
        song = write(tmp_path / "long.wav", noise(64 * 8000), rate=8000)
        run = ["separate", song, "--model", model, "--stems=vocals", "-o"]
        for number, (start, duration, frames) in enumerate((
            ("1:02", "0:01", 8000),
            ("0:01:02.5", "0.25", 2000),
            ("62", "00:00:01", 8000),
        )):  # fmt: skip
            out = tmp_path / str(number)
            assert main(*run, out, "--start", start, "--duration", duration) == 0
            assert AudioFile(out / "long" / "vocals.wav").frames == frames
        capsys.readouterr()
        for start in ("1:75", "1:2", ":30", "1:60:00", "1:00:", "a:00"):
            assert "[h:]m:ss" in complaint(*run, tmp_path / "bad", "--start", start), start
        assert "above 0" in complaint(*run, tmp_path / "bad", "--duration", "0:00")

    def test_names_of_255_bytes(self, tmp_path, model):
        names = ["x" * 251 + ".wav", "x" * 251 + ".WAV", "é" * 125 + "x.wav"]
        bare = ["y" * 255, "é" * 127, "." + "z" * 254]
        folders = [tmp_path / "a", tmp_path / "b"]
        for folder in folders:
            folder.mkdir()
            for name in [*names, *bare]:
                write(tmp_path / "song.wav", noise(300)).rename(folder / name)
        out = tmp_path / "out"
        # Folders are searched for files with the suffix of a format.
        inputs = [*folders, *(folder / name for folder in folders for name in bare)]
        assert main("separate", *inputs, "-o", out, "--model", model) == 0
        tracks = sorted(path.name for path in out.iterdir())
        assert len(tracks) == 12
        assert max(len(os.fsencode(name)) for name in tracks) <= 255
        assert sum(name.endswith(" (2)") for name in tracks) == 5

    def test_linked_folders(self, tmp_path, model, capsys):
        music, elsewhere = tmp_path / "music", tmp_path / "elsewhere"
        for folder in (music / "sub", elsewhere):
            folder.mkdir(parents=True)
        write(music / "sub" / "one.wav", noise(3000, seed=1))
        write(elsewhere / "two.wav", noise(3000, seed=2))
        (music / "link").symlink_to(elsewhere)
        (music / "again").symlink_to(elsewhere)
        (music / "sub" / "loop").symlink_to(music)
        (elsewhere / "back").symlink_to(music / "sub")
        (music / "itself").symlink_to(music / "itself")
        assert main("separate", music, "-o", tmp_path / "out", "--model", model) == 0
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one", "two"]
        assert capsys.readouterr().out.count("\n") == 2

    def test_a_batch_is_run_again(self, tmp_path, model, capsys):
        (tmp_path / "music").mkdir()
        for name in ("a", "b", "c"):
            write(tmp_path / "music" / f"{name}.wav", noise(3000, seed=ord(name)))
        run = ["separate", tmp_path / "music", "-o", tmp_path / "out", "--model", model]
        assert main(*run, "--skip-existing") == 0
        stems = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.wav")}
        # As after an interruption: one song is missing, and one stem of another.
        (tmp_path / "out" / "c" / "other.wav").unlink()
        for path in (tmp_path / "out" / "b").iterdir():
            path.unlink()
        capsys.readouterr()
        assert main(*run, "--skip-existing") == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert out.count("skipped, exists") == 1
        assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.wav")} == stems
        assert main(*run) == 2
        assert capsys.readouterr().err.count("--skip-existing to leave it") == 3

    @pytest.mark.parametrize("pattern", ["{track}/{stem}.{ext}", "{track}.{stem}.{ext}"])
    def test_stems_beside_the_songs(self, tmp_path, model, capsys, pattern):
        # Another run would take the stems for songs, and those of a song "other" for another one.
        for name in ("a.wav", "z/other.wav", "z/a.wav"):
            (tmp_path / "z").mkdir(exist_ok=True)
            write(tmp_path / name, noise(300, seed=len(name)))
        run = ["separate", tmp_path, "-o", tmp_path, "--model", model, "--name", pattern]
        assert main(*run) == 0
        files = files_below(tmp_path)
        assert len(files) == 9
        capsys.readouterr()
        for options in (["--skip-existing"], ["--skip-existing", "--shard", "1/1"]):
            assert main(*run, *options) == 0
            out, err = capsys.readouterr()
            assert err == "" and out.count("skipped, exists") == out.count("\n") == 3
        assert main(*run, "--skip-existing", "--two-stems", "vocals") == 0
        assert len(files_below(tmp_path)) > len(files)  # one stem and the rest are other stems
        # A stem that is named is an input.
        stem = next(path for path in files if path.startswith("a") and "vocals" in path)
        assert main("separate", tmp_path / stem, "-o", tmp_path / "x", "--model", model) == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--version"],
            ["--help"],
            *([name, "--help"] for name in cli.COMMANDS),
        ],
    )
    def test_help_does_not_wait_for_torch(self, arguments):
        code = (
            "import sys; sys.argv = ['asteroid-bsrnn', *sys.argv[1:]]\n"
            "from asteroid_bsrnn import cli\n"
            "try: cli.main()\n"
            "except SystemExit as error: assert not error.code\n"
            "heavy = {'torch', 'asteroid', 'numpy', 'soundfile'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
        )
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True)
        assert done.returncode == 0, done.stderr
        as_module = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "asteroid_bsrnn", *arguments],
            capture_output=True,
            text=True,
        )
        assert as_module.returncode == 0
        assert not re.search(r"\| +(torch|asteroid|numpy)$", as_module.stderr, re.MULTILINE)
