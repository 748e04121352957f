"""Configurations of runs: a base file, a row that says what differs, and a user's own changes.

A configuration has two levels: groups (data, model, training, ...) and keys. The base file names
every key that there is and, by its value, the type; a row and the user's changes may set those and
nothing else, but for the groups whose keys are another's arguments (`OPEN_GROUPS`).
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError

# The model refuses unknown arguments itself, with the valid ones listed.
OPEN_GROUPS = ("model",)

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


def load(path: str | Path) -> dict[str, dict[str, Any]]:
    """The groups of a YAML file.

    Raises:
        UserError: if the file is missing, not YAML, not of groups and keys, holds a number that
            YAML takes for text (such as 1e-3), or a key twice.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses keys that come twice, of which YAML silently takes the last."""

    def mapping(loader, node):
        keys = [loader.construct_object(key) for key, _ in node.value]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise UserError(f"{path}: {twice[0]!r} comes twice; keep one of the two")
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        groups = yaml.load(Path(path).read_text(encoding="utf-8"), Loader) or {}
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(groups, dict) or not all(isinstance(v, dict) for v in groups.values()):
        raise UserError(
            f"{path}: must hold groups of keys, such as 'optim:' with 'lr: 0.001' in it"
        )
    _refuse_numbers_as_text(groups, str(path))
    return groups


def merge(
    base: Mapping[str, Mapping], changes: Mapping[str, Mapping], where: str
) -> dict[str, dict[str, Any]]:
    """`base` with some of its values changed.

    Args:
        base: every group and key that there is.
        changes: groups and keys to change.
        where: what the changes are called in an error.

    Raises:
        UserError: for an unknown group or key, or a value of another type.
    """
    merged = copy.deepcopy({group: dict(keys) for group, keys in base.items()})
    for group, keys in changes.items():
        if group not in merged:
            raise UserError(f"{where}: unknown group {group!r}; valid: {', '.join(merged)}")
        for key, value in keys.items():
            if group not in OPEN_GROUPS:
                _check(f"{group}.{key}", key, value, merged[group], where)
            merged[group][key] = value
    return merged


def parse_changes(assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Changes from a command line: `group.key=value`, the value as YAML.

    Raises:
        UserError: if one is not of this form.
    """
    import yaml

    changes: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        group, dot, key = name.strip().partition(".")
        if not (equals and dot and group and key):
            raise UserError(f"{assignment!r} is not of the form group.key=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f"{assignment!r}: the value is not valid YAML") from error
        # On a command line 1e-3 is meant as the number it looks like.
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value)
        changes.setdefault(group, {})[key] = value
    return changes


def dump(config: Mapping) -> str:
    """A configuration as YAML."""
    import yaml

    return yaml.safe_dump(dict(config), sort_keys=False)


def save(config: Mapping, path: str | Path) -> None:
    """Write a configuration to a YAML file, as a whole: all ranks of a run do so, and read it."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(dump(config), encoding="utf-8")
    os.replace(temporary, path)


def _check(name: str, key: str, value: Any, known: Mapping, where: str) -> None:
    """Refuse an unknown key, and a value that is not of the known one's type."""
    if key not in known:
        raise UserError(f"{where}: unknown key {name!r}; valid: {', '.join(known)}")
    default = known[key]
    if value is None or default is None or type(value) is type(default):
        return
    if isinstance(default, float) and type(value) is int:
        return
    raise UserError(
        f"{where}: {name} must be of type {type(default).__name__}, got {value!r} "
        f"({type(value).__name__})"
    )


def _refuse_numbers_as_text(value: Any, where: str) -> None:
    """YAML reads 1e-3 as text; so would the optimiser, hours later."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_numbers_as_text(item, f"{where}: {key}" if isinstance(item, str) else where)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _refuse_numbers_as_text(item, where)
    elif isinstance(value, str) and _NUMBER.fullmatch(value):
        raise UserError(f"{where} is {value!r}, which YAML takes for text; write {float(value)!r}")
