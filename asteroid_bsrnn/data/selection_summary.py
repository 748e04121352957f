"""Figures of a selection: hours by decision, licences, and what a ledger and a card tell of it."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from .filtering import DECISIONS, together

NOT_STATED = "not stated"

_TEACHER = ("label", "sha256", "licence", "training_data", "two_stems", "settings")


def windows_together(entry: Mapping[str, Any]) -> dict[int, list[list[str]]]:
    """Return the windows of a song that can be learnt as they are, each with its groups of parts.

    Args:
        entry: of the selection's `songs`.
    """
    decisions: dict[int, dict[str, str]] = defaultdict(dict)
    for name, part in entry["parts"].items():
        for decision, numbers in part["decisions"].items():
            for number in numbers:
                decisions[number][name] = decision
    groups = {number: together(decisions[number]) for number in sorted(decisions)}
    return {number: found for number, found in groups.items() if found is not None}


def summarise(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of all songs: the selection's `summary`."""
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
            licences[entry["song"]["licence"] or NOT_STATED] += entry["seconds"] / 3600
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


def table(selection: Mapping[str, Any]) -> str:
    """Return the figures of a selection as text."""
    summary = selection["summary"]
    rows = [["part", "hours", *DECISIONS, "agreement"]]
    for name, hours in summary["parts"].items():
        total = sum(hours.values())
        shares = [f"{100 * hours.get(decision, 0) / total:.0f} %" for decision in DECISIONS]
        median = summary["agreement"].get(name)
        rows.append([name, f"{total:.2f}", *shares, "" if median is None else f"{median:.1f} dB"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]
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


def describe(selection: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a training's ledger keeps of a selection: plain types."""
    text = json.dumps(selection, sort_keys=True)
    keys = ("songs_used", "hours", "hours_used", "as_songs", "licences")
    return {
        "selection_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "filter": selection["filter"],
        "teachers": [{key: teacher[key] for key in _TEACHER} for teacher in selection["teachers"]],
        **{key: selection["summary"][key] for key in keys},
    }


def licences(selection: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return notices, in Asteroid's form, of the songs used, the teacher and what it learnt from.

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
    for teacher in selection["teachers"][:1]:  # the others only vote
        title = f"estimates of the model {teacher['label']}"
        if teacher["training_data"]:
            title += f", trained on {teacher['training_data']}"
        notices += [_notice(title, teacher["licence"], teacher["homepage"]), *teacher["licenses"]]
    return notices


def _notice(
    title: str, licence: str | None, link: str | None, author: str | None = None
) -> dict[str, Any]:
    terms = (licence or "").lower()
    return {
        "title": title,
        "title_link": link or "no link",
        "author": author or "unknown authors",
        "author_link": link or "no link",
        "license": licence or f"licence {NOT_STATED}",
        "license_link": "no link",
        "non_commercial": "nc" in terms.split("-") or "non-commercial" in terms,
    }
