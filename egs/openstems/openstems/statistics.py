"""Statistics of a data set, beside those of a real recording.

Songs in the MUSDB18-HQ layout are measured stem by stem; the table has the means over songs. It
reveals levels and spectra that differ from those of real music.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from scipy import signal

from .effects.dynamics import FRAME, decibels, frame_levels
from .errors import UserError
from .music import RATE

NAMES = ("mixture", "drums", "bass", "other", "vocals")
BANDS = (20, 60, 120, 250, 500, 1000, 2000, 4000, 8000, 16000)
# Frames above this level in dBFS are active.
ACTIVE = -50.0
# A resolution of 5 Hz: the lowest band is 40 Hz wide.
_WINDOW = 8192
_REFERENCE = Path(__file__).with_name("reference_statistics.json")
_COLUMNS = (
    ("rms", "rms dBFS", "{:.1f}"),
    ("crest", "crest dB", "{:.1f}"),
    ("active", "active", "{:.2f}"),
    ("correlation", "L/R corr", "{:.2f}"),
    ("side", "side dB", "{:.1f}"),
    ("rolloff", "99 % Hz", "{:.0f}"),
)
Row = dict[str, Any]


def measure(sound: np.ndarray) -> Row | None:
    """Return the statistics of a stem or mixture.

    Args:
        sound: shape (C, L), full scale 1.

    Returns:
        `rms` in dBFS and `crest`, peak over rms, in dB; `active`, share of frames of 100 ms above
        -50 dBFS; `correlation` of left and right; `side` over mid in dB, at least -100; `rolloff`,
        Hz below which 99 % of the power lie; `bands`, power in each of `BANDS` against the whole
        in dB. None for silence.
    """
    if sound.shape[0] == 1:
        sound = np.repeat(sound, 2, axis=0)
    power = float(np.mean(np.square(sound, dtype=np.float64)))
    if power < 1e-12:
        return None
    rms = 10 * np.log10(power)
    frequencies, spectrum = signal.welch(sound, RATE, nperseg=min(_WINDOW, sound.shape[-1]))
    spectrum = spectrum.mean(axis=0)
    total = spectrum.sum()
    edges = np.searchsorted(frequencies, BANDS)
    bands = [spectrum[low:high].sum() for low, high in zip(edges[:-1], edges[1:], strict=True)]
    last = np.searchsorted(np.cumsum(spectrum), 0.99 * total)
    frames = frame_levels(sound) if sound.shape[-1] >= FRAME else np.sqrt([power])
    return {
        "rms": rms,
        "crest": decibels(np.abs(sound).max()) - rms,
        "active": float(np.mean(frames > 10 ** (ACTIVE / 20))),
        **_image(sound),
        "rolloff": float(frequencies[min(last, len(frequencies) - 1)]),
        "bands": [float(max(10 * np.log10(max(band / total, 1e-10)), -100)) for band in bands],
    }


def measure_song(folder: str | Path) -> dict[str, Row | None]:
    """Return the statistics of the files of one song, read one by one.

    Args:
        folder: folder with `mixture.wav` and the stems.

    Returns:
        From the name of each file without suffix to its row; None for a silent one.

    Raises:
        UserError: if a file is missing, unreadable or not at 44.1 kHz.
    """
    rows = {}
    for name in NAMES:
        path = Path(folder) / f"{name}.wav"
        try:
            sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, OSError) as error:
            raise UserError(f"{path}: cannot be read ({error}); build the data set again") from None
        if rate != RATE:
            raise UserError(f"{path}: {rate} Hz, expected {RATE}; build the data set again")
        rows[name] = measure(sound.T)
    return rows


def measure_folder(folder: str | Path, jobs: int = 1) -> dict[str, Any]:
    """Return the statistics of a data set.

    Args:
        folder: a data set in the MUSDB18-HQ layout, or one of its splits.
        jobs: number of processes; each has one file in memory.

    Returns:
        `songs`, their number; `with_vocals`, `with_drums`, ..., the shares of songs with a stem;
        `rows`, the mean over songs for each of `NAMES`.

    Raises:
        UserError: if the folder has no songs, or one is damaged.
    """
    files = []
    if Path(folder).is_dir():
        from asteroid_bsrnn.files import list_files  # imports torch, which generating does not need

        files = list_files(folder, ["mixture.wav"], recursive=True)
    songs = [path.parent for path in files if path.name == "mixture.wav"]
    if not songs:
        raise UserError(f"{folder}: holds no songs (folders with mixture.wav); name a data set")
    if jobs == 1:
        measured = list(map(measure_song, songs))
    else:
        with ProcessPoolExecutor(jobs) as pool:
            measured = list(pool.map(measure_song, songs))
    # Silent stems count for the shares only.
    present = {name: [song[name] for song in measured if song[name]] for name in NAMES}
    return {
        "songs": len(measured),
        **{f"with_{name}": len(present[name]) / len(measured) for name in NAMES[1:]},
        "rows": {name: _mean(rows) for name, rows in present.items() if rows},
    }


def reference() -> dict[str, Any]:
    """Return the statistics of a real excerpt, as of `measure_folder`, with its `source`."""
    return json.loads(_REFERENCE.read_text(encoding="utf-8"))


def table(summary: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> str:
    """Return a table for the terminal.

    Args:
        summary: result of `measure_folder`.
        beside: result of `reference`, shown above the rows of the data set.

    Returns:
        Lines of text.
    """
    edges = [f"{edge / 1000:g}k" if edge >= 1000 else str(edge) for edge in BANDS]
    head = ["", *(title for _, title, _ in _COLUMNS), *(f"-{edge}" for edge in edges[1:])]
    lines = [head]
    for name in NAMES:
        for kind, source in (("real", beside), ("ours", summary)):
            row = (source or {}).get("rows", {}).get(name)
            if row:
                lines.append([f"{name} {kind}" if beside else name, *_cells(row)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    ]
    shares = ", ".join(f"{name} {summary[f'with_{name}']:.0%}" for name in NAMES[1:])
    text.append(
        f"{summary['songs']} songs; with {shares}; bands: power in dB up to each edge in Hz"
    )
    if beside:
        text.append(f"real: {beside['source']}")
    return "\n".join(text)


def _image(sound: np.ndarray) -> Row:
    left, right = sound[0].astype(np.float64), sound[1].astype(np.float64)
    both = np.sqrt(np.dot(left, left) * np.dot(right, right))
    mid, side = np.mean((left + right) ** 2), np.mean((left - right) ** 2)
    return {
        "correlation": float(np.dot(left, right) / both) if both else 0.0,
        "side": float(np.clip(10 * np.log10(max(side, 1e-20) / max(mid, 1e-20)), -100, 100)),
    }


def _mean(rows: Sequence[Row]) -> Row:
    mean: Row = {key: float(np.mean([row[key] for row in rows])) for key, _, _ in _COLUMNS}
    mean["bands"] = np.mean([row["bands"] for row in rows], axis=0).tolist()
    return mean


def _cells(row: Row) -> list[str]:
    return [
        *(form.format(row[key]) for key, _, form in _COLUMNS),
        *(f"{band:.0f}" for band in row["bands"]),
    ]
