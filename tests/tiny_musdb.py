"""A data set in the layout of MUSDB18-HQ, small enough to be made for a test."""

from pathlib import Path

import numpy as np
import soundfile

from asteroid_bsrnn.data import SOURCES


def make_tiny_musdb(
    root,
    *,
    train=2,
    valid=1,
    test=1,
    seconds=7.0,
    held_out_seconds=None,
    sample_rate=44100,
    channels=2,
    sources=SOURCES,
    seed=0,
):
    """Write `<root>/{train,test}/<track>/{mixture,<sources>}.wav`, in 16 bits.

    Tones and noise of changing level; each mixture is exactly the sum of its sources.

    Args:
        root: the folder to be made.
        train, test: numbers of tracks, called `Train 1`, `Train 2`, ... and `Test 1`, ...
        valid: number of validation tracks in `train`, or their names; `validation_names(valid)`
            where a number is given.
        seconds: length of the tracks.
        held_out_seconds: length of the validation and test tracks, where it is another one: only
            the detection of activity needs long tracks, and only for training.
        sample_rate: in hertz.
        channels: number of channels.
        sources: names of the stems.
        seed: of all that is random.

    Returns:
        The root as a Path.
    """
    root = Path(root)
    valid = validation_names(valid) if isinstance(valid, int) else valid
    names = [("train", f"Train {i + 1}") for i in range(train)]
    names += [("train", name) for name in valid]
    names += [("test", f"Test {i + 1}") for i in range(test)]
    for number, (subset, name) in enumerate(names):
        rng = np.random.default_rng([seed, number])
        trained = subset == "train" and name not in valid
        length = seconds if trained else held_out_seconds or seconds
        write_tiny_track(root / subset / name, rng, length, sample_rate, channels, sources)
    return root


def make_tiny_recipe(root, **options):
    """Make `<root>/data` and `<root>/valid.txt`, the names of its validation tracks.

    Args:
        root: an existing folder.
        **options: of `make_tiny_musdb`; the validation tracks are given as a number.

    Returns:
        The root as a Path.
    """
    root = Path(root)
    make_tiny_musdb(root / "data", **options)
    (root / "valid.txt").write_text("\n".join(validation_names(options.get("valid", 1))))
    return root


def validation_names(count=1):
    """Names of the validation tracks of `make_tiny_musdb`."""
    return [f"Valid {i + 1}" for i in range(count)]


def write_tiny_track(folder, rng, seconds, sample_rate, channels=2, sources=SOURCES):
    """Write one track's folder."""
    folder.mkdir(parents=True)
    frames = round(seconds * sample_rate)
    mixture = np.zeros((frames, channels), np.int16)
    for source in sources:
        signal = _signal(source, rng, frames, sample_rate, channels)
        steps = np.rint(signal * (0.9 * 2**15 / len(sources))).astype(np.int16)
        soundfile.write(folder / f"{source}.wav", steps, sample_rate, subtype="PCM_16")
        mixture += steps
    soundfile.write(folder / "mixture.wav", mixture, sample_rate, subtype="PCM_16")


def _signal(source, rng, frames, sample_rate, channels):
    """Samples `(L, C)` within +-1 that sound at all times, never at a constant level."""
    seconds = np.arange(frames) / sample_rate
    if source == "vocals":
        phase = rng.uniform(300, 600) * seconds + np.sin(2 * np.pi * 5 * seconds)
        signal = np.sin(2 * np.pi * phase)
    elif source == "bass":
        signal = np.sin(2 * np.pi * rng.uniform(50, 110) * seconds)
    elif source == "drums":
        signal = rng.uniform(-1, 1, frames) * np.exp(-6 * (seconds % 0.5))
    else:
        tones = rng.uniform(700, 2000, 3)
        signal = np.sin(2 * np.pi * tones[:, None] * seconds).mean(axis=0)
    level = 0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * seconds + rng.uniform(0, 6))
    return (signal * level)[:, None] * rng.uniform(0.4, 1, channels)
