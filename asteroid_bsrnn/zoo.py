"""Pretrained weights by name: what can be had, where it comes from, how it is checked.

`weights/registry.json` lists them. Some ship with the package, some are downloaded, and some can
be had only by hand: those are imported once by `asteroid-bsrnn convert --name`. Nothing is ever
replaced by random weights.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from . import checkpoint, presets, reference
from .download import cache_directory, fetch, fetch_url, verify
from .errors import UserError
from .models import PerSourceSeparator, SourceModel

DEFAULT = "small"
WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Pretrained:
    """What the registry knows of one set of weights.

    Attributes:
        name: what it is loaded by.
        description: one line.
        sources: names of the estimated sources, in order.
        file: name of its file, in the package or in the cache.
        licence: of the weights.
        training_data: what it was trained on.
        embedded: whether the file ships with the package.
        urls: mirrors to download it from.
        sha256: checksum of the file; None where nobody has been able to verify one.
        homepage: where the weights are published.
        figures: measured results, by the name of the measure.
    """

    name: str
    description: str
    sources: tuple[str, ...]
    file: str
    licence: str
    training_data: str
    embedded: bool = False
    urls: tuple[str, ...] = ()
    sha256: str | None = None
    homepage: str | None = None
    figures: Mapping[str, object] = field(default_factory=dict)

    def path(self) -> Path:
        """The file, verified; downloaded first where that is possible.

        Raises:
            UserError: if the file can't be had or fails its checksum.
        """
        if self.embedded:
            path = WEIGHTS / self.file
            verify(path, self.sha256, name=self.name)
            return path
        if self.urls:
            return fetch(self.urls, self.file, self.sha256)
        imported = imported_path(self.name)
        if not imported.is_file():
            raise UserError(
                f"{self.name}: these weights can't be downloaded automatically, as no checksum of "
                f"them has been verified; get them from {self.homepage} and import the folder: "
                f"asteroid-bsrnn convert FOLDER --name {self.name}"
            )
        return imported


@functools.cache
def registry() -> dict[str, Pretrained]:
    """All sets of weights that have a name."""
    entries = json.loads((WEIGHTS / "registry.json").read_text(encoding="utf-8"))
    return {
        name: Pretrained(
            name=name,
            **{
                key: tuple(value) if isinstance(value, list) else value
                for key, value in entry.items()
            },
        )
        for name, entry in entries.items()
    }


def imported_path(name: str) -> Path:
    """Where weights that the user imported under a name are kept.

    Raises:
        UserError: if `name` is not in the registry.
    """
    if name not in registry():
        raise UserError(f"unknown weights {name!r}; valid names: {', '.join(registry())}")
    return cache_directory() / "imported" / f"{name}.pth"


def load(name_or_path_or_url: str | os.PathLike = DEFAULT, **overrides) -> SourceModel:
    """A pretrained model, in evaluation mode on the CPU.

    Args:
        name_or_path_or_url: a name of the registry, a file that this project published or
            converted, or an http(s) URL of one, to which `#sha256=<checksum>` may be added.
        **overrides: constructor arguments that replace the stored ones.

    Returns:
        The model, with its stored weights and never with others.

    Raises:
        UserError: if there are no such weights, or they can't be had, verified or loaded.
    """
    wanted = os.fspath(name_or_path_or_url)
    if "://" in wanted:
        return checkpoint.load_model(fetch_url(wanted), **overrides)
    if wanted in registry():
        return checkpoint.load_model(registry()[wanted].path(), **overrides)
    if os.path.exists(wanted) or os.sep in wanted or Path(wanted).suffix:
        return checkpoint.load_model(wanted, **overrides)
    raise UserError(
        f"unknown model {wanted!r}: neither a file nor a name; valid names: "
        f"{', '.join(registry())} (asteroid-bsrnn models tells more)"
    )


def from_reference(state_dict: Mapping, config: Mapping, sources: Sequence[str]) -> SourceModel:
    """This project's model from the weights of the replication study's code.

    Args:
        state_dict: parameters under that code's names.
        config: that code's constructor arguments by name, such as `feature_dim`, `num_repeat` or
            `time_layer`; a mapping in `time_layer` means BSCNN.
        sources: names of the estimated sources, in order.

    Returns:
        A `BSRNN` or `BSCNN` in evaluation mode.

    Raises:
        UserError: for an unknown configuration name, or weights that do not fit it.
    """
    return reference.build(state_dict, config, sources)


def from_reference_files(paths: Sequence[str | os.PathLike]) -> SourceModel:
    """One model from checkpoints of the replication study's code.

    Args:
        paths: Lightning checkpoints, or dicts of `state_dict`, `config` and `targets`. Several
            become one separator with a network for each. A folder stands for the checkpoints in
            it.

    Returns:
        The model in evaluation mode.

    Raises:
        UserError: if a file can't be read safely or converted, or two estimate the same source.
    """
    files = [file for path in paths for file in _checkpoints_in(Path(path))]
    networks = [_from_reference_file(file) for file in files]
    if len(networks) == 1:
        return networks[0]
    try:
        return PerSourceSeparator.of(networks).eval()
    except ValueError as error:
        names = ", ".join(str(file) for file in files)
        raise UserError(f"{names}: can't be one separator: {error}") from error


def import_reference(name: str, paths: Sequence[str | os.PathLike]) -> Path:
    """Convert checkpoints of the replication study's code and keep them under a name.

    Args:
        name: a name of the registry that can't be downloaded automatically.
        paths: as in `from_reference_files`.

    Returns:
        Where the weights are kept; `load(name)` finds them there.

    Raises:
        UserError: as `from_reference_files`, or if they are not the network that `name` means.
    """
    path = imported_path(name)
    if registry()[name].embedded or registry()[name].urls:
        raise UserError(f"{name!r} needs no import: asteroid-bsrnn loads it by its name")
    model = from_reference_files(paths)
    with torch.device("meta"):
        expected = presets.build_separator(name)
    shapes = [
        {key: value.shape for key, value in m.state_dict().items()} for m in (model, expected)
    ]
    if set(model.sources) != set(expected.sources) or shapes[0] != shapes[1]:
        raise UserError(
            f"the checkpoints ({', '.join(model.sources)}) are not the network {name!r}; "
            "convert them without a name: asteroid-bsrnn convert ... -o model.pth"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    return checkpoint.save_model(model, path)


def _checkpoints_in(path: Path) -> list[Path]:
    """`path` itself, or the checkpoints in the folder that it is."""
    if not path.is_dir():
        return [path]
    order = {"vocals": 0, "bass": 1, "drums": 2, "other": 3}
    found = sorted(path.glob("*.ckpt"), key=lambda file: (order.get(file.stem, 4), file.name))
    if not found:
        raise UserError(f"{path}: there is no checkpoint (*.ckpt) in this folder")
    return found


def _from_reference_file(path: Path) -> SourceModel:
    """The network of one checkpoint."""
    loaded = checkpoint.load_lightning(path)
    state = loaded.get("state_dict")
    config = loaded.get("config", loaded.get("hyper_parameters"))
    if not isinstance(state, Mapping) or not isinstance(config, Mapping):
        raise UserError(
            f"{path}: not a checkpoint of the reference, it has no state_dict with a configuration"
        )
    sources = loaded.get("targets", config.get("targets"))
    if not sources:
        raise UserError(f"{path}: the checkpoint does not name its targets")
    # Besides the network's own arguments, Lightning stores those of its training.
    training = {"targets", "eps", *(name for name in config if name.startswith("cfg_"))}
    config = {name: value for name, value in config.items() if name not in training}
    try:
        return from_reference(state, config, [sources] if isinstance(sources, str) else sources)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
