"""Weights of one network as the start of another's training."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..errors import UserError
from ..models import BandSplitModel, PerSourceSeparator, SourceModel

_MASKS = "masker.mask_estimator."
_SPLIT = "masker.band_split."
_BLOCKS = "masker.separator."
# Of the blocks, only attention has parameters for each band.
_PER_BAND = ".attention."

State = Mapping[str, torch.Tensor]


def start_from(network: BandSplitModel, published: SourceModel) -> str:
    """Load weights into a network, all or as far as they fit, and return what was kept as a phrase.

    The weights are those of `published`. Weights of the same sources must fit as a whole. If the
    last source of the network is the residual, the mask of that source is left out. Of weights of
    other sources, the dual-path blocks must fit and are kept; so are the band split and the masks
    of sources of the same name where the bands are the same. Everything else keeps the random
    weights that it has. Of several networks, that of the same source is taken, or else one with
    the same bands.

    Raises:
        UserError: the weights belong to another kind of network.
    """
    published = _one_network(network, published)
    if published.sources == network.sources:
        _load_all(network, published)
        return "all weights are kept"
    if set(published.sources) == set(network.sources):
        raise UserError(
            f"estimates {', '.join(published.sources)}, the configuration's network"
            f" {', '.join(network.sources)}"
        )
    if len(published.sources) == len(network.sources) == 1 and _same_bands(network, published):
        _load_all(network, published)
        return f"all weights of {published.sources[0]} are kept"
    return _load_what_fits(network, published)


def _one_network(network: BandSplitModel, published: SourceModel) -> BandSplitModel:
    """Return the network to start from."""
    found = list(published.networks) if isinstance(published, PerSourceSeparator) else [published]
    found = [one for one in found if isinstance(one, BandSplitModel)]
    if not found:
        raise _another_network()
    same_source = [one for one in found if one.sources == network.sources]
    same_bands = [one for one in found if _same_bands(network, one)]
    return (same_source or same_bands or found)[0]


def _load_all(network: BandSplitModel, published: BandSplitModel) -> None:
    weights = dict(published.state_dict())
    if network.last_source_as_residual:
        masks = slice(len(network.sources) - 1)
        for name in weights:
            if name.startswith(_MASKS):
                weights[name] = weights[name][:, masks]
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise _another_network() from None


def _load_what_fits(network: BandSplitModel, published: BandSplitModel) -> str:
    own, given = network.state_dict(), published.state_dict()
    same_bands = _same_bands(network, published)
    kept = {
        name: given[name]
        for name, value in own.items()
        if not name.startswith(_MASKS)
        and (same_bands or not name.startswith(_SPLIT))
        and name in given
        and given[name].shape == value.shape
    }
    for name in own:
        per_band = not same_bands and (name.startswith(_SPLIT) or _PER_BAND in name)
        if name.startswith((_SPLIT, _BLOCKS)) and name not in kept and not per_band:
            raise _another_network()
    # A block that only the weights have would be left out.
    if any(name.startswith(_BLOCKS) and name not in own for name in given):
        raise _another_network()
    masks = [source for source in _masked(network) if same_bands and source in _masked(published)]
    for source in masks:
        here, there = _masked(network).index(source), _masked(published).index(source)
        for name in [name for name in own if name.startswith(_MASKS)]:
            if name not in given or given[name][:, there].shape != own[name][:, here].shape:
                raise _another_network()
            kept.setdefault(name, own[name].clone())[:, here] = given[name][:, there]
    network.load_state_dict({**own, **kept})
    return _what_was_kept(network, published, same_bands, masks)


def _what_was_kept(
    network: BandSplitModel, published: BandSplitModel, same_bands: bool, masks: list[str]
) -> str:
    blocks = "the dual-path blocks"
    kept = [f"the band split and {blocks}" if same_bands else blocks]
    kept += [f"the mask of {source}" for source in masks]
    new = [f"the mask of {source}" for source in _masked(network) if source not in masks]
    if not same_bands:
        new.insert(0, "what depends on the bands, which differ")
    text = f"of the weights of {', '.join(published.sources)}, {', '.join(kept)} are kept"
    return f"{text}; new: {', '.join(new)}" if new else text


def _masked(network: BandSplitModel) -> list[str]:
    """Return the sources that have a mask; the residual has none."""
    return list(network.sources[: len(network.sources) - network.last_source_as_residual])


def _same_bands(network: BandSplitModel, other: BandSplitModel) -> bool:
    return network.masker.mask_estimator.bands == other.masker.mask_estimator.bands


def _another_network() -> UserError:
    return UserError("weights of another network than the configuration's")
