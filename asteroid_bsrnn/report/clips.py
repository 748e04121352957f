"""Sounds and spectrograms of a report, as files that a page opened from disk can use.

Browsers do not let a page from disk read the samples of other files. Each clip is therefore an mp3
within a small script, which such a page may load. The player decodes the clips and plays those of a
track on one clock.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from .excerpts import Excerpt

MIXTURE, REFERENCE = "mixture", "reference"
LOWEST_HERTZ, HIGHEST_HERTZ = 40.0, 20000.0
RANGE_DB = 80.0  # below the loudest bin of the mixture, where the colours end
SIZE = (720, 150)  # pixels of a spectrogram
_WINDOW = 4096
_MP3_RATES = (16000, 22050, 24000, 32000, 44100, 48000)


@dataclass(frozen=True)
class Clip:
    """Sound of a player.

    Attributes:
        key: name in the page and in files.
        row: model's label, "mixture" or "reference".
        source: name of the source; "" for the mixture.
        gain: gain in dB that makes all clips of a source equally loud.
        score: uSDR of the whole track in dB; None without a score.
        script: path of the sound in the report.
        picture: path of the spectrogram in the report.
    """

    key: str
    row: str
    source: str
    gain: float
    score: float | None
    script: str
    picture: str


@dataclass(frozen=True)
class Player:
    """Player of a track.

    Attributes:
        key: name in the page.
        name: name of the track.
        start: start of the excerpt in the track in seconds.
        seconds: length of the excerpt.
        sources: columns of the switches.
        mixture: the clip of the mixture.
        rows: lines of switches: label and clips; None if a model lacks the source.
        ticks: labelled frequencies of the spectrograms, and their heights in per cent.
    """

    key: str
    name: str
    start: float
    seconds: float
    sources: Sequence[str]
    mixture: Clip
    rows: Sequence[tuple[str, Sequence[Clip | None]]]
    ticks: Sequence[tuple[str, float]]


def write_player(
    folder: Path, key: str, excerpt: Excerpt, scores: Mapping[tuple[str, str], float]
) -> Player:
    """Write the sounds and spectrograms of an excerpt.

    Args:
        folder: folder of the report; files are written to `sounds` in it.
        key: prefix of the file names.
        excerpt: excerpt to write.
        scores: from label and source to the uSDR of the whole track in dB.
    """
    (folder / "sounds").mkdir(exist_ok=True)
    signals: dict[tuple[str, str], np.ndarray] = {(MIXTURE, ""): excerpt.mixture}
    for label, stems in ((REFERENCE, excerpt.references), *excerpt.estimates.items()):
        signals.update({(label, source): stem for source, stem in stems.items()})
    # One factor for all signals avoids clipping and keeps their relative levels.
    loudest = max(1.0, *(float(np.abs(signal).max(initial=0)) for signal in signals.values()))
    signals = {name: signal / loudest for name, signal in signals.items()}
    spectra = {name: decibels(s, excerpt.sample_rate) for name, s in signals.items()}
    top = float(spectra[MIXTURE, ""].max())
    gains = matching_gains(signals)
    clips = {}
    for number, (name, signal) in enumerate(signals.items()):
        clip = f"{key}-{number}"
        script, picture = f"sounds/{clip}.js", f"sounds/{clip}.webp"
        _write_script(folder / script, clip, signal, excerpt.sample_rate)
        _write_picture(folder / picture, spectra[name] - top)
        score = scores.get(name)
        score = None if score is None or not np.isfinite(score) else score
        clips[name] = Clip(clip, *name, gains[name], score, script, picture)
    sources = list(excerpt.references)
    labels = [REFERENCE, *excerpt.estimates]
    rows = [(label, [clips.get((label, source)) for source in sources]) for label in labels]
    times = (excerpt.start, excerpt.seconds)
    mixture = clips[MIXTURE, ""]
    return Player(key, excerpt.name, *times, sources, mixture, rows, _ticks(excerpt.sample_rate))


def matching_gains(signals: Mapping[tuple[str, str], np.ndarray]) -> dict:
    """Return gains in dB that give all signals of a source the same root mean square.

    The level is that of the mixture, or the highest one without clipping if that is lower.

    Args:
        signals: from label and source to (channels, time); the mixture has the source "".
    """
    levels = {name: float(np.sqrt(np.square(s).mean())) for name, s in signals.items()}
    gains = {}
    for name in signals:
        alike = [other for other in signals if other[1] == name[1] and levels[other] > 1e-4]
        limits = [levels[other] / float(np.abs(signals[other]).max()) for other in alike]
        target = min([levels[MIXTURE, ""], *limits])
        heard = levels[name] > 1e-4 and target > 0
        gains[name] = 20 * float(np.log10(target / levels[name])) if heard else 0.0
    return gains


def decibels(signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return a spectrogram in dB, averaged over the channels, on a logarithmic frequency axis.

    Args:
        signal: (channels, time).
        sample_rate: in hertz.

    Returns:
        (rows, columns), the highest frequency first.
    """
    width, height = SIZE
    hop = max(1, signal.shape[-1] // width)
    if signal.shape[-1] < _WINDOW:
        signal = np.pad(signal, ((0, 0), (0, _WINDOW - signal.shape[-1])))
    transform = ShortTimeFFT(hann(_WINDOW, sym=False), hop, sample_rate)
    power = sum(transform.spectrogram(channel.astype(np.float64)) for channel in signal)
    in_db = 10 * np.log10(power / len(signal) + 1e-12)
    # Map bins to rows of pixels, and drop frames before the start of the signal.
    hertz = np.geomspace(LOWEST_HERTZ, _highest(sample_rate), height)[::-1]
    bins = np.clip(np.rint(hertz * _WINDOW / sample_rate).astype(int), 0, len(in_db) - 1)
    first = -transform.p_min
    columns = first + np.arange(min(width, in_db.shape[1] - first))
    return in_db[np.ix_(bins, columns)]


def _highest(sample_rate: int) -> float:
    return min(HIGHEST_HERTZ, sample_rate / 2)


def _ticks(sample_rate: int) -> list[tuple[str, float]]:
    top = _highest(sample_rate)
    shown = {100.0: "100 Hz", 1000.0: "1 kHz", 10000.0: "10 kHz"}
    span = np.log(top / LOWEST_HERTZ)
    return [
        (text, 100 * float(1 - np.log(hertz / LOWEST_HERTZ) / span))
        for hertz, text in shown.items()
        if hertz < top
    ]


def _write_script(path: Path, key: str, signal: np.ndarray, sample_rate: int) -> None:
    if sample_rate not in _MP3_RATES:
        import soxr

        signal, sample_rate = soxr.resample(signal.T, sample_rate, 44100).T, 44100
    sound = io.BytesIO()
    options = {"format": "MP3", "bitrate_mode": "VARIABLE", "compression_level": 0.35}
    # An mp3 has at most two channels.
    soundfile.write(sound, signal[:2].T, sample_rate, **options)
    text = base64.b64encode(sound.getvalue()).decode("ascii")
    path.write_text(f'asteroidReport.receive("{key}","{text}");\n', encoding="ascii")


def _write_picture(path: Path, in_db: np.ndarray) -> None:
    import matplotlib
    from PIL import Image

    shades = np.clip(1 + in_db / RANGE_DB, 0, 1)
    colours = matplotlib.colormaps["magma"](shades, bytes=True)[..., :3]
    Image.fromarray(np.ascontiguousarray(colours)).save(path, quality=80)
