"""Files that describe a data set: settings, manifest, validation tracks, credits and licences."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import UserError
from .files import read_json, write_json, write_text
from .materials import Material, Materials, find

DATASET = "dataset.json"
MANIFEST = "manifest.json"
VALIDATION_TRACKS = "validation_tracks.txt"
FORMAT = 1
LIBRARIES = ("numpy", "scipy", "soundfile", "soxr", "symusic", "pyworld", "onnxruntime")
CREDITS, LICENCES, INFOS = "CREDITS.md", "licences", "infos.json"

_HEAD = """# Credits

This data set was made by openstems, the recipe `egs/openstems` of asteroid-bsrnn, profile
`{profile}`. No song is the recording of a performance: a program arranged, played, sang and mixed
them, with recordings of single notes and phrases in some. What they are made from:

| material | used | licence | credit |
|---|---|---|---|
"""

_OWN = "| openstems | its own band, drums and synthesisers | MIT | asteroid-bsrnn contributors |"


def describe(settings: Mapping[str, Any], materials: Materials) -> dict[str, Any]:
    """Return the description of a new data set.

    Args:
        settings: settings of the songs, in plain types.
        materials: materials of the songs.
    """
    return {
        "format": FORMAT,
        "settings": dict(settings),
        "materials": {name: materials.version(name) for name in materials.names},
        "software": {
            "python": platform.python_version(),
            **{name: _version(name) for name in LIBRARIES},
        },
    }


def claim(root: Path, description: Mapping[str, Any]) -> None:
    """Start a data set with this description in a folder, or check that it is one.

    Raises:
        UserError: if the folder has other contents, or a data set of other settings or materials.
    """
    path = root / DATASET
    if not path.exists():
        foreign = (
            [p.name for p in root.iterdir() if not p.name.startswith(".")] if root.exists() else []
        )
        if foreign:
            raise UserError(
                f"{root}: contains other files ({min(foreign)}); choose a new or empty folder"
            )
        write_json(path, description)
        return
    existing = read_json(path)
    for group in ("settings", "materials"):
        difference = _difference(existing.get(group), description[group])
        if difference:
            raise UserError(
                f"{root}: a data set with other {group}: {difference}; choose another folder,"
                " or the same settings"
            )


def write_manifest(root: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write the entries of all songs, and the names of the validation songs."""
    ordered = sorted(entries, key=lambda entry: (entry["split"], entry["number"]))
    write_json(root / MANIFEST, {"format": FORMAT, "songs": ordered})
    names = [entry["name"] for entry in ordered if entry["split"] == "valid"]
    write_text(root / VALIDATION_TRACKS, "".join(f"{name}\n" for name in names))


def read_manifest(root: Path) -> list[dict[str, Any]]:
    """Return the entries of a data set's songs.

    Raises:
        UserError: if the manifest is missing or damaged.
    """
    content = read_json(root / MANIFEST)
    if not isinstance(content.get("songs"), list):
        raise UserError(f"{root / MANIFEST}: not a manifest; build the data set again")
    return content["songs"]


def _difference(existing: object, wanted: Mapping[str, Any]) -> str:
    """Return the first setting that differs, with both values; "" if there is none."""
    existing = existing if isinstance(existing, dict) else {}
    for name in sorted({*existing, *wanted}):
        if existing.get(name) != wanted.get(name):
            was, now = existing.get(name, "none"), wanted.get(name, "none")
            return f"{name} was {_shown(was)}, now {_shown(now)}"
    return ""


def _shown(value: object) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def write_credits(root: Path, materials: Materials, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write `CREDITS.md` and `infos.json`, and copy the licence texts to `licences/`.

    `infos.json` has the contents of `CREDITS.md` in the form of Asteroid's data sets, from which
    model cards are made.

    Args:
        root: folder of the data set.
        materials: materials of the build; those that an entry names are credited.
        entries: entries of the manifest.
    """
    used = Counter(name for entry in entries for name in entry.get("materials", ()))
    named = [find(name) for name in materials.names if name in used]
    text = _HEAD.format(profile=materials.profile) + "\n".join([_OWN, *_rows(named, materials)])
    text += "\n" + _pieces(entries)
    if named:
        text += f"\nThe texts of the licences are in `{LICENCES}/`.\n"
    write_text(root / CREDITS, text)
    write_json(root / INFOS, _infos(named, materials))
    for material in named:
        _copy_licences(root / LICENCES / material.name, materials, material)


def _infos(named: Sequence[Material], materials: Materials) -> dict[str, Any]:
    licenses = [
        {
            "title": f"{material.package} {materials.version(material.name)}",
            "title_link": CREDITS,
            "author": "; ".join(
                dict.fromkeys(item.credit for item in material.used(materials.profile))
            ),
            "author_link": CREDITS,
            "license": "; ".join(material.licences(materials.profile)),
            "license_link": LICENCES,
            "non_commercial": False,
        }
        for material in named
    ]
    return {"dataset": f"openstems, profile {materials.profile} (synthetic)", "licenses": licenses}


def _rows(named: Sequence[Material], materials: Materials) -> list[str]:
    rows = []
    for material in named:
        client = f"{material.package} {materials.version(material.name)} ({material.client})"
        for item in material.used(materials.profile):
            rows.append(f"| {client} | {item.path or 'all'} | {item.licence} | {item.credit} |")
    return rows


def _pieces(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return Markdown with the pieces that songs are arranged from, and how often."""
    counts = Counter(piece for entry in entries for piece in entry["uses"].get("piece", ()))
    if not counts:
        return "\nAll music was composed by openstems.\n"
    # The authors of a piece are those of its material, in the table above.
    lines = [f"- {piece}: {count} song(s)" for piece, count in sorted(counts.items())]
    head = "\n## Pieces\n\nSongs that are not named here were composed by openstems.\n\n"
    return head + "\n".join(lines) + "\n"


def _copy_licences(folder: Path, materials: Materials, material: Material) -> None:
    files = materials.licence_files(material.name)
    # A package may have several files of one name, such as COPYING.
    counts = Counter(file.name for file in files)
    for file in files:
        name = file.name if counts[file.name] == 1 else f"{file.parent.name}-{file.name}"
        if not (folder / name).exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / name)
