"""Training data as Opus: unpacked data are aligned and complete."""

import json

import numpy as np
import pytest
import soundfile

from asteroid_bsrnn.data import Filter, read_songs, select
from openstems.errors import UserError
from openstems.music import RATE
from openstems.packing import STEMS, Amounts, decode, encode, pack, unpack

from ..tiny_songs import SOURCES, teacher, write_parts, write_song


def music(seconds, seed, channels=2):
    """Return noise without the highest frequencies, which Opus drops."""
    noise = np.random.default_rng(seed).standard_normal((round(seconds * RATE), channels))
    kernel = np.hanning(64)
    return 0.02 * np.stack([np.convolve(n, kernel, "same") for n in noise.T], axis=1)


def sdr(reference, estimate):
    error = np.square(reference - estimate).sum()
    return 10 * np.log10(np.square(reference).sum() / error)


@pytest.mark.parametrize("channels", [1, 2])
def test_opus_keeps_length_and_alignment(tmp_path, channels):
    samples = music(2.345, 0, channels)
    encode(samples, tmp_path / "a.opus", 128)
    decode(tmp_path / "a.opus", tmp_path / "a.wav", len(samples))
    decoded, rate = soundfile.read(tmp_path / "a.wav", always_2d=True)
    assert (rate, decoded.shape) == (RATE, samples.shape)
    aligned = sdr(samples, decoded)
    assert aligned > 15
    assert all(sdr(samples[n:], decoded[:-n]) < aligned for n in (1, 2, 4))
    assert all(sdr(samples[:-n], decoded[n:]) < aligned for n in (1, 2, 4))
    kbps = 8e-3 * (tmp_path / "a.opus").stat().st_size / 2.345
    assert 0.3 * 64 * channels < kbps < 1.3 * 64 * channels


@pytest.fixture
def sources(tmp_path):
    """Make a data set with labelled songs, and a selection with a song of each kind."""
    data = tmp_path / "data"
    for number in range(4):
        folder = data / "train" / f"song_{number}"
        folder.mkdir(parents=True)
        for index, stem in enumerate(STEMS):
            soundfile.write(folder / f"{stem}.wav", music(1, 10 * number + index), RATE)
    for left_behind in ("@eaDir", "__MACOSX"):
        (data / "train" / left_behind).mkdir()
    (data / "train" / ".DS_Store").write_bytes(b"")
    (data / "validation_tracks.txt").write_text("song_3\n")
    (data / "infos.json").write_text('{"dataset": "tiny", "licenses": []}')
    estimates, recordings = tmp_path / "estimates", tmp_path / "recordings"
    songs = []
    parts = {"vocals": music(4, 50), "bass+drums+other": music(4, 51)}
    facts = {"licence": "CC0-1.0", "author": "someone"}
    songs.append(write_song(recordings, "band", sum(parts.values()), RATE, **facts))
    write_parts(estimates / "teacher", songs[-1], parts, teacher(), RATE)
    piece = music(4, 52)
    songs.append(write_song(recordings, "piece", piece, RATE, silent=("vocals",), **facts))
    write_parts(estimates / "known", songs[-1], {"bass+drums+other": piece}, None, RATE)
    path = estimates / "selection.json"
    filtered = select(
        songs,
        [estimates / "teacher"],
        estimates / "known",
        path,
        sources=SOURCES,
        settings=Filter(window=1.0),
    )
    path.write_text(json.dumps(filtered))
    return data, path


def test_packed_data_are_unpacked(sources, tmp_path):
    amounts = Amounts(seconds=2.0, silent_seconds=1.0, validation=1)
    manifest = pack(*sources, tmp_path / "packed", amounts, lambda line: None)
    assert manifest["counts"] == {"labelled": 3, "estimates": 1, "silent": 1, "parts": 0}
    assert manifest["teachers"][0]["label"] == "teacher"
    assert not list((tmp_path / "packed").rglob("*.wav"))
    unpack(tmp_path / "packed", tmp_path / "out")
    data = tmp_path / "out" / "data"
    assert (data / "validation_tracks.txt").read_text() == "song_3\n"
    for folder in sorted((data / "train").iterdir()):
        stems = [soundfile.read(folder / f"{stem}.wav")[0] for stem in STEMS]
        original, _ = soundfile.read(sources[0] / "train" / folder.name / "vocals.wav")
        assert sdr(original, stems[0]) > 3
        assert np.allclose(soundfile.read(folder / "mixture.wav")[0], sum(stems), atol=1e-3)
    band, piece = read_songs(tmp_path / "out" / "songs.json", SOURCES)
    assert set(band.stems) == {"vocals", "bass+drums+other"} and band.author == "someone"
    assert piece.silent == ("vocals",) and piece.licence == "CC0-1.0"
    assert soundfile.info(band.stems["vocals"]).frames == 2 * RATE
    assert soundfile.info(piece.path).frames == RATE
    with pytest.raises(UserError, match="exists already"):
        pack(*sources, tmp_path / "packed", amounts, lambda line: None)


def test_size_limit_and_damage(sources, tmp_path):
    packed = tmp_path / "packed"
    manifest = pack(*sources, packed, Amounts(megabytes=0.1, validation=1), lambda line: None)
    assert manifest["counts"]["labelled"] < 3
    first = packed / next(iter(manifest["files"]))
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged"):
        unpack(packed, tmp_path / "out")
