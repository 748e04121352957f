"""Conversion of networks of the replication study's code (arXiv 2603.09187).

That code has one module for each band; here, bands of one width are stacked. Parameters are
renamed, stacked and permuted; no value changes.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch

from ..errors import UserError, one_line
from ..memory import one_thread, release_pages
from ..models import BSCNN, BSRNN, BandSplitModel
from . import checkpoint

State = Mapping[str, torch.Tensor]

# Names that are converted elsewhere, or of which one value only is supported.
_IGNORED = {"nb_channels", "joint_bandsplit", "subtract_last_trgt", "mask_ctxt"}
_COMMON = {
    "sample_rate": "sample_rate",
    "n_fft": "n_filters",
    "n_hop": "stride",
    "feature_dim": "feature_dim",
    "num_repeat": "n_repeats",
    "fac_mask": "mask_expansion",
    "n_att_head": "attention_heads",
    "attn_enc_dim": "attention_dim",
}
_BSRNN = {
    "fac_sep": "rnn_expansion",
    "time_layer": "time_layer",
    "band_layer": "band_layer",
    "bidirectional": "bidirectional",
    "n_heads": "feature_groups",
    "group_num": "norm_groups",
    "stereo": "stereo",
    "fac_tac": "tac_expansion",
    "act_tac": "tac_activation",
}
# Not parameters: the STFT's windows, and repetitions of the slope that TAC's activations share.
_REPEATED = re.compile(r"^i?stft\.transf\.window$|\.tac_module\.(average|concat)\.1\.weight$")
_DILATED = {"n_dil_conv": "dilations", "ks": "kernel_size", "hs_fac": "expansion"}


@one_thread()
def build(
    state_dict: State, config: Mapping, sources: Sequence[str], *, mapped: bool = False
) -> BandSplitModel:
    """Return this project's network with copies of the reference's weights, in evaluation mode.

    Args:
        state_dict: parameters under the reference's names.
        config: the reference's constructor arguments by name, such as `num_repeat`; a mapping
            in `time_layer` or `band_layer` means BSCNN.
        sources: names of the estimated sources, in order (the reference's targets).
        mapped: whether the parameters are mapped from a file. Their memory is then released as
            soon as they are translated.

    Raises:
        UserError: the configuration has an unknown name, or the weights do not fit it.
    """
    model_class, arguments = arguments_of(config, sources)
    try:
        with torch.device("meta"):
            network = model_class(**arguments)
    except ValueError as error:
        raise UserError(f"the reference's configuration is not served here: {error}") from error
    seen = _Seen(state_dict)
    own = {}
    try:
        for name, value in _translated(seen, network):
            value = value.detach().float().contiguous()
            own[name] = value.clone() if _lies_in(value, seen.last.values()) else value
            for used in seen.last.values() if mapped else ():
                release_pages(used)
            seen.last.clear()
        network.load_state_dict(own, assign=True)
    except (KeyError, RuntimeError) as error:
        raise UserError(f"the weights do not fit their configuration: {one_line(error)}") from error
    return network.eval()


def load(path: str | os.PathLike) -> BandSplitModel:
    """Return the network of a checkpoint of the reference's code, with copies of its weights.

    The checkpoint is Lightning's, or a dict of `state_dict`, `config` and `targets`, which become
    the sources of the network.

    Raises:
        UserError: the file cannot be read safely or converted.
    """
    loaded = checkpoint.load_lightning(path)
    state = loaded.get("state_dict")
    config = loaded.get("config", loaded.get("hyper_parameters"))
    if not isinstance(state, Mapping) or not isinstance(config, Mapping):
        raise UserError(
            f"{path}: not a checkpoint of the reference, it has no state_dict with a configuration"
        )
    sources = loaded.get("targets", config.get("targets"))
    if not sources:
        raise UserError(f"{path}: the checkpoint does not name its targets")
    # Lightning stores the arguments of the training beside those of the network.
    training = {"targets", "eps", *(name for name in config if name.startswith("cfg_"))}
    config = {name: value for name, value in config.items() if name not in training}
    sources = [sources] if isinstance(sources, str) else sources
    try:
        return build(state, config, sources, mapped=zipfile.is_zipfile(path))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def translate(state: State, network: BandSplitModel) -> dict[str, torch.Tensor]:
    """Return the reference's parameters as the state dict of a network of the same configuration.

    The result is differentiable with respect to `state`.

    Raises:
        KeyError: a parameter is missing.
        UserError: a parameter is left over.
    """
    return dict(_translated(_Seen(state), network))


def _translated(seen: _Seen, network: BandSplitModel) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the items of what `translate` returns, one by one."""
    translators = {
        "band_split": _band_split,
        "separator": _separator,
        "mask_estimator": _mask_estimator,
    }
    for name in network.state_dict():
        part, _, rest = name.removeprefix("masker.").partition(".")
        yield name, translators[part](seen, rest, network)
    left = [name for name in seen if name not in seen.names and not _REPEATED.search(name)]
    if left:
        raise UserError(
            f"the weights do not fit their configuration: {left[0]} and {len(left) - 1} more "
            "parameters have no place in it"
        )


def _lies_in(value: torch.Tensor, tensors: Iterable[torch.Tensor]) -> bool:
    """Return whether `value` shares memory with one of the tensors."""
    starts = ((tensor.data_ptr(), tensor.nbytes) for tensor in tensors)
    return any(start <= value.data_ptr() < start + length for start, length in starts)


class _Seen(Mapping):
    """A state dict that records which of its parameters have been read.

    Attributes:
        names: names of all parameters read.
        last: parameters read since it was last emptied.
    """

    def __init__(self, state: State):
        self.state, self.names = state, set()
        self.last: dict[str, torch.Tensor] = {}

    def __getitem__(self, name: str) -> torch.Tensor:
        self.names.add(name)
        self.last[name] = self.state[name]
        return self.state[name]

    def __iter__(self):
        return iter(self.state)

    def __len__(self) -> int:
        return len(self.state)


def arguments_of(config: Mapping, sources: Sequence[str]) -> tuple[type[BandSplitModel], dict]:
    """Return model class and constructor arguments for the reference's `config`.

    Raises:
        UserError: a name or value has no counterpart.
    """
    dilated = [isinstance(config.get(name), Mapping) for name in ("time_layer", "band_layer")]
    names = _COMMON if any(dilated) else _COMMON | _BSRNN
    layers = {"time_layer", "band_layer"} if any(dilated) else set()
    unknown = sorted(set(config) - set(names) - _IGNORED - layers)
    if unknown or config.get("mask_ctxt", 0):
        what = unknown[0] if unknown else "mask_ctxt"
        raise UserError(
            f"the reference's configuration has {what!r}={config[what]!r}, which has no "
            "counterpart here; only released networks can be converted"
        )
    arguments = {names[name]: value for name, value in config.items() if name in names}
    arguments["sources"] = list(sources)
    arguments["bands"] = "joint" if config.get("joint_bandsplit") or len(sources) > 1 else None
    arguments["last_source_as_residual"] = bool(config.get("subtract_last_trgt"))
    if not arguments.get("attention_heads"):
        arguments.pop("attention_dim", None)
    for axis in ("time", "band") if layers else ():
        values = config.get(f"{axis}_layer") or {"n_dil_conv": 0}
        arguments |= {f"{axis}_{_DILATED[name]}": value for name, value in values.items()}
    if arguments.get("stereo") == "naive":
        arguments["in_channels"] = config.get("nb_channels", 2)
    return (BSCNN if layers else BSRNN), arguments


def _band_split(state: State, name: str, network: BandSplitModel) -> torch.Tensor:
    """Stack the band-split parameter `name` over the bands of its run."""
    split = network.masker.band_split
    index, _, rest = name.removeprefix("runs.").partition(".")
    run = split.runs[int(index)].run
    stage, kind = {
        "weight": ("0", "weight"),
        "bias": ("0", "bias"),
        "linear.weight": ("1", "weight"),
        "linear.bias": ("1", "bias"),
    }[rest]
    bands = range(run.first_band, run.first_band + run.n_bands)
    stacked = torch.stack([state[f"BN.{band}.{stage}.{kind}"] for band in bands])
    if rest == "linear.weight":
        return stacked.squeeze(-1).transpose(1, 2)
    return stacked.unflatten(1, (-1, run.width)) if stage == "0" else stacked


def _mask_estimator(state: State, name: str, network: BandSplitModel) -> torch.Tensor:
    """Stack the mask-estimator parameter `name` over bands and sources."""
    estimator = network.masker.mask_estimator
    n_bands, n_sources, _ = estimator.weight.shape
    if name.startswith("runs."):
        index, _, kind = name.removeprefix("runs.").partition(".")
        run = estimator.bands[int(index)]
        bands, stage = range(n_bands)[run.bands], "5"
    else:
        layer, _, kind = name.rpartition(".")
        bands, stage = range(n_bands), {"": "0", "input": "1", "hidden": "3"}[layer]
    single = "masker.mask" if isinstance(network, BSCNN) else None

    def parameter(band: int, source: int) -> torch.Tensor:
        prefix = single or f"maskers.{source}.mask"
        value = state[f"{prefix}.{band}.{stage}.{kind}"]
        return value.squeeze(-1).T if value.ndim == 3 else value

    # Stacked in one step, since these are the largest parameters.
    stacked = torch.stack(
        [parameter(band, source) for band in bands for source in range(n_sources)]
    ).unflatten(0, (-1, n_sources))
    if stage != "5":
        return stacked
    # Under naive stereo the reference gates each channel by itself: (channel, half, part, bin).
    n_channels = estimator.n_planes // 2
    halves = stacked.unflatten(-1, (n_channels, 2, -1)).transpose(-3, -2)
    return halves.flatten(-3)


def _separator(state: State, name: str, network: BandSplitModel) -> torch.Tensor:
    """Return the separator's parameter `name`, made of one or a few of the reference's."""
    index, _, rest = name.removeprefix("blocks.").partition(".")
    part, _, rest = rest.partition(".")
    prefix = f"separator.{index}"
    if part == "attention":
        return _attention(state, f"{prefix}.attn_block", rest, network)
    if part == "tac":
        rest = rest.replace("activation.weight", "transform.1.weight")
        for stage, other in (
            ("transform", "transform"),
            ("average", "average"),
            ("concatenate", "concat"),
        ):
            for kind in ("weight", "bias"):
                rest = rest.replace(f"{stage}.{kind}", f"{other}.0.{kind}")
        return state[f"{prefix}.tac_module.{rest}"]
    prefix = f"{prefix}.{part.replace('layer', 'net')}"
    if isinstance(network, BSCNN):
        for own, other in (
            ("input", "in_layer"),
            ("output", "out_layer"),
            ("dilated", "dil_layers"),
            ("fusing", "concat_layers"),
            ("norm", "0"),
            ("conv", "1"),
        ):
            rest = rest.replace(own, other)
        return state[f"{prefix}.{rest}"]
    for own, other in (("rnn.", "main_layer."), ("conv.", "main_layer.0."), ("linear.", "proj.")):
        rest = rest.replace(own, other)
    return state[f"{prefix}.{rest}"]


def _attention(state: State, prefix: str, name: str, network: BandSplitModel) -> torch.Tensor:
    """Return an attention parameter, stacked over the heads."""
    part, _, rest = name.partition(".")
    if part == "output":
        heads = [f"{prefix}.attn_concat_proj"]
    else:
        letter = {"query": "Q", "key": "K", "value": "V"}[part]
        n_heads = network.model_args["attention_heads"]
        heads = [f"{prefix}.attn_conv_{letter}_{head}" for head in range(n_heads)]
    if rest in ("linear.weight", "linear.bias"):
        values = [state[f"{head}.0.{rest.removeprefix('linear.')}"] for head in heads]
        return torch.cat([value.flatten(1) if value.ndim > 1 else value for value in values])
    if rest == "slope":
        return torch.cat([state[f"{head}.1.weight"] for head in heads])
    kind = {"weight": "gamma", "bias": "beta"}[rest]
    return torch.stack([state[f"{head}.2.{kind}"][0, :, 0].T for head in heads], dim=1)
