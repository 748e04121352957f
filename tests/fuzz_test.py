"""Audio files damaged at random: each ends in stems or in one line that says what is wrong."""

import collections
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .audio_test import PICTURE, ffmpeg
from .cli_test import save_network
from .sounds import noise, write

FILES, BATCH = 1000, 100
LONGEST = 60  # seconds for a file

# Name, and options of ffmpeg. Their number and 10 have no common divisor, so that all of them go
# through the command line, too.
CONTAINERS = {
    "pcm16.wav": [],
    "pcm24.wav": ["-c:a", "pcm_s24le"],
    "float.wav": ["-c:a", "pcm_f32le"],
    "unsigned.wav": ["-c:a", "pcm_u8"],
    "alaw.wav": ["-c:a", "pcm_alaw"],
    "adpcm.wav": ["-c:a", "adpcm_ms"],
    "mp3.wav": ["-c:a", "libmp3lame"],
    "large.wav": ["-rf64", "always"],
    "x.w64": [],
    "float.w64": ["-c:a", "pcm_f32le"],
    "x.caf": [],
    "x.au": [],
    "x.aiff": [],
    "x.flac": [],
    "x.ogg": ["-c:a", "libvorbis"],
    "x.opus": ["-c:a", "libopus"],
    "flac.ogg": ["-c:a", "flac"],
    "x.mp3": [],
    "bare.mp3": ["-write_xing", "0", "-id3v2_version", "0"],
    "variable.mp3": ["-q:a", "4"],
    "x.mp2": [],
    "x.m4a": ["-c:a", "aac"],
    "alac.m4a": ["-c:a", "alac"],
    "x.aac": [],
    "x.ac3": [],
    "x.wv": [],
    "x.tta": [],
    "x.wma": [],
    "x.mka": ["-c:a", "pcm_s16le"],
    "x.webm": ["-c:a", "libopus"],
    "x.ts": ["-c:a", "aac"],
    "video.mp4": [],
    "video.mkv": [],
    "video.avi": [],
    "video.flv": ["-ar", "44100"],
    "video.mpg": ["-r", "25", "-ar", "44100"],
    "x.mov": ["-c:a", "pcm_s16be"],
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A folder of small files in all containers."""
    folder = tmp_path_factory.mktemp("originals")
    source = tmp_path_factory.mktemp("source") / "source.wav"
    for number, (name, options) in enumerate(CONTAINERS.items()):
        rate = (44100, 16000, 48000, 32000)[number % 4]
        write(source, noise(int(rate * (0.5 + number % 3 / 2)), channels=1 + number % 2), rate)
        picture = PICTURE if name.startswith("video") else []
        ffmpeg(*picture, "-i", source, *options, "-shortest", folder / name)
    return folder


def run_batch(originals, folder, model, first, last):
    """Return the outcome and the seconds of each file, and go on after one that kills or hangs."""
    outcomes = {}
    script = Path(__file__).with_name("fuzzing.py")
    while first < last:
        command = [sys.executable, script, originals, folder, model, first, last]
        log = folder / f"{first}.jsonl"
        with open(log, "w") as output, open(folder / f"{first}.stderr", "w") as errors:
            process = subprocess.Popen(
                list(map(str, command)),
                stdout=output,
                stderr=errors,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            try:
                code = process.wait(timeout=LONGEST + 120)
            except subprocess.TimeoutExpired:
                process.kill()
                code = f"a hang ({process.wait()})"
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        outcomes |= {line[0]: line[1:] for line in lines if len(line) == 3}
        if lines and len(lines[-1]) == 2:
            outcomes[lines[-1][0]] = [f"fault: the process ended with {code}", 0]
        assert lines, (code, (folder / f"{first}.stderr").read_text())
        first = lines[-1][0] + 1
    return outcomes


@pytest.mark.slow
def test_a_thousand_damaged_files(originals, tmp_path):
    model = save_network(tmp_path / "tiny.pth", ["vocals", "other"], last_source_as_residual=True)
    folder = tmp_path / "damaged"
    folder.mkdir()
    outcomes = {}
    for first in range(0, FILES, BATCH):
        outcomes |= run_batch(originals, folder, model, first, first + BATCH)
    assert len(outcomes) == FILES
    faults = {n: o for n, (o, _) in outcomes.items() if o.startswith("fault")}
    slow = {n: seconds for n, (_, seconds) in outcomes.items() if seconds > LONGEST}
    counts = collections.Counter(outcome.split(":")[0] for outcome, _ in outcomes.values())
    print(counts, "longest:", max(seconds for _, seconds in outcomes.values()))
    assert not slow, slow
    assert not faults, "\n".join(f"{number}: {text}" for number, text in faults.items())
    # All outcomes occur: the files are neither all destroyed nor all left alone.
    assert set(counts) == {"read", "separated", "refused by the reader", "refused by the command"}
    assert min(counts.values()) >= 10, counts
