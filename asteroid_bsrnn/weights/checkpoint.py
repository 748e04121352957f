"""Files of weights: read without executing anything in them, written for safe reading.

A published model is a dict of plain types and tensors (`model_name`, `model_args`, `state_dict`,
`infos`), which `torch.load(weights_only=True)` and Asteroid's `from_pretrained` both take.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..audio.stems import choose_stems
from ..errors import UserError
from ..models import BandSplitModel, PerSourceSeparator, SourceModel, build_network
from ..models.arguments import plain


def save_model(model: SourceModel, path: str | os.PathLike, infos: Mapping | None = None) -> Path:
    """Write a model as a published file.

    Args:
        model: the model.
        path: of the file, which is replaced as a whole or not at all.
        infos: plain facts to store beside the weights (data, licence, figures).

    Returns:
        The path.

    Raises:
        UserError: if the file can't be written.
    """
    conf = model.serialize()
    conf["infos"] = {**conf["infos"], **plain(dict(infos or {}))}
    return save_dict(conf, path)


def save_dict(conf: Mapping, path: str | os.PathLike) -> Path:
    """Write a dict of plain types and tensors, as a whole or not at all.

    Raises:
        UserError: if the file can't be written, or holds what could not be loaded again.
    """
    path = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UserError(f"{path}: can't be written: {error.strerror}") from error
    try:
        # Not given a path: torch would write the random name into the file.
        with os.fdopen(handle, "wb") as file:
            torch.save(dict(conf), file)
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(temporary)
        if foreign:
            raise TypeError(f"found {', '.join(sorted(foreign))}")
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or _one_line(error)
        raise UserError(f"{path}: can't be written: {reason}") from error
    except (AttributeError, TypeError, pickle.PickleError) as error:
        raise UserError(
            f"{path}: not written, since only plain types and tensors load safely again: "
            f"{_one_line(error)}"
        ) from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def load_model(
    path: str | os.PathLike,
    *,
    stems: str | Sequence[str] | None = None,
    mmap: bool = False,
    **overrides,
) -> SourceModel:
    """The model of a published file, in evaluation mode.

    Args:
        path: of the file; or of a folder of them, whose networks become one separator.
        stems: sources that are wanted; of a separator with a network for each source only their
            networks are built. None means all.
        mmap: whether the weights stay in the file until they are used, which must not be
            overwritten meanwhile.
        **overrides: constructor arguments that replace the stored ones.

    Raises:
        UserError: if the file is missing, damaged, not safe to read, not of one of this project's
            models, or estimates none of the stems.
    """
    confs = []
    for file in files_of(path):
        conf = _load(file, mmap=mmap)
        missing = [key for key in ("model_name", "model_args", "state_dict") if key not in conf]
        if missing:
            hint = "; convert it first: asteroid-bsrnn convert" if "state_dict" in conf else ""
            raise UserError(f"{file}: not a published model, it has no {missing[0]!r}{hint}")
        if not isinstance(conf["state_dict"], Mapping):
            raise UserError(
                f"{file}: the model can't be made from it: its state_dict is no mapping"
            )
        confs.append(conf)
    try:
        for conf in confs:
            conf["model_args"] = {**conf["model_args"], **overrides}
            _register_peers(conf)
        return _build(confs[0] if len(confs) == 1 else _side_by_side(confs), stems).eval()
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (ArithmeticError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{path}: the model can't be made from it: {_one_line(error)}") from error


def _register_peers(conf: Mapping) -> None:
    """Import the models of others, which registers them, where a file names one."""
    networks = [conf, *conf["model_args"].get("networks", [])]
    names = [network.get("model_name") for network in networks if isinstance(network, Mapping)]
    if any(str(name).endswith("Peer") for name in names):
        from .. import peers  # noqa: F401


def files_of(path: str | os.PathLike) -> list[Path]:
    """`path` itself, or the published files (*.pth) in the folder that it is, in a fixed order.

    Raises:
        UserError: if the folder holds none.
    """
    path = Path(path)
    if not path.is_dir():
        return [path]
    found = [file for file in path.glob("*.pth") if not file.name.startswith(".")]
    if not found:
        raise UserError(f"{path}: there is no published model (*.pth) in this folder")
    return sorted(found, key=in_order_of_sources)


def in_order_of_sources(file: Path) -> tuple[int, str]:
    """Key that sorts files named after sources in the order of MUSDB18's."""
    order = {"vocals": 0, "bass": 1, "drums": 2, "other": 3}
    return order.get(file.stem, len(order)), file.name


def _side_by_side(confs: Sequence[Mapping]) -> dict:
    """The description of one separator with the networks of all `confs`."""
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
    """The model that `conf` describes, with its own weights and without copies of them."""
    # On no device: random weights would be made only to be replaced.
    with torch.device("meta"):
        model = build_network(conf)
    wanted = set(choose_stems(model.sources, stems))
    if isinstance(model, PerSourceSeparator):
        used = [i for i, net in enumerate(model.networks) if wanted & set(net.sources)]
        if len(used) < len(model.networks):
            return _build(_selected(conf, used), None)
    if not all(isinstance(net, BandSplitModel) for net in getattr(model, "networks", [model])):
        # Other networks may compute constants in their constructors.
        model = build_network(conf)
        model.load_state_dict(conf["state_dict"])
        return model
    kinds = {key: value.dtype for key, value in model.state_dict().items()}
    state = {
        key: value.to(kinds[key]) if key in kinds else value
        for key, value in conf["state_dict"].items()
    }
    model.load_state_dict(state, assign=True)
    return model


def _selected(conf: Mapping, used: Sequence[int]) -> dict:
    """`conf` of a `PerSourceSeparator` with only those of its networks."""
    networks = list(conf["model_args"]["networks"])
    state = {}
    for new, old in enumerate(used):
        prefix = f"networks.{old}."
        for key, value in conf["state_dict"].items():
            if key.startswith(prefix):
                state[f"networks.{new}.{key.removeprefix(prefix)}"] = value
    arguments = {**conf["model_args"], "networks": [networks[old] for old in used]}
    return {**conf, "model_args": arguments, "state_dict": state}


def load_dict(path: str | os.PathLike) -> dict[str, Any]:
    """What `torch.save` wrote, if it holds nothing but plain types and tensors.

    Raises:
        UserError: if the file is missing, damaged, or would have to execute code.
    """
    return _load(path)


def load_lightning(path: str | os.PathLike) -> dict[str, Any]:
    """A Lightning checkpoint, foreign objects in it as plain data and none of them executed.

    Every class or function that the pickle names and that torch does not trust is replaced by an
    inert stand-in, which only remembers its contents.

    Returns:
        The checkpoint; OmegaConf containers as dicts and lists. Tensors may be mapped from the
        file, which must not be overwritten as long as they are used.

    Raises:
        UserError: if the file is missing, damaged or contains itself.
    """
    _check_readable(path)
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(os.fspath(path))
    except Exception as error:  # as below
        raise UserError(f"{path}: not a checkpoint, or damaged: {_one_line(error)}") from error
    with torch.serialization.safe_globals([_stand_in(name) for name in names]):
        # Two thirds of a checkpoint are the optimiser's, which nobody reads.
        loaded = _load(path, mmap=zipfile.is_zipfile(path))
    try:
        return _without_stand_ins(loaded)
    except RecursionError as error:
        raise UserError(f"{path}: not a checkpoint: it is nested without end") from error


def _load(path: str | os.PathLike, *, mmap: bool = False) -> dict[str, Any]:
    """`torch.load` with one-line errors."""
    _check_readable(path)
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
    except Exception as error:  # what torch raises for damaged files is no fixed set
        raise UserError(f"{path}: not a file of weights, or damaged") from error
    if not isinstance(loaded, Mapping):
        raise UserError(f"{path}: not a file of weights: it holds a {type(loaded).__name__}")
    return dict(loaded)


def _check_readable(path: str | os.PathLike) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from error


class _StandIn:
    """Remembers what an object of another class was made of, and does nothing."""

    def __init__(self, *args, **kwargs):
        self.arguments = args

    def __setstate__(self, state):
        self.contents = state


def _stand_in(name: str) -> type:
    """A stand-in that the safe unpickler takes for the class or function `name`."""
    module, _, qualified = name.rpartition(".")
    return type(qualified, (_StandIn,), {"__module__": module})


def _without_stand_ins(value: Any) -> Any:
    """`value` with OmegaConf's containers and nodes as what they contain."""
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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
