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

from ..errors import UserError
from ..files import write_text

# The model itself refuses unknown arguments and lists the valid ones.
OPEN_GROUPS = ("model",)


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
        raise UserError(f"{path}: can't be read: {error.strerror or error}") from error
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
