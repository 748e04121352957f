"""Descriptions of recorded drum kits: Hydrogen's drumkit.xml, names, licences."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from openstems.errors import UserError

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


def hydrogen_drums(folder: Path) -> tuple[Drum, ...]:
    """Return the drums of a Hydrogen kit that have a role and existing recordings.

    Raises:
        UserError: if drumkit.xml is missing or of another format.
    """
    source = folder / "drumkit.xml"
    try:
        root = ElementTree.parse(source).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise UserError(f"{source}: cannot be read ({error}); fetch its package again") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    found = (_drum(element, folder) for element in root.iter("instrument"))
    return tuple(drum for drum in found if drum)


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
