"""Lossy formats with their bit rates, and tags and covers in every format."""

import io

import av
import numpy as np
import pytest
from PIL import Image

from asteroid_bsrnn.audio import AudioFile, AudioWriter, check_output
from asteroid_bsrnn.audio.names import TAG_NAMES, Tags, read_tags, write_tags
from asteroid_bsrnn.audio.writer import LOSSY
from asteroid_bsrnn.options import SUBTYPES

from .sounds import RATE, decibels, noise, refused


def music(seconds, rate=RATE, channels=2):
    """Sounds that encoders can follow: harmonics that change, with little noise."""
    time = np.arange(round(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * 110 * k * time * (1 + 0.01 * time)) / k for k in range(1, 9))
    sides = [0.2 * tones * (1 - 0.3 * c) for c in range(channels)]
    return np.stack(sides).astype(np.float32) + noise(len(time), channels, 0.003)


def picture(kind):
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 90)).save(file, kind)
    return file.getvalue()


def encode(path, samples, rate=RATE, bitrate=None, block=7000):
    format = path.suffix[1:]
    with AudioWriter(path, rate, len(samples), format, None, bitrate=bitrate) as writer:
        for start in range(0, samples.shape[1], block):
            writer.write(samples[:, start : start + block])
    return path


def rate_of(path, seconds):
    """Bits per second of the sound."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.audio[0])
        return 8 * sum(packet.size for packet in packets) / seconds


@pytest.mark.parametrize("format", LOSSY)
@pytest.mark.parametrize("channels", [1, 2])
def test_length_and_sound_are_kept(tmp_path, format, channels):
    rates = (48000, 16000) if format == "opus" else (44100, 48000, 22050)
    for rate in rates:
        for frames in (1, 1023, 30011):
            samples = music(1, rate, channels)[:, :frames]
            path = encode(tmp_path / f"{rate}-{frames}.{format}", samples, rate)
            sound = AudioFile(path)
            read = sound.read()
            assert (sound.sample_rate, read.shape) == (rate, samples.shape)
        assert decibels(samples, read) > 17


@pytest.mark.parametrize(
    "format, bitrates, tolerance",
    [
        ("mp3", [64000, 192000, 320000], 0.02),
        ("opus", [48000, 128000, 256000], 0.15),
        ("m4a", [64000, 128000, 256000], 0.15),
        ("ogg", [80000, 192000], 0.5),
    ],
)
def test_bit_rates(tmp_path, format, bitrates, tolerance):
    samples = music(4, 48000) + noise(4 * 48000, scale=0.05)
    errors = []
    for bitrate in bitrates:
        path = encode(tmp_path / f"{bitrate}.{format}", samples, 48000, bitrate)
        assert rate_of(path, 4) == pytest.approx(bitrate, rel=tolerance)
        errors.append(decibels(samples, AudioFile(path).read()))
    assert errors == sorted(errors)


def test_bit_rates_that_are_refused():
    for format in ("wav", "flac"):
        with refused(f"{format} files have no bit rate"):
            check_output(format, None, RATE, 2, 192000)
    with refused("mp3", "44100 Hz", "191k", "64k, 80k", "320k"):
        check_output("mp3", None, RATE, 2, 191000)
    with refused("mp3", "256k", "160k"):
        check_output("mp3", None, 22050, 2, 256000)
    with refused("opus", "600k", "32k to 512k"):
        check_output("opus", None, 48000, 2, 600000)
    with refused("m4a", "1 channel(s)", "320k", "16k to 264.6k"):
        check_output("m4a", None, RATE, 1, 320000)
    with refused("ogg", "8k", "64k to 500k"):
        check_output("ogg", None, RATE, 2, 8000)
    for format, rate in (("m4a", 50000), ("opus", 44100), ("ogg", 4000), ("mp3", 96000)):
        with refused(f"{format} files cannot have a sample rate of {rate} Hz", "choose wav"):
            check_output(format, None, rate, 2)
    for format in LOSSY:
        with refused(f"{format} files hold 1 to 2 channels"):
            check_output(format, None, 48000, 3)
        with refused(f"{format} files have no subtype 'PCM_16'", "leave it out"):
            check_output(format, "PCM_16", 48000, 2)


def test_a_whole_song_in_one_block(tmp_path):
    """libsndfile's Vorbis encoder overflows the stack with long blocks."""
    samples = music(25)
    for format in LOSSY:
        rate = 48000 if format == "opus" else RATE
        path = encode(tmp_path / f"long.{format}", samples, rate, block=samples.shape[1])
        assert AudioFile(path).frames in (None, samples.shape[1])


def test_a_full_disk_is_told():
    for format in LOSSY:
        writer = AudioWriter("/dev/full", 48000, 2, format, None)
        with refused("/dev/full", "No space left"), writer:
            for _ in range(20):
                writer.write(noise(48000))


TAGS = {
    "title": "Käse & Co", "artist": "Ein Artist", "album": "Das Album", "album_artist": "Alle",
    "date": "2001", "track": "3/9", "disc": "1/2", "genre": "Rock", "composer": "Jemand",
}  # fmt: skip


@pytest.mark.parametrize("format", SUBTYPES)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_tags_and_cover_are_read_again_and_the_sound_stays(tmp_path, format, kind):
    rate = 48000 if format == "opus" else RATE
    path = encode(tmp_path / f"x.{format}", music(0.7, rate)[:, :30011], rate)
    before = AudioFile(path)
    write_tags(path, format, Tags(TAGS, picture(kind)))
    after = AudioFile(path)
    assert (after.frames, after.subtype) == (before.frames, before.subtype)
    np.testing.assert_array_equal(after.read(), before.read())
    found = read_tags(path)
    kept = (
        {"title", "artist", "album", "date", "track", "genre"}
        if format == "wav"
        else set(TAG_NAMES)
    )
    assert found.texts == {name: TAGS[name] for name in kept}
    assert found.cover == (None if format == "wav" else picture(kind))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_tags_of_odd_wav_files(tmp_path, subtype):
    path = tmp_path / "odd.wav"
    with AudioWriter(path, RATE, 1, "wav", subtype) as writer:
        writer.write(noise(1001, 1))
    write_tags(path, "wav", Tags({"title": "odd"}))
    np.testing.assert_array_equal(AudioFile(path).read(), noise(1001, 1))
    assert read_tags(path).texts == {"title": "odd"}


def test_the_title_names_the_stem():
    tags = Tags({"title": "Song", "artist": "A"}, b"x")
    assert tags.of_stem("no_vocals") == Tags({"title": "Song (no_vocals)", "artist": "A"}, b"x")
    assert Tags({"artist": "A"}).of_stem("bass") == Tags({"artist": "A"})
    assert not Tags() and Tags({}, b"x")


def test_files_without_tags_or_without_sense_have_none(tmp_path):
    path = encode(tmp_path / "x.wav", noise(1000))
    assert read_tags(path) == Tags()
    (tmp_path / "text.mp3").write_text("not a sound" * 100)
    assert read_tags(tmp_path / "text.mp3") == Tags()
    assert read_tags(tmp_path / "gone.mp3") == Tags()
