"""MUSDB18's .stem.mp4 files, made on the spot: what is decoded, and the recipe on them."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asteroid_bsrnn import cli, presets
from asteroid_bsrnn.data import SOURCES, VALIDATION_TRACKS, decode_musdb18, find_tracks, verify
from asteroid_bsrnn.errors import UserError
from asteroid_bsrnn.weights import checkpoint

from .tiny_musdb import make_tiny_musdb
from .warm_python import python

stempeg = pytest.importorskip("stempeg")  # asks for the ffmpeg program as it is imported

RECIPE = Path(__file__).parent.parent / "egs" / "musdb18hq" / "BSRNN"
ORDER = ("mixture", "drums", "bass", "other", "vocals")  # of the streams of MUSDB18
RATE = 44100


@pytest.fixture(scope="module")
def compressed(tmp_path_factory):
    """Wav files, and the same tracks as .stem.mp4 files."""
    folder = tmp_path_factory.mktemp("musdb18")
    wavs = make_tiny_musdb(folder / "wavs", train=1, valid=["Valid 1"], test=1, seconds=6.5)
    for track in sorted(wavs.glob("*/*")):
        stems = np.stack([soundfile.read(track / f"{name}.wav")[0] for name in ORDER])
        target = folder / "stems" / track.parent.name / f"{track.name}.stem.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        stempeg.write_stems(str(target), stems, RATE, writer=stempeg.StreamsWriter())
        target.with_name(f"._{target.name}").write_bytes(b"\0\5\x16\7")
    return folder


def test_decoded_tracks_are_what_musdb_reads(compressed, tmp_path):
    import musdb

    seen = []
    output = tmp_path / "decoded"
    assert decode_musdb18(compressed / "stems", output, lambda *n: seen.append(n)) == 3
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert verify(output, validation_tracks=["Valid 1"]) == []
    (track,) = find_tracks(output, "test")
    read = musdb.MultiTrack(
        path=str(compressed / "stems" / "test" / "Test 1.stem.mp4"), name="Test 1", stem_id=0
    ).stems
    for name, expected in zip(ORDER, read, strict=True):
        samples, rate = soundfile.read(track.path(name))
        assert rate == RATE and np.array_equal(samples, expected[: len(samples)])
        original = soundfile.read(compressed / "wavs" / "test" / "Test 1" / f"{name}.wav")[0]
        # The right stem, in time; at this bit rate AAC keeps 5 dB of the noise of the drums.
        error = np.square(samples[: len(original)] - original[: len(samples)]).sum()
        assert 10 * np.log10(np.square(original).sum() / error) > 3, name
    assert json.loads((output / "infos.json").read_text())["dataset"] == "MUSDB18"


def test_decoding_resumes_and_names_what_is_damaged(compressed, tmp_path):
    stems, output = tmp_path / "stems", tmp_path / "decoded"
    for subset, name in (("test", "A"), ("test", "B")):
        (stems / subset).mkdir(parents=True, exist_ok=True)
        original = compressed / "stems" / "test" / "Test 1.stem.mp4"
        (stems / subset / f"{name}.stem.mp4").write_bytes(original.read_bytes())
    damaged = stems / "test" / "B.stem.mp4"
    whole = damaged.read_bytes()
    for size in (len(whole) // 2, 100, 0):
        damaged.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"B.stem.mp4: .*get a whole copy\Z") as caught:
            decode_musdb18(stems, output)
        assert "\n" not in str(caught.value)
        assert sorted(path.name for path in (output / "test").iterdir()) == ["A"]
    first = (output / "test" / "A" / "bass.wav").stat()
    damaged.write_bytes(whole)
    assert decode_musdb18(stems, output) == 2
    assert (output / "test" / "A" / "bass.wav").stat().st_mtime_ns == first.st_mtime_ns
    assert (output / "test" / "B" / "vocals.wav").is_file()
    with pytest.raises(UserError, match="no .stem.mp4 files in train and test"):
        decode_musdb18(output, tmp_path / "other")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written .*choose another folder"):
        decode_musdb18(stems, tmp_path / "file")


def test_evaluate_decodes_once_what_it_scores(compressed, tmp_path, capsys):
    model = checkpoint.save_model(
        presets.build("simo_bsrnn", feature_dim=4, n_repeats=1), tmp_path / "m.pth"
    )
    run = ["evaluate", model, "--root", compressed / "stems", "--device", "cpu"]
    run += ["-o", tmp_path / "out"]
    assert cli.main([*map(str, run)]) == 2
    assert "decode them to wav files first, with asteroid-bsrnn evaluate --decoded DIR" in (
        capsys.readouterr().err
    )
    decoded = tmp_path / "wavs"
    run = [*map(str, run), "--decoded", str(decoded)]
    assert cli.main(run) == 0
    assert sorted(path.name for path in decoded.iterdir()) == ["infos.json", "test"]
    (record,) = (tmp_path / "out").glob("*/final_metrics.json")
    assert json.loads(record.read_text())["n_tracks"] == 1
    # Scored again, nothing is decoded; another split adds its folder.
    before = (decoded / "test" / "Test 1" / "bass.wav").stat()
    valid = tmp_path / "valid.txt"
    valid.write_text("Valid 1")
    assert cli.main([*run, "--split", "valid", "--validation-tracks", str(valid)]) == 0
    assert cli.main(run) == 0
    assert (decoded / "test" / "Test 1" / "bass.wav").stat().st_mtime_ns == before.st_mtime_ns
    names = sorted(path.name for path in (decoded / "train").iterdir())
    assert names == ["Train 1", "Valid 1"]
    assert len(list((tmp_path / "out").glob("*/final_metrics.json"))) == 2


def test_the_recipe_takes_the_stem_files(compressed, tmp_path):
    names = tmp_path / "valid.txt"
    names.write_text("Valid 1")
    command = [RECIPE / "run.sh", "--root", compressed / "stems", "--decoded", tmp_path / "wavs"]
    command += ["--stop_stage", "1", "--exp", tmp_path / "exp", "--musdb18hq", "false"]
    command += ["--source", "vocals"]
    command += ["--set", f"data.validation_tracks={names} data.workers=0"]
    command += ["--python", python()]
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=250)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 tracks in" in ran.stdout and "4 stems, 4 active windows" in ran.stdout
    assert (tmp_path / "wavs" / "activity.json").is_file()
    assert set(SOURCES) < {path.stem for path in (tmp_path / "wavs/train/Train 1").iterdir()}


def test_the_validation_split_is_musdbs():
    assert len(VALIDATION_TRACKS) == 14 and "Leaf - Summerghost" in VALIDATION_TRACKS
