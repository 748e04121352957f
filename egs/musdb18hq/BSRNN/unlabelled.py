"""The configuration's group `unlabelled`: songs without stems that join the labelled data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asteroid_bsrnn import UserError
from asteroid_bsrnn.data import (
    RandomSegments,
    SemiSupervisedSegments,
    describe_selection,
    read_selection,
)

GROUP = "unlabelled"


def without_unused(config: dict, base: dict) -> dict:
    """Return the configuration without the group if there are no songs.

    Raises:
        UserError: other keys of the group are set, but no selection.
    """
    if config[GROUP]["selection"] is not None:
        return config
    if config[GROUP] != base[GROUP]:
        raise UserError(f"{GROUP}.selection is missing; egs/musdb18hq/finetune/run.sh makes one")
    return {name: keys for name, keys in config.items() if name != GROUP}


def join(
    config: dict, labelled: RandomSegments, stems: Sequence[str]
) -> RandomSegments | SemiSupervisedSegments:
    """Return the labelled examples, joined with those of the selection if there is one."""
    if GROUP not in config:
        return labelled
    settings = dict(config[GROUP])
    path = Path(settings.pop("selection"))
    source = config["run"]["source"]
    targets = [source] if source else stems
    return SemiSupervisedSegments(
        labelled, read_selection(path), path.parent, targets=targets, **settings
    )


def facts(config: dict) -> dict | None:
    """Return the facts about songs without stems for the ledger; None if there are none."""
    if GROUP not in config:
        return None
    return describe_selection(read_selection(config[GROUP]["selection"]))
