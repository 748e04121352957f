"""Pretrained weights by name, file, URL or repository of the Hugging Face Hub.

Nothing is ever replaced by random weights.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import UserError
from .models import PerSourceSeparator, SourceModel
from .options import DEFAULT_MODEL
from .weights import checkpoint, hub, install, reference
from .weights.download import fetch_url
from .weights.registry import Pretrained, registry

DEFAULT = DEFAULT_MODEL

__all__ = [
    "DEFAULT",
    "Pretrained",
    "find",
    "from_reference",
    "from_reference_files",
    "import_reference",
    "load",
    "registry",
]


def load(
    name_or_path_or_url: str | os.PathLike = DEFAULT,
    *,
    stems: str | Sequence[str] | None = None,
    **overrides,
) -> SourceModel:
    """A pretrained model, in evaluation mode on the CPU.

    Args:
        name_or_path_or_url: a name of the registry, whose weights are downloaded at first use; a
            file that this project published or converted, or a folder of such files with a network
            each; an http(s) URL of a file, to which `#sha256=<checksum>` may be added; or
            `hf:user/name`, a repository of the Hugging Face Hub (other forms: `weights.hub.parse`).
        stems: sources that are wanted; None means all. Where each source has a network of its own,
            only those of the stems are downloaded and built.
        **overrides: constructor arguments that replace the stored ones.

    Returns:
        The model, with its stored weights and never with others.

    Raises:
        UserError: if there are no such weights, or they can't be downloaded, verified or loaded.
    """
    wanted = os.fspath(name_or_path_or_url)
    # What the user may overwrite at any time is read at once.
    ours = wanted in registry() or "://" in wanted
    return checkpoint.load_model(find(wanted, stems), stems=stems, mmap=ours, **overrides)


def find(name_or_path_or_url: str | os.PathLike, stems: str | Sequence[str] | None = None) -> Path:
    """The file, or folder of files, of pretrained weights; arguments as for `load`.

    Raises:
        UserError: if there are no such weights, or they can't be downloaded or verified.
    """
    wanted = os.fspath(name_or_path_or_url)
    if hub.is_reference(wanted):
        return hub.fetch(wanted)
    if "://" in wanted:
        return fetch_url(wanted)
    if wanted in registry():
        files = install.ensure(registry()[wanted], [stems] if isinstance(stems, str) else stems)
        return files[0] if len(files) == 1 else files[0].parent
    if os.path.exists(wanted) or os.sep in wanted or Path(wanted).suffix:
        return Path(wanted)
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
    networks = [reference.load(file) for file in files]
    if len(networks) == 1:
        return networks[0]
    try:
        return PerSourceSeparator.of(networks).eval()
    except ValueError as error:
        names = ", ".join(str(file) for file in files)
        raise UserError(f"{names}: can't be one separator: {error}") from error


def import_reference(name: str, paths: Sequence[str | os.PathLike]) -> list[Path]:
    """Convert weights of the study that were downloaded by hand, and keep them under their name.

    Args:
        name: a name of the registry whose weights the study published.
        paths: the published archive, or its checkpoints; a folder stands for those in it.

    Returns:
        The files of the weights; `load(name)` finds them.

    Raises:
        UserError: as `from_reference_files`, or if they are not the network that `name` means.
    """
    if name not in registry():
        raise UserError(f"unknown weights {name!r}; valid names: {', '.join(registry())}")
    if registry()[name].embedded or registry()[name].package:
        raise UserError(f"{name!r} needs no import: it is loaded by its name")
    return install.import_files(
        registry()[name], [file for path in paths for file in _checkpoints_in(Path(path))]
    )


def _checkpoints_in(path: Path) -> list[Path]:
    """`path` itself, or the checkpoints in the folder that it is."""
    if not path.is_dir():
        return [path]
    found = [file for file in path.glob("*.ckpt") if not file.name.startswith(".")]
    if not found:
        raise UserError(f"{path}: there is no checkpoint (*.ckpt) in this folder")
    return sorted(found, key=checkpoint.in_order_of_sources)
