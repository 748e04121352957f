"""Pretrained weights by name, file, folder, URL or repository of the Hugging Face Hub.

Nothing is ever replaced by random weights.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import UserError
from .models import PerSourceSeparator, SourceModel
from .options import DEFAULT_MODEL
from .weights import bag, checkpoint, install, reference
from .weights.bag import Bag, Member
from .weights.find import checkpoints_in, find_weights
from .weights.registry import Pretrained, entry_of, registry

DEFAULT = DEFAULT_MODEL

__all__ = [
    "Bag",
    "DEFAULT",
    "Member",
    "Pretrained",
    "find",
    "from_reference",
    "from_reference_files",
    "import_reference",
    "load",
    "registry",
]


def load(
    name_or_path_or_url: str | os.PathLike | Bag = DEFAULT,
    *,
    stems: str | Sequence[str] | None = None,
    **overrides,
) -> SourceModel:
    """Return a pretrained model, in evaluation mode on the CPU.

    Args:
        name_or_path_or_url: one of

            - a name of the registry, whose weights are downloaded at first use;
            - `hf:user/name`, a repository of the Hugging Face Hub (other forms:
              `weights.hub.parse`);
            - an http(s) or file URL, to which `#sha256=<checksum>` may be added;
            - a file: published, converted, or a checkpoint of one of the recipes' trainings;
            - the folder of a training run, finished or not. Its `best_model.pth` is taken, or else
              its best checkpoint;
            - a folder of published files, with one network each;
            - several models whose estimates are averaged: a bag file (.yml, .yaml) or a `Bag`.
        stems: wanted sources; None means all. If each source has a network of its own, only those
            of the stems are downloaded and built.
        **overrides: constructor arguments that replace the stored ones; a bag takes none.

    Returns:
        The model, with its stored weights and never with others.

    Raises:
        UserError: there are no such weights, or they cannot be downloaded, verified or loaded.
    """
    if isinstance(name_or_path_or_url, Bag):
        models = name_or_path_or_url
    else:
        weights = find_weights(name_or_path_or_url, stems)
        if not bag.is_bag(weights.path):
            # A user may overwrite files of their own at any time, so these are read at once.
            managed = weights.name is not None
            return checkpoint.load_model(weights.path, stems=stems, mmap=managed, **overrides)
        models = bag.read_bag(weights.path)
    if overrides:
        raise UserError(
            f"{models.title}: a bag has no argument {next(iter(overrides))!r}; set it in the files "
            "of its models"
        )
    return bag.load_bag(models, stems)


def find(name_or_path_or_url: str | os.PathLike, stems: str | Sequence[str] | None = None) -> Path:
    """Return the file of pretrained weights, or the folder of their files.

    Arguments and errors are those of `load`.
    """
    return find_weights(name_or_path_or_url, stems).path


def from_reference(state_dict: Mapping, config: Mapping, sources: Sequence[str]) -> SourceModel:
    """Return this project's model with weights of the replication study's code.

    Arguments, result and errors are those of `weights.reference.build`.
    """
    return reference.build(state_dict, config, sources)


def from_reference_files(paths: Sequence[str | os.PathLike]) -> SourceModel:
    """Return a model in evaluation mode from checkpoints of the study's code or of the recipes.

    Args:
        paths: checkpoints: of Lightning, or dicts of `state_dict`, `config` and `targets`. Several
            become one separator with a network for each. A folder means the checkpoints in it, or
            the best weights of the run in it.

    Raises:
        UserError: a file cannot be read safely or converted, or two estimate the same source.
    """
    files = [file for path in paths for file in checkpoints_in(path)]
    networks = [
        checkpoint.load_model(file) if checkpoint.is_own(file) else reference.load(file)
        for file in files
    ]
    if len(networks) == 1:
        return networks[0]
    try:
        return PerSourceSeparator.of(networks).eval()
    except ValueError as error:
        names = ", ".join(str(file) for file in files)
        raise UserError(f"{names}: cannot be one separator: {error}") from error


def import_reference(name: str, paths: Sequence[str | os.PathLike]) -> list[Path]:
    """Convert weights of the study that the user downloaded, and install them under their name.

    Args:
        name: a name of the registry whose weights the study published.
        paths: the published archive, or its checkpoints; a folder means the checkpoints in it.

    Returns:
        The files of the weights; `load(name)` finds them.

    Raises:
        UserError: as in `from_reference_files`, or the files are not the networks of `name`.
    """
    files = [file for path in paths for file in checkpoints_in(path)]
    return install.import_files(entry_of(name), files)
