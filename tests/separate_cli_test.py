"""Options of `asteroid-bsrnn separate`: names, formats, tags, progress, shards, devices."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from asteroid_bsrnn.audio import AudioFile
from asteroid_bsrnn.audio.names import Tags, read_tags, write_tags

from .audio_lossy_test import encode, music, picture, rate_of
from .cli_test import command, complaint, files_below, main, program, save_network
from .sounds import RATE, decibels, noise, write
from .warm_python import python

# The command line as a process that signals to its group reach, and whose processes start warm.
WITH_WARM_PROCESSES = """
import multiprocessing, sys
from asteroid_bsrnn import cli
multiprocessing.set_executable(sys.argv[1])
sys.exit(cli.main(sys.argv[2:]))
"""

__all__ = ["complaint"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A file of a tiny network whose two stems sum up to the mixture."""
    path = tmp_path_factory.mktemp("model") / "tiny.pth"
    return save_network(path, ["vocals", "other"], last_source_as_residual=True)


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    for number, name in enumerate(("a", "b", "c")):
        write(folder / f"{name}.wav", noise(3000, seed=number))
    return folder


class TestNames:
    def test_a_flat_folder(self, tmp_path, model, album, capsys):
        run = ["separate", album, "-o", tmp_path / "out", "--model", model]
        flat = ["--name", "{track}-{stem}.{ext}", "--format", "flac"]
        assert main(*run, *flat) == 0
        names = [f"{track}-{stem}.flac" for track in "abc" for stem in ("other", "vocals")]
        assert files_below(tmp_path / "out") == names
        assert f"{album / 'a.wav'} -> {tmp_path / 'out'} (vocals, other)" in capsys.readouterr().out
        # A rerun leaves all of them.
        assert main(*run, *flat, "--skip-existing") == 0
        assert capsys.readouterr().out.count("skipped, exists") == 3
        assert main(*run, "--name", "{stem}/{track}.{ext}") == 0
        assert (tmp_path / "out" / "vocals" / "b.wav").is_file()

    def test_patterns_that_are_refused(self, tmp_path, model, album, complaint):
        run = ["separate", album, "-o", tmp_path / "out", "--model", model, "--name"]
        for pattern, word in (
            ("{stem}.{ext}", "several songs would replace each other"),
            ("{track}.{ext}", "stems of a song would replace each other"),
            ("../{track}-{stem}.{ext}", "below the output folder"),
            ("{song}-{stem}.{ext}", "{track}, {stem}, {ext}, {index} only"),
            ("{track}-{stem}", "must end with .{ext}"),
            ("", "--name"),
        ):
            assert word in complaint(*run, pattern), pattern
        assert not (tmp_path / "out").exists()

    def test_songs_whose_stems_would_have_one_name(self, tmp_path, model, complaint):
        for name in ("song", "song_no"):
            write(tmp_path / f"{name}.wav", noise(3000))
        run = ["separate", tmp_path / "song.wav", tmp_path / "song_no.wav", "--model", model]
        run += ["-o", tmp_path / "out", "--two-stems", "vocals"]
        line = complaint(*run, "--name", "{track}_{stem}.{ext}")
        assert "'song'" in line and "'song_no'" in line and "song_no_vocals.wav" in line
        assert not (tmp_path / "out").exists()
        assert main(*run, "--name", "{track}-{stem}.{ext}") == 0


class TestFormats:
    @pytest.mark.parametrize("format", ["ogg", "opus", "m4a", "mp3"])
    def test_bit_rate_length_and_sum(self, tmp_path, model, format):
        song = write(tmp_path / "song.wav", music(2.5))
        run = ["separate", song, "--model", model, "--two-stems", "vocals", "--format", format]
        assert main(*run, "--bitrate", "128k", "-o", tmp_path / "low") == 0
        assert main(*run, "-o", tmp_path / "high") == 0
        rate = 48000 if format == "opus" else RATE
        errors = []
        for folder in ("low", "high"):
            paths = [tmp_path / folder / "song" / f"{n}.{format}" for n in ("vocals", "no_vocals")]
            stems = [AudioFile(path) for path in paths]
            total = sum(stem.read() for stem in stems)
            assert total.shape == (2, round(2.5 * rate))
            assert {stem.sample_rate for stem in stems} == {rate}
            if format != "opus":
                errors.append(decibels(AudioFile(song).read(), total))
        assert errors == sorted(errors) and all(error > 12 for error in errors)
        if format != "ogg":
            low = rate_of(tmp_path / "low" / "song" / f"no_vocals.{format}", 2.5)
            assert low == pytest.approx(128000, rel=0.25)
        # Stems at another rate than the song's are known again.
        assert main(*run, "-o", tmp_path / "high", "--skip-existing") == 0

    def test_bit_rates_that_are_refused(self, tmp_path, model, album, complaint):
        run = ["separate", album, "-o", tmp_path / "out", "--model", model]
        assert "wav files have no bit rate" in complaint(*run, "--bitrate", "192k")
        assert "flac files" in complaint(*run, "--format", "flac", "--bitrate", "192k")
        assert "320k" in complaint(*run, "--format", "mp3", "--bitrate", "193k")
        for text in ("192", "fast", "-1k", "1.5k", "0k"):
            line = complaint(*run, "--format", "mp3", f"--bitrate={text}")
            assert "such as 192k" in line and "--bitrate" in line
        assert not (tmp_path / "out").exists()


class TestTags:
    def test_every_format_gets_the_songs_tags(self, tmp_path, model):
        texts = {"title": "Lied", "artist": "Björn", "album": "Platte", "date": "1999",
                 "track": "4/12"}  # fmt: skip
        song = encode(tmp_path / "01 lied.mp3", music(0.5))
        write_tags(song, "mp3", Tags(texts, picture("JPEG")))
        for format in ("wav", "flac", "mp3", "ogg", "opus", "m4a"):
            run = ["separate", song, "--model", model, "--format", format]
            assert main(*run, "-o", tmp_path / format) == 0
            for stem in ("vocals", "other"):
                found = read_tags(tmp_path / format / "01 lied" / f"{stem}.{format}")
                assert found.texts == {**texts, "title": f"Lied ({stem})"}
                assert found.cover == (None if format == "wav" else picture("JPEG"))

    def test_the_sound_is_that_without_tags(self, tmp_path, model):
        plain = write(tmp_path / "plain.flac", noise(30000))
        tagged = write(tmp_path / "tagged.flac", noise(30000))
        write_tags(tagged, "flac", Tags({"title": "x"}, picture("PNG")))
        run = ["separate", plain, tagged, "-o", tmp_path / "out", "--model", model]
        assert main(*run, "--format", "flac") == 0
        for stem in ("vocals", "other"):
            one, two = (AudioFile(tmp_path / "out" / name / f"{stem}.flac")
                        for name in ("plain", "tagged"))  # fmt: skip
            np.testing.assert_array_equal(one.read(), two.read())
            assert one.frames == two.frames
        with av.open(str(tmp_path / "out" / "tagged" / "vocals.flac")) as container:
            assert len(container.streams.video) == 1


def events(text):
    """The JSON objects of an output, one a line."""
    return [json.loads(line) for line in text.splitlines()]


class TestProgress:
    def test_one_object_a_line(self, tmp_path, model, capsys):
        good = write(tmp_path / "good.wav", noise(2 * RATE))
        bad = tmp_path / "bad.wav"
        bad.write_text("no sound")
        run = ["separate", bad, good, "-o", tmp_path / "out", "--model", model]
        assert main(*run, "--segment", "0.5", "--progress", "json") == 2
        out, err = capsys.readouterr()
        found = events(out)
        assert [event["event"] for event in found if event["event"] != "progress"] == [
            "start", "error", "written", "written", "end",
        ]  # fmt: skip
        assert found[0] == {
            "event": "start", "command": "separate", "inputs": 2, "sources": ["vocals", "other"],
            "output": str(tmp_path / "out"),
        }  # fmt: skip
        progress = [event for event in found if event["event"] == "progress"]
        assert {event["input"] for event in progress} == {str(good)}
        assert {event["total"] for event in progress} == {2.0}
        seconds = [event["seconds"] for event in progress]
        assert len(seconds) > 2 and seconds == sorted(seconds) and seconds[-1] == 2.0
        (error,) = [event for event in found if event["event"] == "error"]
        assert error["input"] == str(bad) and error["message"] in err and err.count("\n") == 1
        written = [event for event in found if event["event"] == "written"]
        assert [event["stem"] for event in written] == ["vocals", "other"]
        assert all(os.path.isfile(event["path"]) for event in written)
        end = found[-1]
        assert end.pop("elapsed") > 0
        assert end == {
            "event": "end", "exit_code": 2, "written": 1, "skipped": 0, "failed": 1
        }  # fmt: skip
        assert main(*run[:1], good, *run[3:], "--progress", "json", "--skip-existing") == 0
        found = events(capsys.readouterr().out)
        assert [event["event"] for event in found] == ["start", "skipped", "skipped", "end"]

    def test_errors_that_stop_everything(self, tmp_path, model, capsys):
        song = write(tmp_path / "song.wav", noise(3000))
        run = ["separate", song, "-o", tmp_path / "out", "--progress", "json"]
        assert main(*run, "--model", tmp_path / "gone.pth") == 2
        out, err = capsys.readouterr()
        error, end = events(out)
        assert error["event"] == "error" and error["input"] is None
        assert "gone.pth" in error["message"] and "gone.pth" in err and err.count("\n") == 1
        assert (end["event"], end["exit_code"]) == ("end", 2)

    def test_a_program_reads_the_lines_as_they_come(self, tmp_path, model):
        name = os.fsdecode(b"caf\xe9.wav")
        write(tmp_path / "x.wav", noise(20 * RATE)).rename(tmp_path / name)
        run = ["separate", name, "--model", model, "--segment", "0.2", "--hop", "0.02"]
        process = subprocess.Popen(
            program(*run, "--progress", "json"),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        lines = [json.loads(process.stdout.readline()) for _ in range(4)]
        assert process.poll() is None
        assert [line["event"] for line in lines] == ["start", *["progress"] * 3]
        assert 0 < lines[1]["seconds"] < lines[2]["seconds"] < lines[3]["seconds"] < 20
        assert lines[1]["input"] == name
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=60)
        assert events(rest)[-1]["exit_code"] == process.returncode == 130
        assert err == "asteroid-bsrnn: interrupted\n"


@pytest.fixture
def library(tmp_path):
    """A folder with seven songs, two of them with one name."""
    folder = tmp_path / "library"
    names = ["a", "B", "c/a", "c/d", "c/\xe9", "z", "zz/y"]
    for seed, name in enumerate(names):
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, noise(3000, seed=seed))
    return folder


def contents(folder):
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


class TestShards:
    def test_any_number_of_shards_gives_the_same_files(self, tmp_path, model, library, capsys):
        run = ["separate", library, "--model", model]
        assert main(*run, "-o", tmp_path / "whole") == 0
        whole = contents(tmp_path / "whole")
        assert len(whole) == 14 and "a (2)/vocals.wav" in whole
        for count in (3, 9):  # with an empty shard
            out = tmp_path / str(count)
            seen = set()
            for index in reversed(range(1, count + 1)):
                before = set(files_below(out)) if out.exists() else set()
                assert main(*run, "-o", out, "--shard", f"{index}/{count}") == 0
                # A rerun finds its own stems and makes none of another shard's.
                rerun = ["-o", out, "--shard", f"{index}/{count}", "--skip-existing"]
                made = (set(files_below(out)) if out.exists() else set()) - before
                assert main(*run, *rerun) == 0
                assert not made & seen
                seen |= made
            assert contents(out) == whole
        capsys.readouterr()

    def test_shards_do_not_depend_on_the_place_or_the_order(self, tmp_path, model, library):
        copy = tmp_path / "elsewhere" / "copy"
        shutil.copytree(library, copy)
        # Files as a shell with another locale may list them.
        files = sorted(library.rglob("*.wav"), reverse=True)
        for number, inputs in enumerate(([library], [copy])):
            run = ["separate", *inputs, "--model", model, "-o", tmp_path / f"out{number}"]
            assert main(*run, "--shard", "2/3") == 0
        assert contents(tmp_path / "out0") == contents(tmp_path / "out1")
        for number, inputs in enumerate((files, files[::-1]), start=2):
            run = ["separate", *inputs, "--model", model, "-o", tmp_path / f"out{number}"]
            assert main(*run, "--shard", "2/3") == 0
        assert contents(tmp_path / "out2") == contents(tmp_path / "out3")

    def test_two_jobs_at_once_into_a_flat_folder(self, tmp_path, model, library):
        run = ["separate", library, "--model", model, "--name", "{track}-{stem}.{ext}"]
        jobs = [
            subprocess.Popen(
                program(*run, "-o", tmp_path / "out", "--shard", shard),
                stderr=subprocess.PIPE,
            )
            for shard in ("1/2", "2/2")
        ]
        assert [job.communicate(timeout=120)[1] for job in jobs] == [b"", b""]
        assert len(files_below(tmp_path / "out")) == 14

    def test_shards_that_are_none(self, tmp_path, model, library, complaint):
        run = ["separate", library, "-o", tmp_path / "out", "--model", model, "--shard"]
        for text in ("0/4", "5/4", "3", "a/b", "1/0", "-1/2"):
            line = complaint(*run[:-1], f"--shard={text}")
            assert "--shard" in line and "K/N" in line, text


class TestDevices:
    def test_two_processes_do_what_one_does(self, tmp_path, model, library, capfd):
        (library / "bad.wav").write_text("no sound")
        run = ["separate", library, "--model", model, "-o"]
        assert main(*run, tmp_path / "one") == 2
        one = capfd.readouterr()
        devices = ["--device", "cpu,cpu", "--progress", "json"]
        assert main(*run, tmp_path / "two", *devices) == 2
        two = capfd.readouterr()
        assert contents(tmp_path / "two") == contents(tmp_path / "one")
        assert two.err == one.err and "bad.wav" in one.err
        found = events(two.out)
        assert found[0]["inputs"] == 8 and found[-1]["event"] == "end"
        assert (found[-1]["written"], found[-1]["failed"]) == (7, 1)
        assert {event["total"] for event in found if event["event"] == "progress"} == {0.068}

    def test_devices_that_are_none(self, tmp_path, model, library, complaint):
        run = ["separate", library, "-o", tmp_path / "out", "--model", model, "--device"]
        assert "a name is empty" in complaint(*run, "cpu,")
        assert not (tmp_path / "out").exists()

    @pytest.mark.slow
    def test_a_device_that_is_not_there(self, tmp_path, model, library, complaint):
        run = ["separate", library, "-o", tmp_path / "out", "--model", model, "--device"]
        assert "cuda:77" in complaint(*run, "cpu,cuda:77")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
    )
    def test_stopped_in_the_midst(self, tmp_path, model, number):
        for name in "ab":
            write(tmp_path / f"{name}.wav", noise(30 * RATE))
        slowly = ["--segment", "0.2", "--hop", "0.01", "--device", "cpu,cpu"]
        run = ["separate", tmp_path, "-o", tmp_path / "out", "--model", model, *slowly]
        command = [sys.executable, "-c", WITH_WARM_PROCESSES, python(), *map(str, run)]
        process = subprocess.Popen(command, stderr=-1, start_new_session=True)
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("out/*/.incomplete*/*"))) < 4:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        # As a terminal does, or a batch system that signals the whole job.
        os.killpg(process.pid, number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 128 + number
        assert err.decode() == ("asteroid-bsrnn: interrupted\n" if number == signal.SIGINT else "")
        assert files_below(tmp_path / "out") == []

    @pytest.mark.slow
    def test_a_process_that_is_killed_costs_one_song(self, tmp_path, model):
        for name in "abc":
            write(tmp_path / f"{name}.wav", noise(2 * RATE))
        slowly = ["--segment", "0.2", "--hop", "0.01", "--device", "cpu,cpu"]
        run = ["separate", tmp_path, "-o", tmp_path / "out", "--model", model, *slowly]
        process = subprocess.Popen(
            program(*run, interpreter=sys.executable),
            stdout=-1,
            stderr=-1,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("out/*/.incomplete*/*")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        workers = [
            child
            for child in map(int, Path(children).read_text().split())
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        os.kill(workers[0], signal.SIGKILL)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 2
        assert err.count("\n") == 1 and "exit code -9" in err
        assert out.count(" -> ") == 2


def test_help_fits_two_screens():
    done = command("separate", "--help", env={**os.environ, "COLUMNS": "100"})
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) <= 100
