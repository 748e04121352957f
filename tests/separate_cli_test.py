"""Options of `asteroid-bsrnn separate`: names, formats, tags."""

import av
import numpy as np
import pytest

from asteroid_bsrnn.audio import AudioFile
from asteroid_bsrnn.audio.tags import Tags, read_tags, write_tags

from .audio_lossy_test import encode, music, picture, rate_of
from .cli_test import complaint, files_below, main, save_network
from .sounds import RATE, decibels, noise, write

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
