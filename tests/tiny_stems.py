"""Data sets of other stems than MUSDB18's, small enough to be made for a test."""

from pathlib import Path

import numpy as np
import soundfile

from .tiny_musdb import _signal, make_tiny_musdb

TRACKS = (("train", 1), ("train", 2), ("valid", 1), ("test", 1))


def make_two_stems(root, **options):
    """Write a data set in MUSDB18-HQ's layout with flac files, of which some lack the wav file."""
    root = make_tiny_musdb(root, **options)
    for path in sorted(root.rglob("drums.wav")):
        samples, rate = soundfile.read(path, dtype="int16")
        soundfile.write(path.with_suffix(".flac"), samples, rate)
        path.unlink()
    return root


def make_six_stems(root, seconds=6.5):
    """Write `<root>/{train,test}/<track>/<stem>/<file>`, as MoisesDB's stems, without mixtures.

    Files are flac or ogg, stereo at 44.1 kHz or mono at 22.05 kHz. Each stem is missing in one of
    the tracks, and the last file of a track is shorter than the others. The validation track is
    `Valid 1`.
    """
    root = Path(root)
    stems = ("vocals", "bass", "drums", "guitar", "piano", "wind")
    for number, (split, index) in enumerate(TRACKS):
        rng = np.random.default_rng([7, number])
        folder = root / ("train" if split == "valid" else split) / f"{split.title()} {index}"
        for place, stem in enumerate(stems):
            if place % 2 == number % 2 and split == "train":
                continue
            rate, channels = ((44100, 2), (22050, 1))[place % 2]
            length = seconds - 0.5 * (stem == "wind")
            signal = _signal(stem, rng, round(length * rate), rate, channels) * 0.15
            (folder / stem).mkdir(parents=True)
            suffix = "ogg" if stem == "piano" else "flac"
            soundfile.write(folder / stem / f"{index}-a.{suffix}", signal, rate)
            if stem == "guitar":  # played twice
                soundfile.write(folder / stem / f"{index}-b.flac", 0.5 * signal[::-1], rate)
    return root


def make_speech_music_effects(root, seconds=6.5, rate=48000):
    """Write `<root>/{tr,cv,tt}/<track>/{mix,speech,music,sfx}.wav` in mono at 48 kHz."""
    root = Path(root)
    folders = {"train": "tr", "valid": "cv", "test": "tt"}
    for number, (split, _) in enumerate(TRACKS):
        rng = np.random.default_rng([9, number])
        folder = root / folders[split] / f"{1000 + number}"
        folder.mkdir(parents=True)
        mixture = 0
        for name, like in (("speech", "vocals"), ("music", "other"), ("sfx", "drums")):
            signal = _signal(like, rng, round(seconds * rate), rate, 1) * 0.3
            soundfile.write(folder / f"{name}.wav", signal, rate, subtype="FLOAT")
            mixture = mixture + signal
        soundfile.write(folder / "mix.wav", mixture, rate, subtype="FLOAT")
    return root
