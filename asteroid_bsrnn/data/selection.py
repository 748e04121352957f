"""The selection: which windows of which songs are used for training, as one JSON file.

- `format` "asteroid-bsrnn selection", `version` 1, `sources` of the data, `filter` (its settings).
- `teachers`: the first one's estimates are used, the further ones' are compared with them; of each
  what its records say (see `estimates`).
- `songs`: of each
  - `song` as its record has it, and the label of its `teacher` (null for known parts),
  - `left_out`: null, or why nothing of it is used: "sample rate" or "channels",
  - `frames`, `sample_rate`, `channels`, `seconds`, and `window` (samples),
  - `complete`: whether the parts and the silent sources are all of the song,
  - `parts`: from the name of each part to its `file`, relative to the selection, `agreement`
    (median over windows in dB, or null), and `decisions`: from each decision of
    `filtering.DECISIONS` to the numbers of its windows.
- `summary`: `songs`, `songs_used`, `hours` (of all songs), `hours_used` (in which any part is
  used), `as_songs` (hours that can be learnt as the songs that they are), `parts` (hours by part
  and decision), `agreement` (median dB by part), `licences` (hours of the songs used) and
  `left_out` (number of songs by reason).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .estimates import read_record, song_checksum, song_folder
from .filtering import DECISIONS, Filter, decide, measure
from .parts import adding_up_to, parse_part
from .selection_summary import summarise
from .songs import Song

FORMAT = "asteroid-bsrnn selection"
VERSION = 1

_LARGEST = 300.0  # dB, in place of infinity, which JSON lacks


def select(
    songs: Sequence[Song],
    teachers: Sequence[Path],
    known: Path,
    path: str | os.PathLike,
    *,
    sources: Sequence[str],
    settings: Filter,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Filter the parts of songs.

    Args:
        songs: to choose from.
        teachers: folders of their estimates. The first teacher's are used.
        known: folder of the parts that need no teacher.
        path: where the selection will lie; the names of files are relative to its folder.
        sources: of the data, in order.
        settings: of the filter.
        progress: called with the number of songs done and in all.

    Returns:
        The selection, plain types only.

    Raises:
        UserError: a song is not separated yet or is there twice, or a file is damaged.
    """
    folder = Path(path).parent
    entries, found, titles = [], {}, {}
    for done, song in enumerate(songs, start=1):
        folders = [known] if song.known_parts(sources) else list(teachers)
        entry, records = _song(song, folders, folder, sources, settings)
        twin = titles.setdefault(entry["song"]["sha256"], song)
        if twin is not song:
            raise UserError(
                f"{song.files()[0]}: the same recording as {twin.files()[0]}; leave one out"
            )
        entries.append(entry)
        if records[0]["teacher"] is not None:
            found = {number: record["teacher"] for number, record in enumerate(records)}
        if progress is not None:
            progress(done, len(songs))
    return {
        "format": FORMAT,
        "version": VERSION,
        "sources": list(sources),
        "filter": settings.describe(),
        "teachers": list(found.values()),
        "songs": entries,
        "summary": summarise(entries),
    }


def read_selection(path: str | os.PathLike) -> dict[str, Any]:
    """Read a selection.

    Raises:
        UserError: it can't be read, or is of another form.
    """
    try:
        selection = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path}: not a selection: not valid JSON ({error})") from None
    if not isinstance(selection, dict) or selection.get("format") != FORMAT:
        raise UserError(f"{path}: not a selection: its format is not {FORMAT!r}")
    if selection.get("version") != VERSION:
        raise UserError(
            f"{path}: a selection of version {selection.get('version')}, this package knows"
            f" {VERSION}; make it again"
        )
    return selection


def _song(
    song: Song,
    folders: Sequence[Path],
    relative_to: Path,
    sources: Sequence[str],
    settings: Filter,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A song's entry, and its records in the folders."""
    if not folders:
        raise UserError(f"{song.path}: nothing is known of the song; give a teacher")
    checksum = song_checksum(song)
    places = [song_folder(folder, song, checksum) for folder in folders]
    records = [read_record(place, checksum) for place in places]
    for place, record in zip(places, records, strict=True):
        if record is None:
            raise UserError(
                f"{song.files()[0]}: not separated yet, {place} is missing or not complete;"
                " separate the songs first"
            )
    first = records[0]
    window = min(first["frames"], round(settings.window * first["sample_rate"]))
    parts = [parse_part(name, sources) for name in first["parts"]]
    covered = {source for part in parts for source in part} | set(song.silent)
    entry = {
        "song": {**first["song"], **song.facts(), "silent": list(song.silent)},
        "teacher": None if first["teacher"] is None else first["teacher"]["label"],
        "left_out": _left_out(first, settings),
        **{key: first[key] for key in ("frames", "sample_rate", "channels", "seconds")},
        "window": window,
        "complete": covered == set(sources),
        "parts": {},
    }
    if entry["left_out"] is None:
        files = _files(places[0], first)
        others = [
            _estimates_of(parts, place, record, sources)
            for place, record in zip(places[1:], records[1:], strict=True)
        ]
        energies = measure(files, others, window)
        decisions = decide(energies, settings, known=first["teacher"] is None)
        agreement = energies.agreement()
        for row, (name, file) in enumerate(zip(first["parts"], files, strict=True)):
            entry["parts"][name] = {
                "file": Path(os.path.relpath(file, relative_to)).as_posix(),
                "agreement": _median(agreement[row][decisions[row] != DECISIONS.index("silent")]),
                "decisions": _numbers(decisions[row]),
            }
    return entry, records


def _left_out(record: Mapping[str, Any], settings: Filter) -> str | None:
    if record["sample_rate"] < settings.sample_rate:
        return "sample rate"
    return "channels" if record["channels"] > settings.channels else None


def _files(place: Path, record: Mapping[str, Any]) -> list[Path]:
    return [place / part["file"] for part in record["parts"].values()]


def _estimates_of(
    parts: Sequence[Sequence[str]], place: Path, record: Mapping[str, Any], sources: Sequence[str]
) -> list[list[Path]]:
    """The files of another teacher whose sums are these parts; none where there are none."""
    files = _files(place, record)
    theirs = [parse_part(name, sources) for name in record["parts"]]
    indices = [adding_up_to(part, theirs) for part in parts]
    return [[files[index] for index in found] if found else [] for found in indices]


def _numbers(decisions: np.ndarray) -> dict[str, list[int]]:
    """The numbers of the windows of each decision."""
    numbers = {
        name: np.flatnonzero(decisions == index).tolist() for index, name in enumerate(DECISIONS)
    }
    return {name: found for name, found in numbers.items() if found}


def _median(decibels: np.ndarray) -> float | None:
    finite = decibels[~np.isnan(decibels)].clip(-_LARGEST, _LARGEST)
    return float(np.median(finite)) if len(finite) else None
