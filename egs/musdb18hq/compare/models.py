"""The models of this recipe, peers and rows of the BSRNN recipe, and their configurations."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
RECIPE = HERE.parent / "BSRNN"
sys.path.insert(0, str(RECIPE))

import data_groups  # noqa: E402
import recipe  # noqa: E402
from asteroid_bsrnn import UserError, peers  # noqa: E402
from asteroid_bsrnn.engine import config as configuration  # noqa: E402


def names() -> list[str]:
    """Return the names of all models: the peers, then the rows."""
    return [*peers.names(), *recipe.rows()]


def resolve(model: str, source: str | None, changes: dict) -> dict:
    """Return the whole configuration of a model, with a user's changes.

    All models share the configuration of the BSRNN recipe with `conf/common.yml`. A peer's own
    file adds its settings.

    Raises:
        UserError: for an unknown model or key, or a source that does not go with the model.
    """
    common = configuration.load(HERE / "conf" / "common.yml")
    if model not in peers.names():
        if model not in recipe.rows() and not model.endswith(".yml"):
            valid = ", ".join(names())
            raise UserError(f"unknown model {model!r}; valid: {valid}, or a row's path in .yml")
        return recipe.resolve(model, source, _combined(common, changes))
    if source is not None:
        raise UserError(f"{model} separates all sources; leave --source out")
    base = configuration.load(RECIPE / "local" / "conf.yml")
    base["model"] = {"peer": model}
    own = HERE / "conf" / f"{model}.yml"
    config = configuration.merge(
        base, ("conf/common.yml", common), (str(own), configuration.load(own)), ("--set", changes)
    )
    recipe.check_amounts(config)
    if "sources" in config["model"]:
        data_groups.check_sources(config["model"], data_groups.layout_of(config))
    return {"run": {"row": model, "source": None}, **data_groups.complete(config, base)}


def configure(options) -> dict:
    """Return the configuration that the command line asks for, with its budget."""
    changes = recipe.changes_of(options)
    if options.layout is not None:
        changes = _combined(of_other_stems(options.layout, options.source), changes)
    config = resolve(options.model, options.source, changes)
    return {**config, "budget": {"minutes": options.max_minutes, "steps": options.max_steps}}


def of_other_stems(path: str, source: str | None) -> dict:
    """Return the changes of the configuration that a row of other stems makes for every model.

    Args:
        path: the row's file, with the group `layout`.
        source: the source of a row of one source, to which `model.sources` does not apply.

    Raises:
        UserError: the file has no layout.
    """
    groups = configuration.load(Path(path))
    if data_groups.LAYOUT not in groups:
        raise UserError(f"--layout: {path}: has no group {data_groups.LAYOUT!r}")
    sources = groups.get("model", {}).get("sources")
    given = {} if source or sources is None else {"model": {"sources": sources}}
    return {data_groups.LAYOUT: groups[data_groups.LAYOUT], **given}


def build(config: dict):
    """Return the network with random weights."""
    arguments = dict(config["model"])
    if "peer" not in arguments:
        return recipe.build_model(config)
    name = arguments.pop("peer")
    try:
        sources = arguments.pop("sources", data_groups.layout_of(config).stems)
        return peers.build(name, list(sources), **arguments)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"model: {error}") from error


def _combined(first: dict, second: dict) -> dict:
    """Return both groups of changes; the second ones take precedence."""
    groups = {**first, **second}
    return {group: {**first.get(group, {}), **second.get(group, {})} for group in groups}
