"""The configuration's groups that describe other data: `layout`, and songs without stems."""

from __future__ import annotations

from pathlib import Path

from asteroid_bsrnn import UserError, presets
from asteroid_bsrnn.data import (
    Layout,
    RandomSegments,
    SemiSupervisedSegments,
    describe_selection,
    read_selection,
)

LAYOUT, SONGS = "layout", "unlabelled"


def layout_of(config: dict) -> Layout:
    """Return the description of the data's stems."""
    return Layout.from_settings(config.get(LAYOUT, {}))


def complete(config: dict, base: dict) -> dict:
    """Return a configuration with the groups that apply: a complete layout, songs without stems.

    Neither group is part of the configuration of MUSDB18's stems alone.

    Raises:
        UserError: for a layout that is not valid, or settings for songs without a selection.
    """
    described = layout_of(config)
    groups = {name: keys for name, keys in config.items() if name not in (LAYOUT, SONGS)}
    if config[SONGS]["selection"] is not None:
        groups[SONGS] = config[SONGS]
    elif config[SONGS] != base[SONGS]:
        raise UserError(f"{SONGS}.selection is missing; egs/musdb18hq/finetune/run.sh makes one")
    if described != Layout():
        groups[LAYOUT] = described.settings()
    return groups


def check_sources(arguments: dict, described: Layout) -> None:
    """Refuse sources of the network that the data do not have."""
    sources = arguments["sources"]
    sources = [sources] if isinstance(sources, str) else sources
    try:
        parts = [part for source in sources for part in described.parts(source)]
    except UserError as error:
        raise UserError(f"model.sources: {error}") from error
    if arguments.get("last_source_as_residual") and sorted(parts) != sorted(described.stems):
        raise UserError(
            "model.last_source_as_residual: the sources "
            f"{', '.join(sources)} must add up to the mixture of {', '.join(described.stems)}"
        )


def check_layout(config: dict, source: str | None, arguments: dict) -> None:
    """Refuse settings that do not go with data of other stems."""
    described = layout_of(config)
    if described == Layout():
        return
    rate = arguments.get("sample_rate", 44100)
    if described.sample_rate not in (None, rate):
        raise UserError(
            f"layout.sample_rate ({described.sample_rate}) must be model.sample_rate ({rate:g})"
        )
    if config["augmentation"]["silent_target"] and source in described.sums:
        raise UserError(
            f"augmentation.silent_target needs a stem as its target, not the sum {source};"
            " choose silent_source"
        )
    if config[SONGS]["selection"] is not None and (
        list(described.stems) != list(presets.SOURCES) or described.sums
    ):
        raise UserError(f"{SONGS}.selection needs the stems of MUSDB18; leave layout out")


def with_songs(config: dict, labelled: RandomSegments) -> RandomSegments | SemiSupervisedSegments:
    """Return the labelled examples, joined with those of the selection if there is one."""
    if SONGS not in config:
        return labelled
    settings = dict(config[SONGS])
    path, source = Path(settings.pop("selection")), config["run"]["source"]
    targets = [source] if source else labelled.sources
    selection = read_selection(path)
    return SemiSupervisedSegments(labelled, selection, path.parent, targets=targets, **settings)


def facts_of_songs(config: dict) -> dict | None:
    """Return the facts about songs without stems for the ledger; None if there are none."""
    if SONGS not in config:
        return None
    return describe_selection(read_selection(config[SONGS]["selection"]))
