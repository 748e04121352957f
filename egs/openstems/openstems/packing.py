"""Training data as Opus files, to be carried to another machine and decoded there.

A packed folder has `labelled/<split>/<song>/<stem>.opus`, `songs/<number>/<part>.opus`, the lists
`songs.json` (of egs/musdb18hq/finetune, with licences) and `validation_tracks.txt`, `infos.json`,
and `manifest.json` with the checksums of the files and the teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from asteroid_bsrnn.files import list_folders

from .errors import UserError
from .files import read_json, sha256_of, write_json, write_text
from .manifest import VALIDATION_TRACKS
from .music import RATE, STEMS

FORMAT = "openstems packed"
OPUS_RATE = 48000
"""Opus does not support 44.1 kHz."""
SHARES = {"labelled": 0.4, "estimates": 0.3, "silent": 0.15, "parts": 0.15}
"""Shares of labelled songs, estimates of the teacher, pieces without a source, single parts."""


@dataclass(frozen=True)
class Amounts:
    """Amounts of packed data.

    Args:
        megabytes: size of all files in 2^20 bytes.
        kbps: bit rate of a stereo file in kb/s; a mono file has half.
        seconds: length of the excerpt of a song with estimates, where the filter uses most.
        silent_seconds: length of the excerpt of a song without a source.
        validation: number of labelled validation songs.
    """

    megabytes: float = 24.0
    kbps: float = 64.0
    seconds: float = 60.0
    silent_seconds: float = 40.0
    validation: int = 4


def pack(
    data: Path, selection: Path, output: Path, amounts: Amounts, report: Callable[[str], None]
) -> dict[str, Any]:
    """Pack a data set and a selection of songs.

    Args:
        data: folder of a data set of openstems.
        selection: file of stage 1 of egs/musdb18hq/finetune.
        output: a new folder.
        amounts: amounts.
        report: called with a line for each kind.

    Returns:
        The manifest.

    Raises:
        UserError: if the folder exists, or something cannot be read.
    """
    if output.exists():
        raise UserError(f"{output}: exists already; name a new folder")
    chosen = read_json(selection)
    packer = _Packer(output, amounts)
    names = (data / VALIDATION_TRACKS).read_text(encoding="utf-8").splitlines()
    validation = names[: amounts.validation]
    for name in validation:
        packer.labelled(data, name)
    report(f"validation: {len(validation)} songs, {packer.bytes / 2**20:.1f} MB")
    folders = list_folders(data / "train")
    training = [folder.name for folder in folders if folder.name not in names]
    packer.fill("labelled", (lambda name=name: packer.labelled(data, name) for name in training))
    songs = [song for song in chosen["songs"] if song["parts"]]
    for kind in ("estimates", "silent", "parts"):
        entries = (song for song in songs if _kind(song) == kind)
        packer.fill(
            kind,
            (lambda song=song, k=kind: packer.song(song, k, selection.parent) for song in entries),
        )
    for kind, count in packer.counts.items():
        report(f"{kind}: {count} songs")
    write_json(output / "songs.json", packer.songs)
    write_text(output / VALIDATION_TRACKS, "".join(f"{name}\n" for name in validation))
    write_text(output / "infos.json", (data / "infos.json").read_text(encoding="utf-8"))
    manifest = {
        "format": FORMAT,
        "megabytes": round(packer.bytes / 2**20, 2),
        "minutes": round(packer.seconds / 60, 1),
        "counts": packer.counts,
        "teachers": chosen["teachers"],
        "files": packer.files,
    }
    write_json(output / "manifest.json", manifest)
    report(f"{output}: {manifest['megabytes']} MB, {manifest['minutes']} minutes of stems")
    return manifest


def unpack(packed: Path, output: Path) -> None:
    """Decode a packed folder into wav files and lists for the recipes.

    Args:
        packed: the folder.
        output: folder for `data/`, in the layout of MUSDB18-HQ, and `songs.json` with `songs/`.

    Raises:
        UserError: if a file is missing or damaged.
    """
    manifest = read_json(packed / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise UserError(f"{packed}: not a packed data set")
    for name, facts in manifest["files"].items():
        path = packed / name
        if not path.is_file() or sha256_of(path) != facts["sha256"]:
            raise UserError(f"{path}: missing or damaged; pack again")
        target = output / name.replace("labelled/", "data/", 1)
        decode(path, target.with_suffix(".wav"), facts["frames"])
    data = output / "data"
    for folder in list_folders(data / "train"):
        stems = [soundfile.read(folder / f"{stem}.wav", dtype="float32")[0] for stem in STEMS]
        soundfile.write(folder / "mixture.wav", np.clip(sum(stems), -1, 1), RATE, "PCM_16")
    (data / "test").mkdir(parents=True, exist_ok=True)
    for name in (VALIDATION_TRACKS, "infos.json"):
        write_text(data / name, (packed / name).read_text(encoding="utf-8"))
    write_text(output / "songs.json", (packed / "songs.json").read_text(encoding="utf-8"))


def encode(samples: np.ndarray, path: Path, kbps: float) -> None:
    """Write samples (frames, channels) at 44.1 kHz as Opus at 48 kHz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    resampled = np.clip(soxr.resample(samples, RATE, OPUS_RATE), -1, 1)
    # libsndfile gives each channel 6 to 256 kb/s.
    level = 1 - (kbps / 2 - 6) / 250
    soundfile.write(
        path, resampled, OPUS_RATE, format="OGG", subtype="OPUS", compression_level=level
    )


def decode(path: Path, target: Path, frames: int) -> None:
    """Write an Opus file as 16-bit wav at 44.1 kHz with a number of frames."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = soxr.resample(samples, rate, RATE)[:frames]
    missing = frames - len(samples)
    target.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(target, np.pad(samples, ((0, missing), (0, 0))), RATE, "PCM_16")


class _Packer:
    def __init__(self, output: Path, amounts: Amounts):
        self.output, self.amounts = output, amounts
        self.bytes, self.seconds = 0, 0.0
        self.files: dict[str, dict[str, Any]] = {}
        self.songs: list[dict[str, Any]] = []
        self.counts: dict[str, int] = {}

    def fill(self, kind: str, steps: Iterator[Callable[[], None]]) -> None:
        """Pack songs of a kind until its share of the bytes is used."""
        limit = self.bytes + SHARES[kind] * self.amounts.megabytes * 2**20
        limit = min(limit, self.amounts.megabytes * 2**20)
        self.counts[kind] = 0
        largest = 0
        for step in steps:
            if self.bytes + largest > limit:
                break
            before = self.bytes
            step()
            largest = max(largest, self.bytes - before)
            self.counts[kind] += 1

    def labelled(self, data: Path, name: str) -> None:
        folder = data / "train" / name
        for stem in STEMS:
            samples, _ = soundfile.read(folder / f"{stem}.wav", dtype="float32", always_2d=True)
            self._add(f"labelled/train/{name}/{stem}.opus", samples)

    def song(self, song: Mapping[str, Any], kind: str, folder: Path) -> None:
        first, last = self._window(song, kind)
        number = len(self.songs)
        stems = {}
        for part, facts in song["parts"].items():
            path = folder / facts["file"]
            samples, rate = soundfile.read(path, start=first, stop=last, always_2d=True)
            if rate != RATE:
                samples = soxr.resample(samples, rate, RATE)
            if samples.shape[1] == 2 and np.array_equal(samples[:, 0], samples[:, 1]):
                samples = samples[:, :1]
            self._add(f"songs/{number}/{part}.opus", samples.astype(np.float32))
            stems[part] = f"songs/{number}/{part}.wav"
        facts = {k: song["song"][k] for k in ("title", "licence", "author", "link")}
        silent = dict.fromkeys(song["song"]["silent"], "silent")
        if silent:
            (path,) = stems.values()
            self.songs.append({"path": path, **facts, **silent})
        else:
            self.songs.append({"stems": stems, **facts})

    def _window(self, song: Mapping[str, Any], kind: str) -> tuple[int, int]:
        """Return the first and the last frame of the packed excerpt."""
        if kind == "parts":
            return 0, song["frames"]
        wanted = self.amounts.silent_seconds if kind == "silent" else self.amounts.seconds
        count = max(1, round(wanted * song["sample_rate"] / song["window"]))
        used = np.zeros(max(count, -(-song["frames"] // song["window"])), int)
        for part in song["parts"].values():
            used[part["decisions"]["used"]] += 1
        sums = np.convolve(used, np.ones(count, int), "valid")
        first = int(sums.argmax()) * song["window"]
        return first, min(first + count * song["window"], song["frames"])

    def _add(self, name: str, samples: np.ndarray) -> None:
        path = self.output / name
        encode(samples, path, self.amounts.kbps)
        self.bytes += path.stat().st_size
        self.seconds += len(samples) / RATE
        self.files[name] = {"frames": len(samples), "sha256": sha256_of(path)}


def _kind(song: Mapping[str, Any]) -> str:
    if song["song"]["silent"]:
        return "silent"
    return "estimates" if song["teacher"] else "parts"
