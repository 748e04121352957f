"""Bags: models that work together, from the YAML file that lists them to one network."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..audio.stems import choose_stems
from ..errors import UserError
from ..files import read_yaml
from ..models import Ensemble, PerSourceSeparator, SourceModel
from . import cache, checkpoint, hub
from .find import Weights, find_weights
from .registry import BAG_SUFFIXES, registry

INPUTS = ("mixture", "residual")


@dataclass(frozen=True)
class Member:
    """A model of a bag.

    Attributes:
        model: as in `zoo.load`, but not a bag.
        weights: the weight of its estimates in the mean: a number above 0 for all of its stems, or
            a mapping from stem to number. Stems with 0, or that the mapping does not have, are not
            taken from this model.
        input: what the model separates: "mixture", or "residual", the mixture minus the stems of
            the models before it.

    Raises:
        UserError: a weight is not a number of this range, all are 0, or there is no such input.
    """

    model: str
    weights: float | Mapping[str, float] = 1.0
    input: str = "mixture"

    def __post_init__(self):
        if self.input not in INPUTS:
            raise UserError(f"input of {self.model}: must be {' or '.join(INPUTS)}: {self.input!r}")
        given = self.weights
        values = list(given.values()) if isinstance(given, Mapping) else [given]
        if not all(_is_weight(value) for value in values) or not any(values):
            raise UserError(
                f"weights of {self.model}: must be a number above 0, or numbers by stem as "
                f"{{vocals: 2, drums: 1}}, got {given!r}"
            )
        if isinstance(given, Mapping):
            given = {str(stem): float(weight) for stem, weight in given.items()}
        else:
            given = float(given)
        object.__setattr__(self, "weights", given)

    @property
    def stems(self) -> list[str] | None:
        """The stems that are taken from this model; None means all that it has."""
        if not isinstance(self.weights, Mapping):
            return None
        return [stem for stem, weight in self.weights.items() if weight]

    def weights_of(self, stems: Sequence[str]) -> dict[str, float]:
        """Return the weight of each of the stems that is taken from this model."""
        if isinstance(self.weights, Mapping):
            return {stem: self.weights[stem] for stem in stems if self.weights.get(stem)}
        return dict.fromkeys(stems, self.weights)


@dataclass(frozen=True)
class Bag:
    """Models whose estimates are averaged, or that separate what those before them leave.

    Attributes:
        members: the models, in order.
        path: file that lists them, whose folder relative paths of models start from, or None.
    """

    members: Sequence[Member]
    path: Path | None = None

    @property
    def title(self) -> str:
        """Name in messages."""
        return str(self.path or " + ".join(member.model for member in self.members))

    def find(self, member: Member, stems: str | Sequence[str] | None = None) -> Weights:
        """Return the weights of a member, downloaded and verified first if need be.

        Raises:
            UserError: there are no such weights, or they are a bag themselves.
        """
        model = member.model
        is_name = hub.is_reference(model) or "://" in model or model in registry()
        if self.path is not None and not is_name:
            model = str(self.path.parent / Path(model).expanduser())
            if not os.path.exists(model):
                raise UserError(
                    f"models: {member.model!r} is neither a file or folder, relative "
                    f"to the bag file, nor a name; valid names: {', '.join(registry())}"
                )
        found = find_weights(model, stems)
        if is_bag(found.path):
            raise UserError(f"{model} is a bag itself; list its models instead")
        return found


def is_bag(path: str | os.PathLike) -> bool:
    """Return whether a path is that of a bag file, by its suffix."""
    return Path(path).suffix.lower() in BAG_SUFFIXES and not os.path.isdir(path)


def read_bag(path: str | os.PathLike) -> Bag:
    """Read a bag file: YAML with a list `models` of names, or of mappings like a `Member`.

    Raises:
        UserError: the file cannot be read or has another form; the message names the key.
    """
    path = Path(path)
    content = read_yaml(path)
    entries = content.get("models") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: not a bag: it needs a list 'models', such as models: [a, b]")
    _check_keys(content, ("models",), str(path))
    members = []
    for number, entry in enumerate(entries, 1):
        where = f"{path}: models: entry {number}"
        entry = {"model": entry} if isinstance(entry, str) else entry
        if not isinstance(entry, dict) or not isinstance(entry.get("model"), str):
            raise UserError(f"{where}: must be a name, or have a 'model' that is one: {entry!r}")
        _check_keys(entry, ("model", "weights", "input"), where)
        try:
            members.append(Member(**entry))
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
    return Bag(tuple(members), path)


def load_bag(bag: Bag, stems: str | Sequence[str] | None = None) -> Ensemble:
    """Return the models of a bag as one network, in evaluation mode.

    Args:
        bag: the models.
        stems: wanted sources. Models that neither serve one of them nor leave a residual to one
            that does are left out. None means all.

    Raises:
        UserError: a model cannot be found or loaded, lacks a stem that it is to serve, or has
            another sample rate; no model serves one of the wanted stems; or a stem is served again
            after a model whose input is the residual.
    """
    wanted = [stems] if isinstance(stems, str) else stems
    used, served, rates = [], [], {}
    needed = wanted
    for member in reversed(bag.members):
        try:
            network = _load_member(bag, member, needed)
        except UserError as error:
            raise UserError(f"{bag.title}: {error}") from error
        given = member.weights_of((member.stems or ()) if network is None else network.sources)
        served = [*given, *served]
        taken = {stem: weight for stem, weight in given.items() if stem in (needed or given)}
        if network is not None and taken:
            used.append((network, taken, member.input == "residual"))
            rates[member.model] = network.sample_rate
            # A residual needs all stems of the models before it.
            needed = None if member.input == "residual" else needed
    if wanted is not None:
        choose_stems(list(dict.fromkeys(served)), wanted)
    if len(set(rates.values())) > 1:
        found = ", ".join(f"{model} has {rate:g} Hz" for model, rate in reversed(rates.items()))
        raise UserError(
            f"{bag.title}: models of one bag must have one sample rate: {found}; leave some out"
        )
    try:
        return Ensemble.of(*zip(*reversed(used), strict=True)).eval()
    except ValueError as error:
        raise UserError(f"{bag.title}: {error}") from None


def sha256_of(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a model's file or folder; for a bag that of its models and weights.

    The SHA-256 of a bag is that of a text with one line for each model: its checksum, or those of
    the files that the bag uses, its weights as JSON, and its input if that is the residual.
    """
    if not is_bag(path):
        return cache.sha256_of(path)
    return sha256_of_members(facts_of(path))


def sha256_of_members(members: Sequence[Mapping]) -> str:
    """Return the SHA-256 of a bag from what `facts_of` returned for it, without reading files."""
    lines = []
    for member in members:
        parts = [member["sha256"], json.dumps(member["weights"], sort_keys=True)]
        if "input" in member:
            parts.append(member["input"])
        lines.append("  ".join(parts) + "\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def facts_of(path: str | os.PathLike) -> list[dict]:
    """Return `model`, `weights`, `sha256` of each model of a bag, and a residual `input`.

    Args:
        path: a bag file. The list is empty for other files and folders.
    """
    if not is_bag(path):
        return []
    bag = read_bag(path)
    facts = []
    for member in bag.members:
        checksums = [cache.sha256_of(file) for file in _paths(bag, member)]
        facts.append(
            {
                "model": member.model,
                "weights": member.weights,
                "sha256": " ".join(checksums),
                **({"input": member.input} if member.input != "mixture" else {}),
            }
        )
    return facts


def files_of(path: str | os.PathLike) -> list[Path]:
    """Return the model files of a file or folder (`checkpoint.files_of`), or of all in a bag."""
    if not is_bag(path):
        return checkpoint.files_of(path)
    bag = read_bag(path)
    paths = [path for member in bag.members for path in _paths(bag, member)]
    return list(dict.fromkeys(file for path in paths for file in checkpoint.files_of(path)))


def _load_member(bag: Bag, member: Member, wanted: Sequence[str] | None) -> SourceModel | None:
    """Return the network of a member with the stems needed; None if it is known to have none."""
    needed = member.stems
    if needed is None and member.model in registry():
        needed = list(registry()[member.model].sources)
    if needed is not None:
        needed = [stem for stem in needed if wanted is None or stem in wanted]
        if not needed:
            return None
    found = bag.find(member, needed)
    managed = found.name is not None  # as in `zoo.load`
    network = checkpoint.load_model(found.path, stems=needed, mmap=managed)
    if needed is None and wanted is not None and isinstance(network, PerSourceSeparator):
        needed = [stem for stem in network.sources if stem in wanted]
        if needed:
            network = checkpoint.load_model(found.path, stems=needed, mmap=managed)
    return network


def _paths(bag: Bag, member: Member) -> list[Path]:
    """Return the files or folders of a member, of which the bag may use some stems only."""
    stems = member.stems or [None]
    return list(dict.fromkeys(bag.find(member, stem).path for stem in stems))


def _check_keys(given: Mapping, known: Sequence[str], where: str) -> None:
    unknown = [key for key in given if key not in known]
    if unknown:
        raise UserError(f"{where}: unknown key {unknown[0]!r}; valid: {', '.join(known)}")


def _is_weight(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 <= value < math.inf
