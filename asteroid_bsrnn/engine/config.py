"""Configurations of runs: a base file, a row's file, and a user's changes.

A configuration has two levels: groups (data, model, training, ...) and keys. The base file has
every key and, by its value, the key's type; rows and changes may set these and nothing else, except
in the groups whose keys are the arguments of another function (`OPEN_GROUPS`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..costs import record
from ..costs.runs import differing_settings, latest
from ..errors import UserError
from ..files import write_text

FILE_NAME = "conf.yml"

# The model itself refuses unknown arguments and lists the valid ones.
OPEN_GROUPS = ("model",)

# Settings that a resumed run may change: they do not change what a step computes.
CHANGEABLE = {
    "data": ("workers", "activity_folder", "infos"),
    "training": ("max_epochs", "patience", "checkpoint_minutes", "activation_checkpointing"),
    "energy": ("track", "country", "pue"),
    "budget": ("minutes", "steps"),
}


def load(path: str | Path) -> dict[str, dict[str, Any]]:
    """Return the groups of a YAML file; interpolations are left to `merge`.

    Raises:
        UserError: if the file is missing, not YAML, has a key twice, or is not made of groups.
    """
    try:
        groups = OmegaConf.load(path)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {_reason(error)}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not isinstance(groups, DictConfig) or not all(
        isinstance(group, DictConfig) for group in groups.values()
    ):
        raise UserError(
            f"{path}: must hold groups of keys, such as 'optim:' with 'lr: 0.001' in it"
        )
    return OmegaConf.to_container(groups)


def merge(base: Mapping[str, Mapping], *changes: tuple[str, Mapping]) -> dict[str, dict[str, Any]]:
    """Return `base` with changed values, and with all interpolations (`${group.key}`) resolved.

    Args:
        base: every group and key.
        changes: pairs of a name, for errors, and the groups and keys to change; later ones win.

    Raises:
        UserError: for an unknown group or key, a value of another type, or an interpolation of
            what does not exist.
    """
    for where, groups in changes:
        for group, keys in groups.items():
            _check_known(group, base, "group", group, where)
            for key in keys if group not in OPEN_GROUPS else ():
                _check_known(key, base[group], "key", f"{group}.{key}", where)
    changes = tuple((where, _without_former_values(groups)) for where, groups in changes)
    layers = [OmegaConf.create(dict(layer)) for layer in (base, *(c for _, c in changes))]
    try:
        defaults = OmegaConf.to_container(layers[0], resolve=True)
        merged = OmegaConf.to_container(OmegaConf.merge(*layers), resolve=True)
    except OmegaConfBaseException as error:
        names = ", ".join(where for where, _ in changes) or "the configuration"
        raise UserError(f"{names}: {str(error).splitlines()[0]}") from error
    for where, groups in changes:
        for group, keys in groups.items():
            for key in keys if group not in OPEN_GROUPS else ():
                _check_type(f"{group}.{key}", merged[group][key], defaults[group][key], where)
    return merged


def parse_changes(assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the changes of a command line: `group.key=value`, the value in YAML.

    Raises:
        UserError: if one is not of this form.
    """
    for assignment in assignments:
        name, equals, _ = assignment.partition("=")
        group, dot, key = name.partition(".")
        if not (equals and dot and group.strip() and key.strip()):
            raise UserError(f"{assignment!r} is not of the form group.key=value")
        try:
            OmegaConf.from_dotlist([assignment])
        except (yaml.YAMLError, OmegaConfBaseException) as error:
            raise UserError(f"{assignment!r}: the value is not valid YAML") from error
    return OmegaConf.to_container(OmegaConf.from_dotlist(list(assignments)))


def dump(config: Mapping) -> str:
    """Return a configuration as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(config)))


def save(config: Mapping, path: str | Path) -> None:
    """Write a configuration to a YAML file, whole or not at all: all ranks of a run write it."""
    write_text(path, dump(config))


def check_same_run(
    folder: str | Path, config: Mapping, contents: Mapping[str, str] | None = None
) -> None:
    """Refuse to resume a run with settings that change what it computes.

    Args:
        folder: of the run. Without a checkpoint or ledger nothing was trained there.
        config: the resolved configuration to resume it with.
        contents: from settings that name a file to the SHA-256 of its content. Such a setting may
            change if the content is the same.

    Raises:
        UserError: naming the settings with their old and new values.
    """
    folder = Path(folder)
    path = folder / FILE_NAME
    trained = (folder / record.FILE_NAME).exists() or any(folder.glob("checkpoints/latest-*.ckpt"))
    if not (path.exists() and trained):
        return
    changeable = {f"{group}.{key}" for group, keys in CHANGEABLE.items() for key in keys}
    if config.get("scheduler", {}).get("name") == "cosine":
        changeable.remove("training.max_epochs")  # the learning rate depends on it
    before, contents = _contents_of(folder), contents or {}
    known = before.keys() & contents.keys()
    same = changeable | {key for key in known if before[key] == contents[key]}
    differing = differing_settings(load(path), config)
    found = [
        f"{key} was {old!r} and is now {new!r}"
        for key, (old, new) in differing.items()
        if key not in same
    ]
    changed = known - same - {*differing, "training.start_from"}  # a resumed run starts elsewhere
    found += [f"the content of {key} has changed" for key in sorted(changed)]
    if found:
        raise UserError(
            f"{folder}: holds a run of another configuration: {'; '.join(found)}; keep the former "
            "value, or choose another --tag for a new run"
        )


def _contents_of(folder: Path) -> dict[str, str]:
    """Return the hashes of files that the ledger of a run holds; none without a whole ledger."""
    try:
        return latest(record.read(folder), "contents")
    except UserError:
        return {}


def _without_former_values(groups: Mapping[str, Mapping]) -> Mapping[str, Mapping]:
    """Return changes in which values of earlier versions have their present form."""
    training = groups.get("training", {})
    mode = training.get("activation_checkpointing")
    if not isinstance(mode, bool):
        return groups
    mode = "block" if mode else "none"
    return {**groups, "training": {**training, "activation_checkpointing": mode}}


def _check_known(name: str, known: Mapping, kind: str, full_name: str, where: str) -> None:
    if name not in known:
        raise UserError(f"{where}: unknown {kind} {full_name!r}; valid: {', '.join(known)}")


def _check_type(name: str, value: Any, default: Any, where: str) -> None:
    """Refuse a value that is not of the default's type."""
    if value is None or default is None or type(value) is type(default):
        return
    if isinstance(default, float) and type(value) is int:
        return
    raise UserError(
        f"{where}: {name} must be of type {type(default).__name__}, got {value!r} "
        f"({type(value).__name__})"
    )


def _reason(error: yaml.YAMLError) -> str:
    """Return what is wrong with a file, and on which line."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return problem if mark is None else f"{problem} on line {mark.line + 1}"
