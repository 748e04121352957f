"""Model files: written for safe reading, and read without executing anything in them.

A published file is a dict of plain types and tensors (`model_name`, `model_args`, `state_dict`,
`infos`), which `torch.load(weights_only=True)` and Asteroid's `from_pretrained` both accept.
Checkpoints of the recipes' trainings are read as well.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import presets
from ..audio.stems import choose_stems
from ..errors import UserError, one_line
from ..files import list_files, whole_file
from ..memory import one_thread
from ..models import BandSplitModel, PerSourceSeparator, SourceModel, build_network
from ..models.base import plain


def save_model(model: SourceModel, path: str | os.PathLike, infos: Mapping | None = None) -> Path:
    """Write a model to a published file, whole or not at all, and return its path.

    `infos` are plain facts to store beside the weights (data, licence, figures).

    Raises:
        UserError: the file cannot be written.
    """
    conf = model.serialize()
    conf["infos"] = {**conf["infos"], **plain(dict(infos or {}))}
    return save_dict(conf, path)


def save_dict(conf: Mapping, path: str | os.PathLike) -> Path:
    """Write a dict of plain types and tensors, whole or not at all.

    Raises:
        UserError: the file cannot be written, or `conf` contains something that is not safe to
            load.
    """
    path = Path(path)
    try:
        with whole_file(path.absolute()) as unfinished:
            # Given a path, torch would write its random name into the file.
            with open(unfinished, "wb") as file:
                torch.save(dict(conf), file)
            foreign = torch.serialization.get_unsafe_globals_in_checkpoint(os.fspath(unfinished))
            if foreign:
                raise TypeError(f"found {', '.join(sorted(foreign))}")
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise UserError(f"{path}: cannot be written: {reason}") from error
    except (AttributeError, TypeError, pickle.PickleError) as error:
        raise UserError(
            f"{path}: not written, since only plain types and tensors load safely again: "
            f"{one_line(error)}"
        ) from error
    return path


def load_model(
    path: str | os.PathLike,
    *,
    stems: str | Sequence[str] | None = None,
    mmap: bool = False,
    **overrides,
) -> SourceModel:
    """Return the model of a file, in evaluation mode.

    No tensor is computed by several threads, so a process may fork after loading.

    Args:
        path: a published file; a checkpoint of one of the recipes' trainings; or a folder of
            published files, whose networks become one separator.
        stems: as in `zoo.load`.
        mmap: whether the weights stay in the file until they are used. The file must not be
            overwritten meanwhile.
        **overrides: constructor arguments that replace the stored ones.

    Raises:
        UserError: the file is missing, damaged, not safe to read, not of one of this project's
            models, or estimates none of the stems.
    """
    confs = [load_conf(file, mmap=mmap) for file in files_of(path)]
    try:
        for conf in confs:
            conf["model_args"] = {**conf["model_args"], **overrides}
            _register_peers(conf)
        return _build(confs[0] if len(confs) == 1 else _side_by_side(confs), stems).eval()
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (ArithmeticError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{path}: the model cannot be made from it: {one_line(error)}") from error


def _register_peers(conf: Mapping) -> None:
    """Import the models of others, which registers them, where a file names one."""
    networks = [conf, *conf["model_args"].get("networks", [])]
    names = [network.get("model_name") for network in networks if isinstance(network, Mapping)]
    if any(str(name).endswith("Peer") for name in names):
        from .. import peers  # noqa: F401


def load_conf(path: str | os.PathLike, *, mmap: bool = False) -> dict[str, Any]:
    """Return the description of a model: the contents of a published file.

    The optimiser's state of a training's checkpoint is dropped. `mmap` is as in `load_model`.

    Raises:
        UserError: the file cannot be read, or is neither.
    """
    conf = load_dict(path, mmap=mmap)
    if "training_config" in conf:
        conf = _of_training(conf, path)
    missing = [key for key in ("model_name", "model_args", "state_dict") if key not in conf]
    if missing:
        hint = "; convert it first: asteroid-bsrnn convert" if "state_dict" in conf else ""
        raise UserError(f"{path}: not a published model, it has no {missing[0]!r}{hint}")
    if not isinstance(conf["state_dict"], Mapping):
        raise UserError(f"{path}: the model cannot be made from it: its state_dict is no mapping")
    return conf


def files_of(path: str | os.PathLike) -> list[Path]:
    """Return `[path]`, or the published files (*.pth) in a folder, in a fixed order.

    Raises:
        UserError: the folder contains none.
    """
    path = Path(path)
    if not path.is_dir():
        return [path]
    found = list_files(path, (".pth",))
    if not found:
        raise UserError(f"{path}: there is no published model (*.pth) in this folder")
    return sorted(found, key=in_order_of_sources)


def in_order_of_sources(file: Path) -> tuple[int, str]:
    """Return a key that sorts files named after sources in the order of MUSDB18's sources."""
    order = {source: index for index, source in enumerate(presets.SOURCES)}
    return order.get(file.stem, len(order)), file.name


def _of_training(loaded: Mapping, path: str | os.PathLike) -> dict:
    """Return the description of the network in a checkpoint of a training.

    Raises:
        UserError: the network cannot be built from the configuration.
    """
    from .. import peers

    config = loaded["training_config"]
    try:
        arguments = dict(config["model"])
        layout = config.get("layout")  # a run on MUSDB18's stems has none
        if "peer" in arguments:
            sources = arguments.pop("sources", layout["stems"] if layout else presets.SOURCES)
            network = peers.build(arguments.pop("peer"), list(sources), **arguments)
        else:
            preset, source = arguments.pop("preset"), config["run"]["source"]
            stems = presets.SOURCES
            if layout:
                # A network of one source may estimate a sum of stems.
                stems = [*layout["stems"], *(() if source is None else layout["sums"])]
            with torch.device("meta"):
                network = presets.build(preset, source, stems=stems, **arguments)
        state = {
            name.removeprefix("model."): value
            for name, value in loaded["state_dict"].items()
            if name.startswith("model.")
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: the model cannot be made from its training's configuration: {one_line(error)}"
        ) from error
    return {
        **network.describe(),
        "state_dict": state,
        "infos": {**loaded.get("infos", {}), "training_config": config},
    }


def _side_by_side(confs: Sequence[Mapping]) -> dict:
    """Return the description of one separator with the networks of all `confs`."""
    state = {
        f"networks.{index}.{key}": value
        for index, conf in enumerate(confs)
        for key, value in conf["state_dict"].items()
    }
    networks = [{key: conf[key] for key in ("model_name", "model_args")} for conf in confs]
    return {
        "model_name": PerSourceSeparator.__name__,
        "model_args": {"networks": networks},
        "state_dict": state,
    }


def _build(conf: Mapping, stems: str | Sequence[str] | None) -> SourceModel:
    """Return the model that `conf` describes, with the very tensors of `conf`."""
    # On the meta device no random weights are made only to be replaced.
    with torch.device("meta"):
        model = build_network(conf)
    wanted = set(choose_stems(model.sources, stems))
    if isinstance(model, PerSourceSeparator):
        used = [i for i, net in enumerate(model.networks) if wanted & set(net.sources)]
        if len(used) < len(model.networks):
            return _build(_selected(conf, used), None)
    if not all(isinstance(net, BandSplitModel) for net in getattr(model, "networks", [model])):
        # Other networks may compute constants in their constructors.
        with one_thread():
            model = build_network(conf)
    kinds = {key: value.dtype for key, value in model.state_dict().items()}
    state = {
        key: _as_type(value, kinds[key]) if key in kinds else value
        for key, value in conf["state_dict"].items()
    }
    _check_shapes(model, state)
    model.load_state_dict(state, assign=True)
    return model


def _check_shapes(model: SourceModel, state: Mapping[str, torch.Tensor]) -> None:
    """Raise a `ValueError` that names one weight if any have another shape than the model's."""
    own = model.state_dict()
    differing = [key for key in own if key in state and state[key].shape != own[key].shape]
    if not differing:
        return
    key = differing[0]
    words = (
        f"size mismatch: {key} has the shape {tuple(state[key].shape)}, the model needs "
        f"{tuple(own[key].shape)} ({len(differing)} weights differ)"
    )
    for network in getattr(model, "networks", [model]):
        if isinstance(network, BandSplitModel) and network.get_model_args()["bands"] is None:
            words += (
                f"; it has no band table (bands: null), and the one for {network.sources[0]} may "
                "have changed since it was trained: give it, as in zoo.load(path, bands='joint')"
            )
            break
    raise ValueError(words)


def _as_type(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor converted to another type, without torch's threads (see `one_thread`)."""
    if value.dtype == dtype or torch.bfloat16 in (value.dtype, dtype):
        return value.to(dtype)
    return torch.from_numpy(value.numpy().astype(torch.empty(0, dtype=dtype).numpy().dtype))


def _selected(conf: Mapping, used: Sequence[int]) -> dict:
    """Return `conf` of a `PerSourceSeparator` with the networks `used` only."""
    networks = list(conf["model_args"]["networks"])
    state = {}
    for new, old in enumerate(used):
        prefix = f"networks.{old}."
        for key, value in conf["state_dict"].items():
            if key.startswith(prefix):
                state[f"networks.{new}.{key.removeprefix(prefix)}"] = value
    arguments = {**conf["model_args"], "networks": [networks[old] for old in used]}
    return {**conf, "model_args": arguments, "state_dict": state}


def is_own(path: str | os.PathLike) -> bool:
    """Return whether a file is a model file of this project, published or of a training."""
    try:
        return not {"model_name", "training_config"}.isdisjoint(load_dict(path, mmap=True))
    except UserError:
        return False


def infos_of(files: Sequence[Path]) -> dict[str, Any]:
    """Return the facts stored in model files, to be stored with all their networks.

    For one file these are all of its facts, for several the licences of the training data.
    Checkpoints of other projects have none.
    """
    infos = [load_conf(file, mmap=True).get("infos", {}) for file in files if is_own(file)]
    if len(files) == 1:
        return infos[0] if infos else {}
    licences: list = []
    for facts in infos:
        licences += [item for item in facts.get("licenses", []) if item not in licences]
    return {"licenses": licences} if licences else {}


def load_lightning(path: str | os.PathLike) -> dict[str, Any]:
    """Return a Lightning checkpoint with foreign objects as plain data, executing none of them.

    Every class or function that the pickle names and that torch does not trust is replaced by an
    inert stand-in, which only stores its contents. OmegaConf containers become dicts and lists.
    Tensors may be mapped from the file, which must not be overwritten while they are used.

    Raises:
        UserError: the file is missing, damaged or contains itself.
    """
    _check_readable(path)
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(os.fspath(path))
    except Exception as error:  # as below
        raise UserError(f"{path}: not a checkpoint, or damaged: {one_line(error)}") from error
    with torch.serialization.safe_globals([_stand_in(name) for name in names]):
        # Two thirds of a checkpoint are the optimiser's state, which is not needed.
        loaded = load_dict(path, mmap=True)
    try:
        return _without_stand_ins(loaded)
    except RecursionError as error:
        raise UserError(f"{path}: not a checkpoint: it is nested without end") from error


def load_dict(path: str | os.PathLike, *, mmap: bool = False) -> dict[str, Any]:
    """Return the contents of a file that contains nothing but plain types and tensors.

    `mmap` is as in `load_model`; files of an old format are read at once all the same.

    Raises:
        UserError: the file is missing, damaged, or could execute code.
    """
    _check_readable(path)
    mmap = mmap and zipfile.is_zipfile(path)
    try:
        loaded = torch.load(os.fspath(path), map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error):
            raise UserError(f"{path}: not a file of weights, or damaged") from error
        raise UserError(
            f"{path}: holds objects other than plain types and tensors and is not loaded, since "
            "that could execute code; a checkpoint of the reference can be converted: "
            "asteroid-bsrnn convert"
        ) from error
    except Exception as error:  # torch raises many kinds of errors for damaged files
        raise UserError(f"{path}: not a file of weights, or damaged") from error
    if not isinstance(loaded, Mapping):
        raise UserError(f"{path}: not a file of weights: it holds a {type(loaded).__name__}")
    return dict(loaded)


def _check_readable(path: str | os.PathLike) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


class _StandIn:
    """A replacement of an object of another class: it stores the contents and does nothing."""

    def __init__(self, *args, **kwargs):
        self.arguments = args

    def __setstate__(self, state):
        self.contents = state


def _stand_in(name: str) -> type:
    """Return a stand-in that the safe unpickler accepts for the class or function `name`."""
    module, _, qualified = name.rpartition(".")
    return type(qualified, (_StandIn,), {"__module__": module})


def _without_stand_ins(value: Any) -> Any:
    """Return `value` with OmegaConf's containers and nodes replaced by their contents."""
    if isinstance(value, _StandIn):
        contents = getattr(value, "contents", None)
        if not isinstance(contents, Mapping):
            return None
        inner = contents.get("_content", contents.get("_val"))
        return _without_stand_ins(inner)
    if isinstance(value, Mapping):
        return {key: _without_stand_ins(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_stand_ins(item) for item in value]
    return value
