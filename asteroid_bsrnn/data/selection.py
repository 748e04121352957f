"""Selections: the windows of songs that are used for training, as one JSON file.

- `format` "asteroid-bsrnn selection", `version` 1, `sources` of the data, `filter` (its settings).
- `teachers`, as in their records (see `songs`): the estimates of the first are used, those of the
  others are compared with them.
- `songs`: of each
  - `song` as in its record, and the label of its `teacher` (null for known parts),
  - `left_out`: null, or the reason for not using it: "sample rate" or "channels",
  - `frames`, `sample_rate`, `channels`, `seconds`, and `window` (samples),
  - `complete`: whether the parts and the silent sources cover the whole song,
  - `parts`: for the name of each part its `file`, relative to the selection, `agreement` (median
    over windows in dB, or null), and `decisions`: the numbers of the windows by decision.
- `summary`: `songs`, `songs_used`, `hours` (of all songs), `hours_used` (in which any part is
  used), `as_songs` (hours that can be learnt as whole songs), `parts` (hours by part and
  decision), `agreement` (median dB by part), `licences` (hours of the songs used) and `left_out`
  (number of songs by reason).
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import relative_path
from ..tables import aligned
from .filtering import DECISIONS, Filter, adding_up_to, decide, measure, together
from .songs import Song, parse_part, read_record, song_folder

FORMAT = "asteroid-bsrnn selection"
VERSION = 1

_NOT_STATED = "not stated"

_LARGEST = 300.0  # dB, instead of infinity, which JSON lacks
_TEACHER = ("label", "sha256", "licence", "training_data", "two_stems", "settings")


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
    """Filter the parts of songs, and return the selection in plain types.

    Args:
        songs: to choose from.
        teachers: folders of their estimates. The first teacher's are used.
        known: folder of the parts that need no teacher.
        path: future file of the selection; the names of files are relative to its folder.
        sources: of the data, in order.
        settings: of the filter.
        progress: called with the number of songs done and in all.

    Raises:
        UserError: a song is not separated yet or appears twice, or a file is damaged.
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
        "filter": asdict(settings),
        "teachers": list(found.values()),
        "songs": entries,
        "summary": _summarise(entries),
    }


def read_selection(path: str | os.PathLike) -> dict[str, Any]:
    """Read a selection.

    Raises:
        UserError: it cannot be read, or has another form.
    """
    try:
        selection = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path}: not a selection: not valid JSON ({error})") from None
    if not isinstance(selection, dict) or selection.get("format") != FORMAT:
        raise UserError(f"{path}: not a selection: its format is not {FORMAT!r}")
    if selection.get("version") != VERSION:
        raise UserError(
            f"{path}: a selection of version {selection.get('version')}, but this package reads"
            f" {VERSION}; make it again"
        )
    return selection


def windows_together(entry: Mapping[str, Any]) -> dict[int, list[list[str]]]:
    """Return the windows of a song that can be learnt as a whole, each with its groups of parts."""
    decisions: dict[int, dict[str, str]] = defaultdict(dict)
    for name, part in entry["parts"].items():
        for decision, numbers in part["decisions"].items():
            for number in numbers:
                decisions[number][name] = decision
    groups = {number: together(decisions[number]) for number in sorted(decisions)}
    return {number: found for number, found in groups.items() if found is not None}


def _summarise(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the selection's `summary`."""
    parts: dict[str, Counter] = defaultdict(Counter)
    agreement: dict[str, list[float]] = defaultdict(list)
    licences: Counter = Counter()
    used = as_songs = 0.0
    songs_used = 0
    for entry in entries:
        hours = entry["window"] / entry["sample_rate"] / 3600
        numbers: set[int] = set()
        for name, part in entry["parts"].items():
            for decision, found in part["decisions"].items():
                parts[name][decision] += hours * len(found)
            numbers.update(part["decisions"].get("used", ()))
            if part["agreement"] is not None:
                agreement[name].append(part["agreement"])
        if numbers:
            songs_used += 1
            used += hours * len(numbers)
            as_songs += hours * len(windows_together(entry)) * entry["complete"]
            licences[entry["song"]["licence"] or _NOT_STATED] += entry["seconds"] / 3600
    return {
        "songs": len(entries),
        "songs_used": songs_used,
        "hours": sum(entry["seconds"] for entry in entries) / 3600,
        "hours_used": used,
        "as_songs": as_songs,
        "parts": {name: dict(hours) for name, hours in parts.items()},
        "agreement": {name: statistics.median(values) for name, values in agreement.items()},
        "licences": dict(sorted(licences.items())),
        "left_out": dict(Counter(e["left_out"] for e in entries if e["left_out"])),
    }


def selection_table(selection: Mapping[str, Any]) -> str:
    """Return the figures of a selection as text."""
    summary = selection["summary"]
    rows = [["part", "hours", *DECISIONS, "agreement"]]
    for name, hours in summary["parts"].items():
        total = sum(hours.values())
        shares = [f"{100 * hours.get(decision, 0) / total:.0f} %" for decision in DECISIONS]
        median = summary["agreement"].get(name)
        rows.append([name, f"{total:.2f}", *shares, "" if median is None else f"{median:.1f} dB"])
    lines = aligned(rows)
    lines.append(
        f"songs: {summary['songs']}, of which used: {summary['songs_used']}; hours:"
        f" {summary['hours']:.2f}, used: {summary['hours_used']:.2f}, as songs:"
        f" {summary['as_songs']:.2f}"
    )
    lines += [
        f"songs left out for their {reason}: {count}"
        for reason, count in summary["left_out"].items()
    ]
    lines += [f"hours under {name}: {hours:.2f}" for name, hours in summary["licences"].items()]
    return "\n".join(lines)


def describe_selection(selection: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a selection for a training's ledger, in plain types."""
    text = json.dumps(selection, sort_keys=True)
    keys = ("songs_used", "hours", "hours_used", "as_songs", "licences")
    return {
        "selection_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "filter": selection["filter"],
        "teachers": [{key: teacher[key] for key in _TEACHER} for teacher in selection["teachers"]],
        **{key: selection["summary"][key] for key in keys},
    }


def licences(selection: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return notices, in Asteroid's form, of the songs used, the teacher and its training data.

    Songs of one licence, author and link share a notice.
    """
    titles: dict[tuple, list[str]] = defaultdict(list)
    for entry in selection["songs"]:
        if any("used" in part["decisions"] for part in entry["parts"].values()):
            song = entry["song"]
            titles[song["licence"], song["author"], song["link"]].append(song["title"])
    notices = [
        _notice(", ".join(found), licence, link, author)
        for (licence, author, link), found in titles.items()
    ]
    for teacher in selection["teachers"][:1]:  # the others are only compared
        title = f"estimates of the model {teacher['label']}"
        if teacher["training_data"]:
            title += f", trained on {teacher['training_data']}"
        notices += [_notice(title, teacher["licence"], teacher["homepage"]), *teacher["licenses"]]
    return notices


def _song(
    song: Song, folders: Sequence[Path], relative_to: Path, sources: Sequence[str], settings: Filter
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a song's entry, and its records in the folders."""
    if not folders:
        raise UserError(f"{song.path}: nothing is known of the song; give a teacher")
    checksum = song.checksum()
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
                "file": relative_path(file, relative_to),
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
    """Return for each part the files of another teacher that add up to it, if there are any."""
    files = _files(place, record)
    theirs = [parse_part(name, sources) for name in record["parts"]]
    indices = [adding_up_to(part, theirs) for part in parts]
    return [[files[index] for index in found] if found else [] for found in indices]


def _numbers(decisions: np.ndarray) -> dict[str, list[int]]:
    """Return the numbers of the windows of each decision."""
    numbers = {
        name: np.flatnonzero(decisions == index).tolist() for index, name in enumerate(DECISIONS)
    }
    return {name: found for name, found in numbers.items() if found}


def _median(decibels: np.ndarray) -> float | None:
    finite = decibels[~np.isnan(decibels)].clip(-_LARGEST, _LARGEST)
    return float(np.median(finite)) if len(finite) else None


def _notice(
    title: str, licence: str | None, link: str | None, author: str | None = None
) -> dict[str, Any]:
    terms = (licence or "").lower()
    return {
        "title": title,
        "title_link": link or "no link",
        "author": author or "unknown authors",
        "author_link": link or "no link",
        "license": licence or f"licence {_NOT_STATED}",
        "license_link": "no link",
        "non_commercial": "nc" in terms.split("-") or "non-commercial" in terms,
    }
