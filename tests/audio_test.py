import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from asteroid_bsrnn.audio import (
    AudioFile,
    AudioWriter,
    OutputDirectory,
    check_output,
    default_subtype,
    find_inputs,
    resample_blocks,
    resampled_length,
    writing,
)
from asteroid_bsrnn.errors import UserError

from .sounds import RATE, noise, refused


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


def convert(source, name, *options):
    target = source.with_name(name)
    ffmpeg("-i", source, *options, target)
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
    def test_ffmpeg_decodes_exactly(self, song, name, options, frames, subtype):
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
        for name, container in (("p.wav", "wav"), ("p.flac", "flac")):
            piped = path.with_name(name)
            piped.write_bytes(ffmpeg("-i", path, "-f", container, "-", stdout=-1).stdout)
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
    def test_abandoned_iteration_ends_ffmpeg(self, song):
        path, samples = song
        long = path.with_name("long.wav")
        soundfile.write(long, np.tile(samples, 10).T, RATE)
        blocks = AudioFile(convert(long, "x.mkv", "-c:a", "flac")).blocks(1000)
        next(blocks)
        assert child_programs() == ["ffmpeg"]
        blocks.close()
        assert child_programs() == []


def child_programs():
    """Names of the programs that run (or wait to be reaped) as children of this process."""
    names = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = status.read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:  # it ended while we looked
            continue
        if int(fields.split()[1]) == os.getpid():
            names.append(name)
    return names


class TestBadFiles:
    @pytest.mark.parametrize("name", ["x.wav", "x.mp3", "x.m4a", "x.raw", "x.txt", "x"])
    def test_not_audio(self, tmp_path, name):
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

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
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
        with refused("cut_x.m4a", "damaged", "moov atom not found"):
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

    def test_ffmpeg_that_is_not_installed(self, song, monkeypatch):
        path, samples = song
        m4a = convert(path, "x.m4a")
        monkeypatch.setenv("PATH", str(path.parent))
        with refused(m4a, "ffmpeg", "install ffmpeg"):
            AudioFile(m4a)
        np.testing.assert_array_equal(AudioFile(path).read(), samples)


class TestResampling:
    PAIRS = [(44100, 48000), (48000, 44100), (44101, 44100), (96000, 44100), (8000, 44100)]

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
            (("ogg", None, 44100, 2), ["ogg", "wav, flac, mp3"]),
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
    @pytest.mark.parametrize("format", ["wav", "flac"])
    @pytest.mark.parametrize("subtype, bits", [("PCM_16", 16), ("PCM_24", 24)])
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
        monkeypatch.setattr(writing, "_WAV_LIMIT", 15_000)
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
