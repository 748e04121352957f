"""Statistics of sounds with known values."""

import numpy as np
import pytest
import soundfile

from openstems import statistics
from openstems.errors import UserError
from openstems.music import RATE


def sine(frequency, level=0.5, seconds=2.0):
    return level * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)


def test_a_mono_sine():
    wave = sine(700).astype(np.float32)
    row = statistics.measure(np.stack([wave, wave]))
    assert row["rms"] == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.01)
    assert row["crest"] == pytest.approx(20 * np.log10(np.sqrt(2)), abs=0.01)
    assert row["active"] == 1
    assert row["correlation"] == pytest.approx(1)
    assert row["side"] == -100
    assert row["rolloff"] == pytest.approx(700, abs=12)
    assert row["bands"][4] == pytest.approx(0, abs=0.01)
    assert max(row["bands"][:3] + row["bands"][6:]) < -60


def test_a_single_channel_counts_as_two_equal_ones():
    wave = sine(300).astype(np.float32)
    assert statistics.measure(wave[None]) == statistics.measure(np.stack([wave, wave]))


def test_white_noise_in_stereo():
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 10 * RATE))
    row = statistics.measure(noise.astype(np.float32))
    assert row["correlation"] == pytest.approx(0, abs=0.01)
    assert row["side"] == pytest.approx(0, abs=0.1)
    assert row["rolloff"] == pytest.approx(0.99 * RATE / 2, rel=0.005)
    widths = np.diff(statistics.BANDS)
    expected = 10 * np.log10(widths / (RATE / 2))
    np.testing.assert_allclose(row["bands"][1:], expected[1:], atol=0.5)


def test_side_over_mid_and_correlation():
    rng = np.random.default_rng(1)
    mid, side = rng.standard_normal((2, 5 * RATE)) * 0.1
    side *= 10 ** (-12 / 20)
    row = statistics.measure(np.stack([mid + side, mid - side]).astype(np.float32))
    assert row["side"] == pytest.approx(-12, abs=0.1)
    power = 10 ** (-12 / 10)
    assert row["correlation"] == pytest.approx((1 - power) / (1 + power), abs=0.01)
    opposite = statistics.measure(np.stack([mid, -mid]).astype(np.float32))
    assert opposite["side"] == 100 and opposite["correlation"] == pytest.approx(-1)


def test_pauses_lower_the_active_share_and_silence_has_no_row():
    wave = sine(500, seconds=4.0).astype(np.float32)
    wave[RATE:] = 0
    assert statistics.measure(np.stack([wave, wave]))["active"] == pytest.approx(0.25)
    assert statistics.measure(np.zeros((2, RATE), np.float32)) is None


@pytest.fixture
def data_set(tmp_path):
    """Write two songs; the second one has no vocals and a bass at half the level."""
    for song, (bass, vocals) in enumerate(((0.2, 0.1), (0.1, 0.0))):
        folder = tmp_path / "train" / f"song {song}"
        folder.mkdir(parents=True)
        stems = {
            "drums": sine(4000, 0.1),
            "bass": sine(90, bass),
            "other": sine(1500, 0.1),
            "vocals": sine(700, vocals),
        }
        for name, wave in {**stems, "mixture": sum(stems.values())}.items():
            soundfile.write(folder / f"{name}.wav", np.stack([wave, wave], axis=1), RATE)
    (tmp_path / ".Trash-0").mkdir()
    soundfile.write(tmp_path / ".Trash-0" / "mixture.wav", np.ones((RATE, 2)), RATE)
    return tmp_path


def test_a_folder_is_averaged_over_songs(data_set):
    summary = statistics.measure_folder(data_set)
    assert summary["songs"] == 2
    assert summary["with_vocals"] == 0.5 and summary["with_drums"] == 1
    rows = summary["rows"]
    assert rows["bass"]["rms"] == pytest.approx(
        20 * np.log10(0.15 / 1.5 / np.sqrt(2)) + 3.01, abs=0.1
    )
    assert rows["vocals"]["rms"] == pytest.approx(20 * np.log10(0.1 / np.sqrt(2)), abs=0.05)


def test_the_number_of_processes_has_no_effect(data_set):
    assert statistics.measure_folder(data_set, jobs=2) == statistics.measure_folder(data_set)


def test_missing_files_are_named(data_set, tmp_path):
    with pytest.raises(UserError, match="empty: holds no songs"):
        statistics.measure_folder(tmp_path / "empty")
    (data_set / "train" / "song 1" / "bass.wav").unlink()
    with pytest.raises(UserError, match="bass.wav: cannot be read"):
        statistics.measure_folder(data_set)


def test_another_sample_rate_is_refused(data_set):
    path = data_set / "train" / "song 0" / "bass.wav"
    soundfile.write(path, np.zeros((100, 2)), 48000)
    with pytest.raises(UserError, match="48000 Hz, expected 44100"):
        statistics.measure_folder(data_set)


def test_the_table_has_every_number_beside_the_reference(data_set):
    summary = statistics.measure_folder(data_set)
    text = statistics.table(summary, statistics.reference())
    lines = text.splitlines()
    assert len({len(line) for line in lines[:11]}) == 1
    assert lines[5].startswith("bass real") and " 2347 " in lines[5]
    assert lines[6].startswith("bass ours") and f"{summary['rows']['bass']['rms']:.1f}" in lines[6]
    assert "vocals 50%" in text and "Falcon 69" in text
    alone = statistics.table(summary)
    assert "real" not in alone and len(alone.splitlines()) == 7


def test_the_reference_matches_the_excerpt():
    stempeg = pytest.importorskip("stempeg")
    sound, rate = stempeg.read_stems(stempeg.example_stem_path())
    excerpt = sound[:, int(0.05 * rate) : 6 * rate].astype(np.float32)
    rows = statistics.reference()["rows"]
    for name, stem in zip(("mixture", "drums", "bass", "other", "vocals"), excerpt, strict=True):
        row = statistics.measure(stem.T)
        assert row["rms"] == pytest.approx(rows[name]["rms"], abs=0.06)
        assert row["rolloff"] == pytest.approx(rows[name]["rolloff"], rel=0.01)
        np.testing.assert_allclose(row["bands"], rows[name]["bands"], atol=0.6)
