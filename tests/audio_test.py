import hashlib
import multiprocessing
import os
import pickle
import signal
import struct
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

from asteroid_bsrnn.audio import (
    AudioFile,
    AudioWriter,
    OutputDirectory,
    check_output,
    find_inputs,
    resample_blocks,
)
from asteroid_bsrnn.audio.stems import resampled_length
from asteroid_bsrnn.audio.writer import default_subtype
from asteroid_bsrnn.errors import UserError

from .sounds import RATE, noise, refused, write
from .warm_python import python


def ffmpeg(*arguments, **kwargs):
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, **kwargs)


@pytest.fixture
def song(tmp_path):
    """A stereo WAV of 3 s, and its samples."""
    path = tmp_path / "song.wav"
    samples = noise(3 * RATE)
    soundfile.write(path, samples.T, RATE, subtype="PCM_16")
    return path, samples


_converted = {}


def convert(source, name, *options):
    """Convert a file beside itself; the same conversion of the same sound runs once."""
    target = source.with_name(name)
    key = (hashlib.sha256(source.read_bytes()).digest(), target.suffix, options)
    if key not in _converted:
        ffmpeg("-i", source, *options, target)
        _converted[key] = target.read_bytes()
    target.write_bytes(_converted[key])
    return target


def cut(path, share=0.6):
    data = path.read_bytes()
    target = path.with_name("cut_" + path.name)
    target.write_bytes(data[: int(len(data) * share)])
    return target


class TestFindInputs:
    def test_files_as_given_and_folders_sorted(self, tmp_path):
        for name in (
            "b/2.FLAC",
            "b/1.stem.mp4",
            "b/c/0.wav",
            "b/notes.txt",
            "b/.x.wav",
            ".h/y.wav",
        ):
            (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / name).touch()
        odd = tmp_path / "b" / "notes.txt"
        found = find_inputs([odd, tmp_path, str(tmp_path / "b" / "2.FLAC")])
        names = [str(file.relative_to(tmp_path)) for file in found]
        assert names == ["b/notes.txt", "b/1.stem.mp4", "b/2.FLAC", "b/c/0.wav"]
        assert find_inputs(str(odd)) == [odd]

    def test_links_to_folders_are_followed_once(self, tmp_path):
        music, elsewhere = tmp_path / "music", tmp_path / "elsewhere"
        for folder in (music, elsewhere):
            folder.mkdir()
            (folder / f"{folder.name}.wav").touch()
        (music / "a link").symlink_to(elsewhere)
        (music / "b link").symlink_to(elsewhere)
        (music / "loop").symlink_to(music)
        (elsewhere / "up").symlink_to(tmp_path)
        (elsewhere / "itself").symlink_to("itself")
        found = [str(file.relative_to(music)) for file in find_inputs(music)]
        assert found == ["a link/elsewhere.wav", "music.wav"]
        found = [str(file.relative_to(music)) for file in find_inputs(music / "a link")]
        assert found == ["a link/elsewhere.wav"]

    @pytest.mark.parametrize(
        "links, expected",
        [
            ({"music/only": "../elsewhere"}, "music/only/x.wav"),
            ({"link": "elsewhere", "music/chain": "../link"}, "music/chain/x.wav"),
            ({"music/a/b/deep": "../../../elsewhere"}, "music/a/b/deep/x.wav"),
            ({"music/1": "../elsewhere", "elsewhere/back": "../music"}, "music/1/x.wav"),
            ({"music/up": "..", "music/1": "../elsewhere"}, "music/1/x.wav"),
        ],
    )
    def test_folders_that_hold_links_only(self, tmp_path, links, expected):
        for name in ("music/a/b", "elsewhere"):
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "elsewhere" / "x.wav").touch()
        for name, target in links.items():
            (tmp_path / name).symlink_to(target)
        assert find_inputs(tmp_path / "music") == [tmp_path / expected]

    def test_what_systems_leave_is_no_input(self, tmp_path):
        wanted = tmp_path / "album" / "song.wav"
        left = ("._song.wav", "__MACOSX/song.wav", "@eaDir/song.wav", "$RECYCLE.BIN/song.wav")
        for path in (wanted, *(wanted.parent / name for name in left)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        assert find_inputs(tmp_path) == [wanted]

    def test_refuses_urls_as_they_are(self):
        for url in ("https://example.org/x.wav", "file:///x.wav"):
            for read in (find_inputs, AudioFile):
                with refused(f"{url}: a URL, not a file"):
                    read(url)

    def test_refuses_missing_and_silent_paths(self, tmp_path):
        with refused("gone.wav", "No such file"):
            find_inputs([tmp_path / "gone.wav"])
        with refused(tmp_path, "no audio files"):
            find_inputs([tmp_path])


class TestReading:
    @pytest.mark.parametrize(
        "suffix, subtype",
        [("wav", "PCM_16"), ("wav", "FLOAT"), ("flac", "PCM_24"), ("aiff", "PCM_16")],
    )
    def test_lossless_files_come_back_exactly(self, tmp_path, suffix, subtype):
        path, samples = tmp_path / f"x.{suffix}", noise(100_000, channels=3)
        soundfile.write(path, samples.T, 22050, subtype=subtype)
        file = AudioFile(path)
        assert (file.path, file.sample_rate, file.channels) == (path, 22050, 3)
        assert (file.frames, file.subtype) == (100_000, subtype)
        for _ in range(2):
            blocks = list(file.blocks(30_000))
            assert [block.shape for block in blocks] == [(3, 30_000)] * 3 + [(3, 10_000)]
            assert all(block.dtype == np.float32 and block.flags.c_contiguous for block in blocks)
            np.testing.assert_array_equal(np.concatenate(blocks, axis=1), samples)

    @pytest.mark.parametrize("name", ["x.ogg", "x.mp3"])
    def test_lossy_files_keep_their_length(self, song, name):
        path, samples = song
        soundfile.write(path.with_name(name), samples.T, RATE)
        file = AudioFile(path.with_name(name))
        assert file.frames == file.read().shape[1] == samples.shape[1]

    @pytest.mark.parametrize(
        "name, options, frames, subtype",
        [
            ("x.m4a", ["-c:a", "alac"], 3 * RATE, "PCM_16"),
            ("x.mkv", ["-c:a", "flac", "-sample_fmt", "s32"], None, "PCM_24"),
            ("x.mov", ["-c:a", "pcm_f32le"], 3 * RATE, "FLOAT"),
        ],
    )
    def test_pyav_decodes_exactly(self, song, name, options, frames, subtype):
        path, samples = song
        file = AudioFile(convert(path, name, *options))
        assert (file.sample_rate, file.channels) == (RATE, 2)
        assert (file.frames, file.subtype) == (frames, subtype)
        blocks = list(file.blocks(10_000))
        assert all(block.dtype == np.float32 and block.flags.c_contiguous for block in blocks)
        assert max(block.shape[1] for block in blocks) == 10_000
        np.testing.assert_array_equal(np.concatenate(blocks, axis=1), samples)

    def test_mp4_gives_the_first_stream_without_the_codec_padding(self, tmp_path):
        time = np.arange(2 * RATE) / RATE
        for name, hertz in (("mix", 440), ("drums", 3000)):
            tone = 0.5 * np.sin(2 * np.pi * hertz * time)
            soundfile.write(tmp_path / f"{name}.wav", np.stack([tone, tone], 1), RATE)
        path = tmp_path / "song.stem.mp4"
        video = ["-f", "lavfi", "-i", "testsrc=d=3:s=64x64"]
        inputs = [*video, "-i", tmp_path / "mix.wav", "-i", tmp_path / "drums.wav"]
        ffmpeg(*inputs, "-map", "0:v", "-map", "1:a", "-map", "2:a", "-c:a", "aac", path)
        file = AudioFile(path)
        decoded = file.read()
        assert (file.frames, file.subtype) == (2 * RATE, "PCM_16")
        assert decoded.shape == (2, 2 * RATE)
        difference = decoded[0] - 0.5 * np.sin(2 * np.pi * 440 * time)
        assert np.sqrt(np.mean(difference**2)) < 0.02
        np.testing.assert_array_equal(AudioFile(path).read(), decoded)

    def test_stream_that_ends_shortly_before_its_container_says(self, song):
        path, _ = song
        file = AudioFile(convert(path, "x.mp4", "-c:a", "ac3"))
        assert file.read().shape[1] == file.frames

    @pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg", "x.mp3", "x.m4a", "x.webm"])
    def test_part_is_the_same_samples_as_in_the_whole(self, song, name):
        path = song[0] if name == "x.wav" else convert(song[0], name)
        file = AudioFile(path)
        whole, rate = file.read(), file.sample_rate
        part = AudioFile(path, start=1.2345, duration=0.5).read()
        first = round(1.2345 * rate)
        np.testing.assert_array_equal(part, whole[:, first : first + rate // 2])
        rest = AudioFile(path, start=2.9, duration=60)
        assert rest.frames in (None, whole.shape[1] - round(2.9 * rate))
        np.testing.assert_array_equal(rest.read(), whole[:, round(2.9 * rate) :])

    def test_refuses_impossible_parts(self, song):
        path, _ = song
        for start, duration in ((-1, None), (float("nan"), None), (0, 0), (0, -2), (0, np.inf)):
            with refused(path, "must be"):
                AudioFile(path, start, duration)
        with refused(path, "beyond the end of 3.00 s"):
            AudioFile(path, start=3.0)
        with refused("x.webm", "beyond the end"):
            AudioFile(convert(path, "x.webm"), start=5.0).read()

    def test_files_of_unknown_length_are_read_to_their_end(self, song):
        path, samples = song
        for name, *options in (
            ("p.wav", "-f", "wav"), ("p.flac", "-f", "flac"), ("p.w64", "-f", "w64"),
            ("rf64.wav", "-f", "wav", "-rf64", "always"),
        ):  # fmt: skip
            piped = path.with_name(name)
            piped.write_bytes(ffmpeg("-i", path, *options, "-", stdout=-1).stdout)
            np.testing.assert_array_equal(AudioFile(piped).read(), samples)
        data = bytearray(path.read_bytes())
        for size in (0, 0x7FFFF000, 0xFFFFFFFF):
            struct.pack_into("<I", data, 40, size)  # the data chunk's size in a plain WAV
            struct.pack_into("<I", data, 4, (size + 36) & 0xFFFFFFFF)
            path.write_bytes(data)
            np.testing.assert_array_equal(AudioFile(path).read(), samples)

    def test_mp3_that_does_not_tell_its_length(self, tmp_path):
        loud = noise(3 * RATE, scale=0.3)
        path = tmp_path / "loud_then_silent.wav"
        soundfile.write(path, np.concatenate([loud, 0 * loud], axis=1).T, RATE)
        file = AudioFile(convert(path, "x.mp3", "-q:a", "2", "-write_xing", "0"))
        assert file.frames is None
        assert file.read().shape[1] >= 6 * RATE

    def test_mp3_that_tells_its_length_after_a_long_tag(self, song):
        path, samples = song
        file = AudioFile(convert(path, "x.mp3", "-metadata", "comment=" + 9000 * "x"))
        assert file.frames == samples.shape[1]

    def test_whole_files_with_more_than_samples_are_not_taken_for_cut(self, song):
        path, samples = song
        rf64 = path.with_name("rf64.wav")
        soundfile.write(rf64, samples.T, RATE, format="RF64")
        np.testing.assert_array_equal(AudioFile(rf64).read(), samples)
        tail = b"LIST" + struct.pack("<I", 8) + b"INFOabcd"
        path.write_bytes(path.read_bytes() + tail)
        np.testing.assert_array_equal(AudioFile(path).read(), samples)

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
    @pytest.mark.parametrize("name", ["x.flac", "x.mkv"])
    def test_abandoned_iteration_closes_the_file(self, song, name):
        path = convert(song[0], name)
        blocks = AudioFile(path).blocks(1000)
        assert path not in open_files()
        next(blocks)
        assert path in open_files()
        blocks.close()
        assert path not in open_files()


def open_files():
    """What this process has opened."""
    links = Path("/proc/self/fd").iterdir()
    return {Path(os.path.realpath(link)) for link in links}


def read_by_ffmpeg(path, stream=0):
    """The samples `(C, L)` that the ffmpeg program decodes."""
    raw = ["-map", f"0:a:{stream}", "-c:a", "pcm_f32le", "-f", "f32le", "-"]
    channels = AudioFile(path, audio_track=stream + 1).channels
    return np.frombuffer(ffmpeg("-i", path, *raw, stdout=-1).stdout, "<f4").reshape(-1, channels).T


PICTURE = ["-f", "lavfi", "-i", "testsrc=d=3:s=64x64"]


class TestSameAsFfmpeg:
    """PyAV's libraries against the ffmpeg program, which has decoders of another version."""

    @pytest.mark.parametrize(
        "name, options",
        [
            ("x.m4a", ["-c:a", "aac"]),
            ("x.m4a", ["-c:a", "aac", "-ac", "1", "-ar", "48000"]),
            ("fragments.mp4", ["-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"]),
            ("x.mp4", ["-c:a", "ac3"]),
            ("x.mov", ["-c:a", "pcm_s24le"]),
            ("x.mp3", ["-write_xing", "0"]),
            ("x.mp2", []),
            ("x.aac", []),
            ("x.ac3", []),
            ("x.wma", []),
            ("x.tta", []),
            ("x.wv", []),
            ("x.webm", ["-c:a", "libopus"]),
            ("x.webm", ["-c:a", "libvorbis"]),
            ("x.mkv", ["-c:a", "aac"]),
            ("x.oga", ["-c:a", "flac"]),
            ("x.caf", ["-c:a", "alac"]),
            # MPEG audio in containers whose headers only seem to count its samples.
            ("x.wav", ["-c:a", "libmp3lame"]),
            ("x.wav", ["-c:a", "libmp3lame", "-b:a", "64k", "-ar", "22050"]),
            ("x.wav", ["-c:a", "libmp3lame", "-rf64", "always"]),
            ("vbr.wav", ["-c:a", "libmp3lame", "-q:a", "2"]),
            ("vbr.wav", ["-c:a", "libmp3lame", "-q:a", "2", "-rf64", "always"]),
            ("vbr.w64", ["-c:a", "libmp3lame", "-q:a", "2", "-ac", "1"]),
            ("x.wav", ["-c:a", "mp2"]),
            ("x.w64", ["-c:a", "libmp3lame"]),
            ("x.caf", ["-c:a", "libmp3lame"]),
            ("x.wav", ["-c:a", "wmav2"]),
            # What libsndfile misreads.
            ("x.w64", ["-c:a", "pcm_f32le"]),
            ("x.voc", []),
            # What libsndfile reads.
            ("x.w64", ["-c:a", "pcm_s16le"]),
            ("x.wav", ["-c:a", "pcm_s16le", "-rf64", "always"]),
            ("x.aifc", ["-c:a", "pcm_alaw"]),
            ("x.ogg", ["-c:a", "libvorbis"]),
        ],
    )
    def test_sound(self, song, name, options):
        self.compare(convert(song[0], "to_" + name, *options))

    @pytest.mark.parametrize("name", ["x.mp4", "x.mov", "x.flv", "x.ts", "x.mpg", "x.avi"])
    def test_video(self, song, name):
        path = song[0].with_name(name)
        ffmpeg(*PICTURE, "-i", song[0], path)
        self.compare(path)

    def test_streamed_wav_with_mp3(self, song):
        piped = song[0].with_name("piped.wav")
        to_pipe = ["-c:a", "libmp3lame", "-f", "wav"]
        piped.write_bytes(ffmpeg("-i", song[0], *to_pipe, "-", stdout=-1).stdout)
        self.compare(piped)
        decoded = AudioFile(piped).read()
        to_pipe += ["-rf64", "always", "-"]
        piped.write_bytes(ffmpeg("-i", song[0], *to_pipe, stdout=-1).stdout)
        np.testing.assert_array_equal(AudioFile(piped).read(), decoded)

    def test_mp3_in_a_wav_whose_music_becomes_quieter(self, tmp_path):
        # From the bit rate of its first frame, libsndfile expects a third of its length.
        sound = np.concatenate([noise(RATE, scale=0.3), noise(4 * RATE, scale=1e-3)], axis=1)
        self.compare(convert(write(tmp_path / "x.wav", sound), "y.wav", "-c:a", "mp3", "-q:a", "2"))

    def test_channels_that_change(self, song):
        parts = [
            convert(song[0], f"{channels}.ac3", "-ar", "48000", "-ac", channels).read_bytes()
            for channels in ("2", "1")
        ]
        path = song[0].with_name("change.ac3")
        path.write_bytes(b"".join(parts))
        self.compare(path)

    def test_every_stream(self, song):
        path = song[0].with_name("song.stem.mp4")
        louder = ["-filter_complex", "[1:a]volume=0.5[quiet]"]
        mapped = ["-map", "0:v", "-map", "1:a", "-map", "[quiet]"]
        ffmpeg(*PICTURE, "-i", song[0], *louder, *mapped, "-c:a", "aac", path)
        for stream in range(2):
            self.compare(path, stream)

    def compare(self, path, stream=0):
        file = AudioFile(path, audio_track=stream + 1)
        decoded = file.read()
        wanted = read_by_ffmpeg(path, stream)
        assert file.frames in (None, decoded.shape[1])
        if file.frames is None or path.suffix not in (".m4a", ".mp4", ".mov"):
            assert decoded.shape == wanted.shape
        else:
            # MP4 says where the last frame's padding begins; the program gives all of the frame.
            assert abs(wanted.shape[1] - decoded.shape[1]) < 2048
        length = min(wanted.shape[1], decoded.shape[1])
        np.testing.assert_allclose(decoded[:, :length], wanted[:, :length], rtol=0, atol=1e-6)


class TestPyAV:
    def test_needs_no_ffmpeg_program(self, song, monkeypatch):
        path, samples = song
        m4a = convert(path, "x.m4a", "-c:a", "alac")
        monkeypatch.setenv("PATH", str(path.parent))
        np.testing.assert_array_equal(AudioFile(m4a).read(), samples)

    @pytest.mark.parametrize(
        "name, channels", [("x.m4a", 1), ("x.m4a", 2), ("x.mka", 1), ("x.wma", 1)]
    )
    def test_blocks_may_be_written_to(self, song, name, channels):
        path = convert(song[0], name, "-ac", str(channels))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for block in AudioFile(path).blocks():
                torch.from_numpy(block).mul_(0.5)

    @pytest.mark.parametrize(
        "channels, name, codec",
        [(6, "x.wv", "wavpack"), (8, "x.wv", "wavpack"), (16, "x.mka", "pcm_s16le")],
    )
    def test_many_channels(self, tmp_path, channels, name, codec):
        samples = noise(RATE, channels)
        path = convert(write(tmp_path / "x.wav", samples), name, "-c:a", codec)
        np.testing.assert_array_equal(AudioFile(path).read(), samples)

    def test_telephone_codec_that_libsndfile_cannot_seek_in(self, tmp_path):
        for name in ("x.wav", "x.w64"):
            path = tmp_path / name
            soundfile.write(path, noise(3 * 8000, 1).T, 8000, subtype="GSM610")
            assert AudioFile(path).read().shape == (1, -(-3 * 8000 // 320) * 320)

    def test_names_that_are_no_text_or_look_like_addresses(self, song):
        path, samples = song
        alac = convert(path, "x.m4a", "-c:a", "alac")
        for name in (os.fsdecode(b"caf\xe9.m4a"), "http:x.m4a", "-i %03d.m4a", "a\nb.m4a"):
            alac = alac.rename(path.with_name(name))
            np.testing.assert_array_equal(AudioFile(alac).read(), samples)

    def test_playlist_reaches_no_network(self, tmp_path):
        path = tmp_path / "x.m4a"
        path.write_text("#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
        with refused(path, "audio"):
            AudioFile(path).read()

    def test_other_threads_and_processes(self, song):
        paths = [convert(song[0], name) for name in ("x.m4a", "x.webm", "x.wma", "x.mp3")]
        files = [AudioFile(path) for path in paths]
        wanted = [file.read() for file in files]
        begun = files[0].blocks(1000)
        next(begun)
        with ThreadPoolExecutor(4) as pool:
            read = list(pool.map(AudioFile.read, 4 * files))
        for kind in ("fork", "spawn"):
            context = multiprocessing.get_context(kind)
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                read += pool.map(AudioFile.read, files)
        for got, expected in zip(read, 6 * wanted, strict=True):
            np.testing.assert_array_equal(got, expected)
        rest = np.concatenate([wanted[0][:, :1000], *begun], axis=1)
        np.testing.assert_array_equal(rest, wanted[0])
        assert AudioFile.read(pickle.loads(pickle.dumps(files[0]))).shape == wanted[0].shape

    def test_data_loader(self, song):
        paths = [str(convert(song[0], name)) for name in ("x.m4a", "x.mkv")]
        loader = torch.utils.data.DataLoader(
            paths, batch_size=None, num_workers=2, collate_fn=load, timeout=60
        )
        for path, got in zip(paths, loader, strict=True):
            np.testing.assert_array_equal(got, AudioFile(path).read())


def load(path):
    return AudioFile(path).read()


class TestTracks:
    @pytest.fixture
    def make(self, song):
        """Makes a video with two tracks of sound, the second half as loud as the first."""

        def make(name, *options):
            path = song[0].with_name(name)
            inputs = [*PICTURE, "-i", song[0], "-filter_complex", "[1:a]volume=0.5[quiet]"]
            streams = ["-map", "0:v", "-map", "1:a", "-map", "[quiet]", "-c:a", "flac"]
            ffmpeg(*inputs, *streams, "-sample_fmt:a", "s16", "-strict", "-2", *options, path)
            return path

        return make

    @pytest.mark.parametrize("name", ["x.mkv", "x.mp4"])
    def test_default_and_choice(self, make, song, name):
        _, samples = song
        for flags, default in ((("default", "0"), 1), (("0", "default"), 2), (("0", "0"), 1)):
            path = make(name, "-disposition:a:0", flags[0], "-disposition:a:1", flags[1])
            tracks = {n: AudioFile(path, audio_track=n).read()[:, : 3 * RATE] for n in (1, 2)}
            np.testing.assert_array_equal(tracks[1], samples)
            np.testing.assert_allclose(tracks[2], samples / 2, atol=2**-15)
            chosen = AudioFile(path).read()[:, : 3 * RATE]
            np.testing.assert_array_equal(chosen, tracks[default])

    def test_track_that_is_not_there(self, make, song):
        path = make("x.mkv")
        for number in (3, 0, -1):
            with refused("x.mkv", f"no audio track {number}", "1 to 2"):
                AudioFile(path, audio_track=number)
        np.testing.assert_array_equal(AudioFile(song[0], audio_track=1).read(), song[1])
        with refused(song[0], "no audio track 2", "1 to 1"):
            AudioFile(song[0], audio_track=2)


class TestOffset:
    """Sound that starts later than the picture, by half a second."""

    @pytest.fixture
    def make(self, tmp_path):
        """Makes a video of a click that is heard when the sound has run for a second."""
        samples = np.zeros((2, 2 * RATE), np.float32)
        samples[:, RATE : RATE + 50] = 0.9

        def make(name, before_picture=(), before_sound=(), *options):
            source = write(tmp_path / "click.wav", samples)
            inputs = [*before_picture, *PICTURE, *before_sound, "-i", source]
            ffmpeg(*inputs, "-map", "0:v", "-map", "1:a", *options, tmp_path / name)
            return tmp_path / name

        return make

    @staticmethod
    def click(path, **part):
        """When the click is heard, in seconds."""
        file = AudioFile(path, **part)
        loud = np.abs(file.read()).max(axis=0) > 0.45
        return np.argmax(loud) / file.sample_rate

    @pytest.mark.parametrize(
        "name, options, tolerance",
        [
            ("x.mkv", ["-c:a", "pcm_s16le"], 1e-3),
            ("x.mkv", ["-c:a", "libvorbis"], 2e-3),
            ("x.mp4", ["-c:a", "aac"], 2e-3),
            ("x.mp4", ["-c:a", "alac"], 2e-3),
            ("x.mov", ["-c:a", "pcm_s16le"], 2e-3),
            ("x.ts", ["-c:a", "mp2"], 2e-3),
            ("x.mpg", ["-c:a", "mp2"], 2e-3),
            ("x.flv", ["-c:a", "libmp3lame"], 2e-3),
            ("x.wmv", [], 2e-3),
            # Takes the delay of Opus into account twice, by 6.5 ms.
            ("x.webm", ["-c:a", "libopus", "-c:v", "libvpx"], 8e-3),
        ],
    )
    def test_sound_lines_up_with_the_picture(self, make, name, options, tolerance):
        path = make(name, (), ["-itsoffset", "0.5"], *options)
        file = AudioFile(path)
        whole = file.read()
        assert abs(self.click(path) - 1.5) < tolerance
        assert not whole[:, : int(0.4 * file.sample_rate)].any()
        assert file.frames in (None, whole.shape[1])
        assert abs(self.click(path, start=1.25) - 0.25) < tolerance
        part = AudioFile(path, start=0.25, duration=1.5).read()
        first = round(0.25 * file.sample_rate)
        np.testing.assert_array_equal(part, whole[:, first : first + part.shape[1]])

    def test_sound_that_starts_first_is_not_cut(self, make):
        assert abs(self.click(make("x.mkv", ["-itsoffset", "0.5"])) - 1) < 4e-3

    @pytest.mark.parametrize("name", ["x.mkv", "x.wma", "x.m4a", "x.webm"])
    def test_sound_alone_starts_at_once(self, tmp_path, name):
        source = write(tmp_path / "x.wav", noise(2 * RATE))
        path = tmp_path / name
        ffmpeg("-itsoffset", "5", "-i", source, path)
        assert AudioFile(path).read().shape[1] < 2.1 * AudioFile(path).sample_rate

    def test_cover_is_nothing_to_line_up_with(self, song):
        path = song[0].with_name("cover.m4a")
        cover = ["-map", "1:a", "-map", "0:v", "-frames:v", "1", "-disposition:v", "attached_pic"]
        shifted = ["-itsoffset", "5", "-i", song[0]]
        ffmpeg(*PICTURE, *shifted, *cover, "-c:v", "mjpeg", "-c:a", "alac", path)
        assert AudioFile(path).read().shape[1] == 3 * RATE


class TestBadFiles:
    def test_not_audio(self, tmp_path):
        for name in ("x.wav", "x.mp3", "x.m4a", "x.raw", "x.txt", "x"):
            path = tmp_path / name
            path.write_text("The quick brown fox jumps over the lazy dog.\n" * 200)
            with refused(path, "audio"):
                AudioFile(path)

    def test_video_without_sound(self, tmp_path):
        path = tmp_path / "silent.mp4"
        ffmpeg("-f", "lavfi", "-i", "testsrc=d=1:s=64x64", path)
        with refused(path, "no audio"):
            AudioFile(path)

    def test_missing_folder_pipe_and_empty(self, tmp_path):
        with refused("gone.wav", "No such file"):
            AudioFile(tmp_path / "gone.wav")
        with refused(tmp_path, "a folder"):
            AudioFile(tmp_path)
        os.mkfifo(tmp_path / "pipe.wav")
        with refused("pipe.wav", "not a regular file"):
            AudioFile(tmp_path / "pipe.wav")
        (tmp_path / "empty.wav").touch()
        with refused("empty.wav", "0 bytes"):
            AudioFile(tmp_path / "empty.wav")

    def test_unreadable_path(self, song):
        path, _ = song
        with refused(path / "x.wav", "Not a directory"):
            AudioFile(path / "x.wav")
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("root may read everything")
        with refused(path, "Permission denied"):
            AudioFile(path)

    def test_no_samples(self, tmp_path):
        soundfile.write(tmp_path / "x.wav", np.zeros((0, 2)), RATE)
        with refused("x.wav", "no samples"):
            AudioFile(tmp_path / "x.wav")
        data = (tmp_path / "x.wav").read_bytes() + b"LIST" + struct.pack("<I", 8) + b"INFOabcd"
        (tmp_path / "list.wav").write_bytes(b"RIFF" + struct.pack("<I", len(data) - 8) + data[8:])
        with refused("list.wav", "no samples"):
            AudioFile(tmp_path / "list.wav")
        ffmpeg("-i", tmp_path / "x.wav", tmp_path / "x.flac")  # where 0 samples mean: not known
        with refused("x.flac", "no samples"):
            AudioFile(tmp_path / "x.flac").read()

    @pytest.mark.parametrize("value", [np.nan, -np.inf])
    def test_samples_that_are_no_numbers(self, tmp_path, value):
        path, samples = tmp_path / "x.wav", noise(2 * RATE)
        samples[1, int(1.5 * RATE)] = value
        soundfile.write(path, samples.T, RATE, subtype="FLOAT")
        blocks = AudioFile(path, start=0.75).blocks(RATE // 2)
        next(blocks)
        with refused(path, "NaN or infinite", "1.500 s"):
            next(blocks)
        assert AudioFile(path, duration=1.5).read().shape == (2, int(1.5 * RATE))

    @pytest.mark.parametrize(
        "name, options",
        [
            ("x.wav", {"subtype": "PCM_16"}),
            ("x.wav", {"subtype": "PCM_24"}),
            ("x.wav", {"subtype": "FLOAT"}),
            ("x.wav", {"format": "WAVEX"}),
            ("x.wav", {"format": "RF64"}),
            ("x.wav", {"endian": "BIG"}),
            ("x.aiff", {}),
            ("x.au", {}),
            ("x.w64", {}),
            ("x.ogg", {}),
        ],
    )
    def test_cut_short_seen_on_opening(self, tmp_path, name, options):
        path = tmp_path / name
        soundfile.write(path, noise(5 * RATE).T, RATE, **options)
        AudioFile(path)
        with refused("cut_" + name, "cut short"):
            AudioFile(cut(path))

    def test_one_missing_byte_is_seen(self, song):
        path, _ = song
        path.write_bytes(path.read_bytes()[:-1])
        with refused(path, "cut short after 3.00 s"):
            AudioFile(path)

    @pytest.mark.parametrize("share", [0.3, 0.95])
    @pytest.mark.parametrize(
        "name, options",
        [
            ("x.flac", []),
            ("x.mp3", []),
            ("x.mkv", []),
            ("x.m4a", ["-movflags", "faststart"]),
        ],
    )
    def test_cut_short_seen_while_reading(self, song, name, options, share):
        path = convert(song[0], name, *options)
        AudioFile(path).read()
        with refused("cut_" + name, "cut short after"):
            AudioFile(cut(path, share)).read()

    def test_m4a_without_its_end_cannot_be_opened(self, song):
        with refused("cut_x.m4a", "damaged", "Invalid data"):
            AudioFile(cut(convert(song[0], "x.m4a")))

    @pytest.mark.parametrize("name", ["x.flac", "x.m4a"])
    def test_overwritten_in_the_middle(self, song, name):
        path = convert(song[0], name)
        data = bytearray(path.read_bytes())
        middle = len(data) // 2
        data[middle : middle + 600] = b"\xff" * 600
        path.write_bytes(data)
        with refused(path, "damaged"):
            AudioFile(path).read()

    @pytest.mark.parametrize(("name", "share"), [("x.wav", 0.3), ("x.wav", 0.95), ("x.w64", 0.6)])
    def test_mp3_in_a_wav_that_is_cut_short(self, song, name, share):
        path = convert(song[0], "mp3_" + name, "-c:a", "libmp3lame")
        with refused("cut_mp3_" + name, "cut short"):
            AudioFile(cut(path, share)).read()

    def test_recording_in_matroska_that_was_stopped_is_read_to_its_end(self, song):
        streamed = song[0].with_name("live.mkv")
        to_pipe = ["-c:a", "pcm_s16le", "-f", "matroska", "-"]
        streamed.write_bytes(ffmpeg("-i", song[0], *to_pipe, stdout=-1).stdout)
        part = AudioFile(cut(streamed)).read()
        assert RATE < part.shape[1] < 2 * RATE
        np.testing.assert_array_equal(part, song[1][:, : part.shape[1]])


class TestResampling:
    PAIRS = [(44100, 48000), (44101, 44100), (8000, 44100)]

    @pytest.mark.parametrize("from_rate, to_rate", PAIRS)
    def test_blocks_equal_the_whole(self, from_rate, to_rate):
        samples = noise(50_001)
        whole = soxr.resample(samples.T, from_rate, to_rate, quality="HQ").T
        edges = [0, 0, 1, 70, 70, 5000, 30_000, 50_001, 50_001]
        blocks = [samples[:, a:b] for a, b in zip(edges, edges[1:], strict=False)]
        result = list(resample_blocks(blocks, from_rate, to_rate))
        assert all(block.dtype == np.float32 and block.flags.c_contiguous for block in result)
        joined = np.concatenate(result, axis=1)
        assert joined.shape[1] == resampled_length(50_001, from_rate, to_rate) == whole.shape[1]
        np.testing.assert_allclose(joined, whole, atol=1e-5)

    @pytest.mark.parametrize("from_rate, to_rate", PAIRS)
    def test_tone_keeps_its_phase_and_level(self, from_rate, to_rate):
        tones = [np.sin(2 * np.pi * 1000 * np.arange(rate) / rate) for rate in (from_rate, to_rate)]
        source = tones[0].astype(np.float32)[None]
        blocks = [source[:, i : i + 4096] for i in range(0, from_rate, 4096)]
        result = np.concatenate(list(resample_blocks(blocks, from_rate, to_rate)), axis=1)
        middle = slice(to_rate // 10, -to_rate // 10)
        np.testing.assert_allclose(result[0, middle], tones[1][middle], atol=1e-4)

    def test_impulse_stays_in_its_place(self):
        source = np.zeros((1, 48000), np.float32)
        source[0, 24000] = 1
        (result,) = (np.concatenate(list(resample_blocks([source], 48000, 44100)), axis=1),)
        assert np.argmax(np.abs(result[0])) == 22050

    def test_there_and_back_has_the_length_asked_for(self):
        for frames in (1, 2, 999, 44101):
            there = resample_blocks([noise(frames)], 44101, 44100)
            back = list(resample_blocks(there, 44100, 44101, frames=frames))
            assert sum(block.shape[1] for block in back) == frames

    def test_frames_crop_and_pad(self):
        samples = noise(1000)
        for to_rate in (RATE, 48000):
            total = resampled_length(1000, RATE, to_rate)
            blocks = [samples[:, :600], samples[:, 600:]]
            plain = np.concatenate(list(resample_blocks(blocks, RATE, to_rate)), axis=1)
            for frames in (1, 500, total - 1, total, total + 2):
                got = np.concatenate(list(resample_blocks(blocks, RATE, to_rate, frames)), axis=1)
                assert got.shape == (2, frames)
                np.testing.assert_array_equal(got[:, :total], plain[:, :frames])
                assert not got[:, total:].any()

    def test_equal_rates_change_nothing(self):
        samples = noise(1000)
        blocks = [samples[:, :300], samples[:, 300:300], samples[:, 300:]]
        result = list(resample_blocks(blocks, 44100, 44100))
        np.testing.assert_array_equal(np.concatenate(result, axis=1), samples)
        assert list(resample_blocks([], 44100, 48000)) == []

    def test_holds_back_no_more_than_the_filter_needs(self):
        taken = 0

        def blocks():
            nonlocal taken
            for _ in range(200):
                taken += 1000
                yield np.zeros((2, 1000), np.float32)

        sent = 0
        for block in resample_blocks(blocks(), 44101, 44100):
            sent += block.shape[1]
            assert block.shape[1] <= 4000
            assert taken - sent <= 4000
        assert sent == resampled_length(200_000, 44101, 44100)

    def test_length_rule(self):
        assert resampled_length(44100, 44100, 48000) == 48000
        assert resampled_length(3, 2, 1) == 2  # a half goes up
        assert resampled_length(1, 96000, 8000) == 1
        assert resampled_length(0, 96000, 8000) == 0


class TestOutputChoices:
    @pytest.mark.parametrize(
        "format, subtype, rate, channels, result",
        [
            ("wav", None, 44101, 12, "PCM_16"),
            ("wav", "FLOAT", 192000, 1, "FLOAT"),
            ("flac", None, 44100, 8, "PCM_16"),
            ("flac", "PCM_24", 192000, 2, "PCM_24"),
            ("mp3", None, 22050, 2, "MPEG_LAYER_III"),
        ],
    )
    def test_what_is_allowed_can_be_written(
        self, tmp_path, format, subtype, rate, channels, result
    ):
        assert check_output(format, subtype, rate, channels) == result
        path = tmp_path / f"x.{format}"
        with AudioWriter(path, rate, channels, format, result) as writer:
            writer.write(noise(5000, channels))
        file = AudioFile(path)
        assert (file.sample_rate, file.channels) == (rate, channels)
        assert (file.frames, file.subtype) == (5000, result)

    @pytest.mark.parametrize(
        "arguments, words",
        [
            (("aac", None, 44100, 2), ["aac", "wav, flac, mp3"]),
            (("wav", "PCM_32", 44100, 2), ["PCM_32", "PCM_16, PCM_24, FLOAT"]),
            (("flac", "FLOAT", 44100, 2), ["FLOAT", "PCM_16, PCM_24"]),
            (("mp3", "PCM_16", 44100, 2), ["PCM_16", "leave it out"]),
            (("mp3", None, 44100, 3), ["3", "1 to 2 channels", "wav"]),
            (("flac", None, 44100, 9), ["9", "1 to 8 channels", "wav"]),
            (("mp3", None, 96000, 2), ["96000 Hz", "48000", "wav"]),
            (("flac", None, 96001, 2), ["96001 Hz", "655350", "wav"]),
            (("wav", None, 0, 2), ["0 Hz"]),
        ],
    )
    def test_what_cannot_be_written_is_refused(self, arguments, words):
        with refused(*words):
            check_output(*arguments)

    def test_default_keeps_the_depth(self):
        depths = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "VORBIS"]
        wav = ["PCM_16", "PCM_16", "PCM_24", "PCM_24", "FLOAT", "FLOAT", "PCM_16"]
        assert [default_subtype("wav", depth) for depth in depths] == wav
        flac = [subtype.replace("FLOAT", "PCM_24") for subtype in wav]
        assert [default_subtype("flac", depth) for depth in depths] == flac
        assert default_subtype("mp3", "PCM_24") is None


class TestWriting:
    @pytest.mark.parametrize(
        ("format", "subtype", "bits"),
        [("wav", "PCM_16", 16), ("wav", "PCM_24", 24), ("flac", "PCM_24", 24)],
    )
    def test_integers_are_the_nearest_and_clip(self, tmp_path, format, subtype, bits):
        full = 2 ** (bits - 1)
        steps = [0.4, 0.6, -0.4, -0.6, 1000.7, -1000.7, full - 1, full, 3 * full, -full, -3 * full]
        right = [0, 1, 0, -1, 1001, -1001, full - 1, full - 1, full - 1, -full, -full]
        path = tmp_path / "x"
        with AudioWriter(path, RATE, 1, format, subtype) as writer:
            writer.write(np.array([steps]) / full)
        assert (soundfile.read(path, dtype="int32")[0] >> (32 - bits)).tolist() == right

    @pytest.mark.parametrize("format, subtype", [("wav", "PCM_16"), ("flac", "PCM_24")])
    def test_same_samples_give_the_same_bytes(self, tmp_path, format, subtype):
        samples = np.random.default_rng(0).uniform(-1.5, 1.5, (2, 20_000)).astype(np.float32)
        for name, size in (("a", 20_000), ("b", 777)):
            with AudioWriter(tmp_path / name, RATE, 2, format, subtype) as writer:
                for i in range(0, 20_000, size):
                    writer.write(samples[:, i : i + size])
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_float_keeps_what_is_beyond_full_scale(self, tmp_path):
        path, samples = tmp_path / "x.wav", 3 * noise(1000, scale=1)
        with AudioWriter(path, RATE, 2, "wav", "FLOAT") as writer:
            writer.write(samples)
        np.testing.assert_array_equal(AudioFile(path).read(), samples)

    def test_mp3_stays_in_place_and_sounds_the_same(self, tmp_path):
        time = np.arange(2 * RATE) / RATE
        left = 0.4 * np.sin(2 * np.pi * 440 * time) * np.exp(-time)
        samples = np.stack([left, 0.3 * np.sin(2 * np.pi * 1234 * time)]).astype(np.float32)
        path = tmp_path / "x.mp3"
        with AudioWriter(path, RATE, 2, "mp3", None) as writer:
            for i in range(0, 2 * RATE, 10_000):
                writer.write(samples[:, i : i + 10_000])
        decoded = AudioFile(path).read()
        assert decoded.shape == samples.shape
        assert path.stat().st_size * 8 / 2 > 320_000  # bits in a second
        noise_ratio = np.sum((decoded - samples) ** 2, axis=1) / np.sum(samples**2, axis=1)
        assert (10 * np.log10(noise_ratio) < -40).all()

    @pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
    @pytest.mark.parametrize("hint", [None, 5000])
    def test_wav_beyond_its_limit_becomes_rf64(self, tmp_path, monkeypatch, subtype, hint):
        monkeypatch.setattr("asteroid_bsrnn.audio.writer._WAV_LIMIT", 15_000)
        path, samples = tmp_path / "x.wav", noise(5000)
        with AudioWriter(path, RATE, 2, "wav", subtype, frames=hint) as writer:
            assert path.read_bytes()[:4] == (b"RF64" if hint else b"RIFF")
            for i in range(0, 5000, 700):
                writer.write(samples[:, i : i + 700])
        assert soundfile.info(path).format == "RF64"
        np.testing.assert_array_equal(AudioFile(path).read(), samples)
        assert [file.name for file in tmp_path.iterdir()] == ["x.wav"]

    def test_wav_within_its_limit_stays_wav(self, tmp_path):
        path = tmp_path / "x.wav"
        with AudioWriter(path, RATE, 2, "wav", "PCM_16", frames=1000) as writer:
            writer.write(noise(1000))
        assert soundfile.info(path).format == "WAV"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
    @pytest.mark.parametrize("format", ["wav", "flac", "mp3"])
    def test_full_disk(self, format):
        writer = AudioWriter("/dev/full", RATE, 2, format, None)
        with refused("/dev/full", "No space left on device"), writer:
            writer.write(noise(4 * RATE))

    def test_folder_that_is_not_there(self, tmp_path):
        with refused(tmp_path / "gone" / "x.wav", "No such file"):
            AudioWriter(tmp_path / "gone" / "x.wav", RATE, 2, "wav", None).__enter__()

    def test_wrong_blocks_and_formats(self, tmp_path):
        with refused("flac", "FLOAT"):
            AudioWriter(tmp_path / "x.flac", RATE, 2, "flac", "FLOAT")
        with AudioWriter(tmp_path / "x.wav", RATE, 2, "wav", None) as writer:
            with pytest.raises(ValueError, match="expected"):
                writer.write(noise(10, channels=1))
            with pytest.raises(ValueError, match="NaN"):
                writer.write(np.full((2, 10), np.nan))

    def test_an_error_inside_is_passed_on(self, tmp_path):
        with pytest.raises(KeyError), AudioWriter(tmp_path / "x.wav", RATE, 2, "wav", None):
            raise KeyError


class TestOutputDirectory:
    def test_what_killed_processes_leave_is_deleted(self, tmp_path):
        code = (
            "import os, signal, sys\n"
            "from asteroid_bsrnn.audio import OutputDirectory\n"
            "with OutputDirectory(sys.argv[1]) as output:\n"
            "    (output.temporary / 'stem.spool').write_bytes(bytes(1000))\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        killed = subprocess.run([python(), "-c", code, tmp_path])
        assert killed.returncode == -signal.SIGKILL
        (left,) = tmp_path.iterdir()
        assert [path.name for path in left.iterdir()] == ["stem.spool"]
        # A folder that another writer is using stays.
        with OutputDirectory(tmp_path) as first, OutputDirectory(tmp_path) as second:
            assert set(tmp_path.iterdir()) == {first.temporary, second.temporary}
        assert not list(tmp_path.iterdir())

    def test_commit_moves_files_and_replaces(self, tmp_path):
        target = tmp_path / "out"
        target.mkdir()
        (target / "a.wav").write_text("old")
        with OutputDirectory(target) as output:
            assert output.temporary.parent == target and output.temporary.name.startswith(".")
            files = {}
            for name in ("a.wav", "song/b.wav"):
                temporary = output.temporary / name.replace("/", "_")
                temporary.write_text("new")
                files[temporary] = target / name
            (output.temporary / "unfinished").touch()
            output.commit(files)
        found = sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file())
        assert found == ["a.wav", "song/b.wav"]
        assert (target / "a.wav").read_text() == "new"

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, UserError])
    def test_leaves_nothing_behind(self, tmp_path, error):
        with pytest.raises(error), OutputDirectory(tmp_path / "new" / "deep") as output:
            (output.temporary / "half.wav").write_text("half")
            raise error
        assert list(tmp_path.iterdir()) == []

    def test_keeps_what_was_there(self, tmp_path):
        (tmp_path / "out").mkdir()
        with OutputDirectory(tmp_path / "out"):
            pass
        with OutputDirectory(tmp_path / "new") as output:
            (output.directory / "other.txt").touch()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "out"]

    def test_refuses_what_cannot_be_a_folder(self, song, tmp_path):
        path, _ = song
        for directory in (path, path / "sub" / "deep"):
            with refused(directory, "Not a directory"):
                OutputDirectory(directory).__enter__()
        with refused("cannot be written"):
            OutputDirectory(tmp_path / "new" / ("x" * 300)).__enter__()
        assert [p.name for p in tmp_path.iterdir()] == [path.name]

    def test_refuses_what_may_not_be_written(self, tmp_path):
        tmp_path.chmod(0o500)
        if os.access(tmp_path, os.W_OK):
            pytest.skip("root may write everywhere")
        with refused(tmp_path, "Permission denied"):
            OutputDirectory(tmp_path).__enter__()

    def test_commit_names_the_file_that_is_in_the_way(self, tmp_path):
        (tmp_path / "vocals.wav").mkdir()
        with refused("vocals.wav", "a folder"), OutputDirectory(tmp_path) as output:
            (output.temporary / "v").touch()
            output.commit({output.temporary / "v": tmp_path / "vocals.wav"})
