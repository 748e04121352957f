"""Players of a report: excerpts of tracks, separated by the models, with sounds and spectrograms.

Browsers do not let a page that is opened from disk read the samples of other files. Each sound is
therefore an mp3 within a small script, which such a page may load. The player decodes the sounds
and plays those of a track on one clock.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from .. import peers  # noqa: F401  so that their files load
from ..data import Layout
from ..errors import UserError
from ..evaluation.comparison import Comparison, Row
from ..evaluation.datasets import EvaluationTracks
from ..evaluation.records import weights_of
from ..options import SPLITS
from ..progress import Progress
from ..separation.separator import Separator
from .drawing import RANGE_DB, WINDOW, spectrogram
from .inputs import Group

MIXTURE, REFERENCE = "mixture", "reference"
LOWEST_HERTZ, HIGHEST_HERTZ = 40.0, 20000.0
SIZE = (720, 150)  # pixels of a spectrogram
_MP3_RATES = (16000, 22050, 24000, 32000, 44100, 48000)


@dataclass(frozen=True)
class Excerpt:
    """An excerpt of a track: signals (channels, time), those of the stems by source.

    Attributes:
        name: name of the track.
        number: number of the track in the comparison.
        start: start in the track in seconds.
        estimates: stems by the label of their model.
    """

    name: str
    number: int
    start: float
    sample_rate: int
    mixture: np.ndarray
    references: Mapping[str, np.ndarray]
    estimates: dict[str, Mapping[str, np.ndarray]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        return self.mixture.shape[-1] / self.sample_rate


def choose_tracks(comparison: Comparison, wanted: int | Sequence[str]) -> list[int]:
    """Return the numbers of the tracks to listen to.

    `wanted` has their names, or is a number of tracks, which are spread from the worst to the best
    by the mean uSDR of the first model.
    """
    names = list(comparison.rows[0].record.names)
    if not isinstance(wanted, int):
        return [names.index(name) for name in wanted if name in names]
    models = [row for row in comparison.rows if not row.record.is_reference_point]
    record = (models or comparison.rows)[0].record
    table = np.ma.masked_invalid(record.table("usdr", record.sources()))
    means = table.mean(axis=1).filled(0)
    order = np.argsort(means, kind="stable")
    places = np.linspace(0, len(order) - 1, min(wanted, len(order)))
    return [int(order[round(place)]) for place in places]


def find_data(
    group: Group, roots: Sequence[str], validation_tracks: Sequence[str] | None
) -> tuple[EvaluationTracks, str] | None:
    """Return the tracks of a group's records and the name of their folder; None if not found."""
    split = group.part if group.part in SPLITS else "test"
    sources, described = (group.settings.get(key) for key in ("data_sources", "data_layout"))
    for root in roots:
        try:
            data = EvaluationTracks(
                root,
                split,
                sources=sources,
                validation_tracks=validation_tracks,
                layout=None if described is None else Layout.from_settings(described),
            )
        except UserError:
            continue  # other data; the caller says so if none fits
        if data.fingerprint == group.fingerprint:
            return data, Path(root).resolve().name
    return None


def cut_excerpts(
    group: Group,
    data: EvaluationTracks,
    numbers: Sequence[int],
    seconds: float,
    device: str,
    progress: Progress | None = None,
) -> tuple[list[Excerpt], list[str]]:
    """Separate excerpts of tracks with all models whose weights exist.

    Returns:
        The excerpts, and a line for each model that could not be used.
    """
    parts = [_part(data[number], data.sources, number, seconds) for number in numbers]
    rows = [row for row in group.comparison.rows if not row.record.is_reference_point]
    problems = []
    for index, row in enumerate(rows):
        try:
            separator = _separator(row, device)
        except UserError as error:
            problems.append(f"{row.label} is not in the players: {error}")
            continue
        for part in parts:
            stems = separator.separate(part.mixture, part.sample_rate)
            wanted = [source for source in part.references if source in stems]
            part.estimates[row.label] = {source: stems[source] for source in wanted}
        if progress is not None:
            progress(index + 1, len(rows))
    return parts, problems


def liveliest(stems: np.ndarray, sample_rate: int, seconds: float) -> int:
    """Return the first sample, at a whole second, of an excerpt in which all stems are audible.

    It maximises the lowest relative level of the stems (sources, channels, time). A stem's level is
    relative to its loudest excerpt. The excerpt lasts `seconds`.
    """
    n_seconds = stems.shape[-1] // sample_rate
    length = max(1, round(seconds))
    if n_seconds <= length:
        return 0
    whole = stems[..., : n_seconds * sample_rate]
    powers = np.square(whole.reshape(len(stems), -1, n_seconds, sample_rate)).mean((1, 3))
    sums = np.cumsum(np.pad(powers, ((0, 0), (1, 0))), axis=1)
    parts = sums[:, length:] - sums[:, :-length]
    sounding = parts[parts.max(axis=1) > 0]
    if not len(sounding):
        return 0
    balance = (sounding / sounding.max(axis=1, keepdims=True)).min(axis=0)
    return int(balance.argmax()) * sample_rate


def _part(track: Mapping, names: Sequence[str], number: int, seconds: float) -> Excerpt:
    rate, stems = round(track["sample_rate"]), track["sources"].numpy()
    start = liveliest(stems, rate, seconds)
    span = slice(start, start + round(seconds * rate))
    return Excerpt(
        track["name"],
        number,
        start / rate,
        rate,
        track["mixture"][..., span].numpy(),
        {name: stem[..., span] for name, stem in zip(names, stems, strict=True)},
    )


def _separator(row: Row, device: str) -> Separator:
    """Return the model with the settings of its evaluation.

    Raises:
        UserError: if its weights are missing or changed.
    """
    record = row.record
    if record.model["kind"] == "estimates":
        raise UserError("its stems were written by another tool")
    path = weights_of(record.model, record.folder)
    if path is None:
        raise UserError("its weights are gone")
    return Separator(path, device=device, **record.summary["settings"]["separator"])


@dataclass(frozen=True)
class Clip:
    """A sound of a player: a stem of a row, which is a model, "reference" or "mixture".

    Attributes:
        key: name in the page and in files.
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
    """The player of an excerpt.

    Attributes:
        key: name in the page.
        start: start of the excerpt in the track in seconds.
        sources: columns of the switches.
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
    """Write the sounds and spectrograms of an excerpt into the report's folder.

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
    """Return the spectrogram of (channels, time) in dB, (rows, columns), high frequencies first.

    It is averaged over the channels; the frequency axis is logarithmic.
    """
    width, height = SIZE
    in_db, first = spectrogram(signal, sample_rate, max(1, signal.shape[-1] // width))
    # Map bins to rows of pixels, and drop frames before the start of the signal.
    hertz = np.geomspace(LOWEST_HERTZ, _highest(sample_rate), height)[::-1]
    bins = np.clip(np.rint(hertz * WINDOW / sample_rate).astype(int), 0, len(in_db) - 1)
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
