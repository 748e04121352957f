"""Drums from recordings of single strokes: Hydrogen kits and one-shot samples."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from openstems.errors import UserError
from openstems.instruments import percussion
from openstems.instruments.percussion import Hit
from openstems.instruments.sampling import ByteCache, read_recording, repitch
from openstems.music import RATE, Note

_NEEDED = ("kick", "snare", "closed_hat")
_LONGEST = 6 * RATE
_CENTS = (-30, -12, 0, 12, 30)
# Long sounds, such as cymbals, are not retuned for each stroke: they are large.
_RETUNED = int(1.2 * RATE)
_SOUND_BYTES = 48 * 2**20
# The first expression that matches an instrument's lower-case name decides; None leaves it out.
_ROLE_NAMES: tuple[tuple[str, str | None], ...] = (
    (r"choke|swish|roll|whistle|zap|\bfx\b|^$|^\d+$", None),
    (r"tambourine", "tambourine"),
    (r"pedal|\bpd\b", "pedal_hat"),
    (r"(hat|hh|hi-hat).*(semi|\bop|free)|open|ohh", "open_hat"),
    (r"\bhat\b|hi-hat|\bhh\b|cymbal_closed", "closed_hat"),
    (r"crash|china|cymbal", "crash"),
    (r"splash", "splash"),
    (r"cowbell|agogo", "cowbell"),
    (r"bell\b|cup", "ride_bell"),
    (r"ride", "ride"),
    (r"kick|bass ?drum|\bbd\b", "kick"),
    (r"clap", "clap"),
    (r"side|stick|rim click", "stick"),
    (r"snare|\bsn\b", "snare"),
    (r"tom.*(low|floor|\blo\b)|(low|floor).*tom", "low_tom"),
    (r"tom ?.*(hi|\b1\b)|high.*tom", "high_tom"),
    (r"tom", "mid_tom"),
    (r"shaker|maraca", "shaker"),
    (r"conga|bongo", "conga"),
    (r"clave|block", "block"),
)


@dataclass(frozen=True)
class Layer:
    """Recording for velocities from `low` to `high` (0 to 1)."""

    path: Path
    low: float
    high: float
    gain: float
    semitones: float


@dataclass(frozen=True)
class Drum:
    """Instrument of a kit."""

    name: str
    role: str
    layers: tuple[Layer, ...]
    gain: float
    pan: float


def role_of(name: str) -> str | None:
    """Return the role that an instrument's name indicates, or None."""
    name = name.lower().replace("_", " ")
    return next((role for pattern, role in _ROLE_NAMES if re.search(pattern, name)), None)


class Kit:
    """Sampled drum kit.

    Args:
        drums: instruments; a role may have several.
    """

    def __init__(self, drums: Iterable[Drum]) -> None:
        self.drums: dict[str, list[Drum]] = {}
        for drum in drums:
            self.drums.setdefault(drum.role, []).append(drum)
        self._sounds = ByteCache(_SOUND_BYTES)

    def render(
        self,
        notes: Iterable[Note],
        samples: int,
        rng: np.random.Generator,
        *,
        picks: dict[str, int] | None = None,
        cents: float = 0.0,
        width: float = 1.0,
    ) -> np.ndarray:
        """Render a drum part.

        Args:
            notes: notes with General MIDI percussion pitches.
            samples: length of the result.
            rng: random stream of the choice of recordings, and of level and tuning of strokes.
            picks: number of the drum to use for a role, modulo the number of drums.
            cents: tuning of the whole kit.
            width: factor on the pan of drums that the kit leaves in the middle, -1 to 1.

        Returns:
            Float32 of shape (2, samples).
        """
        hits = []
        for note in notes:
            layer_draw, level, tuning = rng.random(), float(rng.normal(0, 0.6)), rng.integers(5)
            wanted = percussion.ROLE_OF_PITCH.get(note.pitch)
            role = percussion.role_for(wanted, self.drums) if wanted else None
            if role is None:
                continue
            choices = self.drums[role]
            drum = choices[(picks or {}).get(role, 0) % len(choices)]
            layer = _layer(drum, note.velocity / 127, layer_draw)
            sound = self._sound(layer, cents, int(tuning))
            # Layered recordings contain part of the dynamics.
            curve = 1.0 if len({(one.low, one.high) for one in drum.layers}) > 1 else 1.5
            gain = drum.gain * layer.gain * (note.velocity / 127) ** curve * 10 ** (level / 20)
            pan = drum.pan or percussion.PAN.get(role, 0.0) * width
            hits.append(Hit(round(note.start * RATE), wanted, sound, gain, pan))
        return percussion.mix(hits, samples)

    def _sound(self, layer: Layer, cents: float, tuning: int) -> np.ndarray:
        base = self._sounds.get(layer.path, lambda: read_sound(layer.path))
        if base.shape[1] > _RETUNED:
            tuning = len(_CENTS) // 2
        total = cents + 100 * layer.semitones + _CENTS[tuning]
        if total == 0:
            return base
        return self._sounds.get((layer.path, round(total, 1)), lambda: repitch(base, total))


def _layer(drum: Drum, strength: float, draw: float) -> Layer:
    """Return a layer for a velocity, or the nearest one."""
    fitting = [layer for layer in drum.layers if layer.low <= strength <= layer.high]
    if fitting:
        return fitting[int(draw * len(fitting))]
    return min(drum.layers, key=lambda layer: abs((layer.low + layer.high) / 2 - strength))


def read_sound(path: Path) -> np.ndarray:
    """Return a recording as float32 (2, samples) at `RATE`, at most six seconds, faded at the end.

    Raises:
        UserError: if it cannot be read.
    """
    sound = np.ascontiguousarray(read_recording(path, 6)[:_LONGEST, :2].T)
    sound = np.repeat(sound, 2, axis=0) if len(sound) == 1 else sound
    fade = min(400, sound.shape[1])
    sound[:, sound.shape[1] - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return sound


@lru_cache(maxsize=3)
def open_hydrogen(folder: Path) -> Kit:
    """Return the Hydrogen drum kit in `folder`, cached; recordings are read when they are used.

    Raises:
        UserError: if drumkit.xml is missing or of another format, or has no kick, snare or
            hi-hat.
    """
    source = folder / "drumkit.xml"
    try:
        root = ElementTree.parse(source).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise UserError(f"{source}: cannot be read ({error}); fetch its package again") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    found = (_drum(element, folder) for element in root.iter("instrument"))
    return _complete([drum for drum in found if drum], source)


def _drum(element: ElementTree.Element, folder: Path) -> Drum | None:
    name = element.findtext("name") or ""
    role = role_of(re.sub(r"^[a-g]#?\d\s*-", "", name.strip()))
    layers = [layer for item in element.iter("layer") if (layer := _layer_of(item, folder))]
    # Old kits have a single recording and no layers.
    if not layers and (layer := _layer_of(element, folder)):
        layers = [Layer(layer.path, 0, 1, 1, 0)]
    if role is None or not layers:
        return None
    gain = _number(element, "volume", 1) * _number(element, "gain", 1)
    left, right = _number(element, "pan_L", 1), _number(element, "pan_R", 1)
    pan = _number(element, "pan", (right - left) / max(left, right, 1e-3))
    return Drum(name, role, tuple(layers), gain, float(np.clip(pan, -1, 1)))


def _layer_of(element: ElementTree.Element, folder: Path) -> Layer | None:
    name = element.findtext("filename")
    path = Path(folder) / name if name else None
    if path is None or not path.is_file():
        return None
    low, high = _number(element, "min", 0), _number(element, "max", 1)
    return Layer(path, low, high, _number(element, "gain", 1), _number(element, "pitch", 0))


def _number(element: ElementTree.Element, name: str, default: float) -> float:
    text = element.findtext(name)
    return float(text) if text and text.strip() else default


@lru_cache(maxsize=1)
def open_one_shots(folder: Path, copyright_file: Path) -> Kit:
    """Return a kit of Sonic Pi's drum samples that are under CC0 according to the copyright file.

    Raises:
        UserError: if the file is missing, or the samples do not make a kit.
    """
    drums = []
    for name in public_domain_names(copyright_file):
        path = folder / name
        kind = re.match(r"(bd|sn|drum|elec|perc)_", name)
        words = path.stem.replace("drum_bass", "drum_kick").replace("elec_cymbal", "elec_crash")
        words = words.replace("cymbal_closed", "hat").replace("cymbal_open", "hat open")
        words = words.replace("cymbal_pedal", "hat pedal")
        role = role_of(words)
        if kind and role and path.is_file() and not re.search("roll|loop", name):
            drums.append(Drum(path.stem, role, (Layer(path, 0, 1, 1, 0),), 0.8, 0))
    return _complete(drums, copyright_file)


def public_domain_names(copyright_file: Path) -> tuple[str, ...]:
    """Return the names of the sample files that a Debian copyright file puts under CC0, in order.

    Raises:
        UserError: if the file cannot be read.
    """
    try:
        text = Path(copyright_file).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{copyright_file}: cannot be read ({error})") from error
    names = []
    for paragraph in re.split(r"\n\s*\n", text):
        fields = re.search(r"^Files:((?:.|\n )*)", paragraph, re.M)
        if fields and re.search(r"^License: CC0\s*$", paragraph, re.M):
            names += [Path(item).name for item in fields[1].split() if "/samples/" in item]
    return tuple(sorted(name for name in names if "*" not in name))


def _complete(drums: list[Drum], source: Path) -> Kit:
    kit = Kit(drums)
    missing = [role for role in _NEEDED if role not in kit.drums]
    if missing:
        raise UserError(f"{source}: no {', '.join(missing)} in this kit; choose another")
    return kit
