"""The configuration's group `layout`: the stems of the data, and how they are read."""

from __future__ import annotations

import unlabelled
from asteroid_bsrnn import UserError, presets
from asteroid_bsrnn.data import Layout

GROUP = "layout"


def of(config: dict) -> Layout:
    """Return the description of the data."""
    return Layout.from_settings(config.get("layout", {}))


def complete(config: dict) -> dict:
    """Return a configuration with a complete layout, or without the group on MUSDB18's stems.

    Raises:
        UserError: for a layout that is not valid.
    """
    described = of(config)
    settings = {key: value for key, value in config.items() if key != GROUP}
    if described == Layout():
        return settings
    return {**settings, GROUP: described.settings()}


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


def check(config: dict, source: str | None, arguments: dict) -> None:
    """Refuse settings that do not go with data of other stems."""
    described = of(config)
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
    if config[unlabelled.GROUP]["selection"] is not None and (
        list(described.stems) != list(presets.SOURCES) or described.sums
    ):
        raise UserError("unlabelled.selection needs the stems of MUSDB18; leave layout out")
