"""From what a user names as a model to the file of its weights, for the whole project."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from ..errors import UserError
from ..files import list_files
from . import checkpoint, hub, install
from .download import fetch_url
from .registry import registry

# The recipes' names in the folder of a run.
BEST_OF_RUN = "best_model.pth"
CHECKPOINTS_OF_RUN = "checkpoints"


@dataclass(frozen=True)
class Weights:
    """Weights on this machine."""

    path: Path  # a file, or a folder of published files with one network each
    name: str | None  # in the registry or on the Hub, or a URL; None for the user's own files
    label: str  # short name for tables and messages
    run: Path | None = None  # folder of the training run that the file is in


def find_weights(given: str | os.PathLike, stems: str | Sequence[str] | None = None) -> Weights:
    """Return the weights that a user names, downloaded and verified first if need be.

    Args:
        given: as in `zoo.load`; the models of a bag file (`weights.bag`) are found when it is
            loaded.
        stems: wanted sources; only the networks that estimate them are downloaded. None means all.

    Raises:
        UserError: there are no such weights, or they cannot be downloaded or verified.
    """
    wanted = os.fspath(given)
    if hub.is_reference(wanted):
        label = hub.parse(wanted).repository.rpartition("/")[2]
        return Weights(hub.fetch(wanted), wanted, label)
    if "://" in wanted:
        return Weights(fetch_url(wanted), wanted, PurePath(wanted.partition("#")[0]).stem)
    if wanted in registry():
        files = install.ensure(registry()[wanted], stems)
        return Weights(files[0] if len(files) == 1 else files[0].parent, wanted, wanted)
    path = Path(wanted)
    if wanted and path.exists():
        return _of_user((file_of_run(path) if path.is_dir() else None) or path)
    if path.suffix or os.sep in wanted:
        raise UserError(f"{path}: cannot be read: No such file or directory")
    raise UserError(
        f"unknown model {wanted!r}: neither a file, a folder nor a name; valid names: "
        f"{', '.join(registry())} (asteroid-bsrnn models lists them)"
    )


def file_of_run(folder: Path) -> Path | None:
    """Return the file of the best weights in the folder of a run, or None for another folder.

    Args:
        folder: the folder of the run, or of its checkpoints.
    """
    best = folder / BEST_OF_RUN
    if best.is_file():
        return best
    inner = folder / CHECKPOINTS_OF_RUN
    return best_checkpoint(inner if inner.is_dir() else folder)


def best_checkpoint(folder: Path) -> Path | None:
    """Return the best checkpoint of a training, or None if there is none.

    The latest readable checkpoint stores which one is the best. Before the first validation it is
    the latest one itself.
    """
    files = {path.name: path for path in list_files(folder, (".ckpt",))}
    for name in sorted((name for name in files if name.startswith("latest-")), reverse=True):
        try:
            callbacks = checkpoint.load_dict(files[name], mmap=True).get("callbacks", {})
        except UserError:
            continue  # a damaged checkpoint; the one before serves
        for state in callbacks.values():
            # The folder may have been moved since, so only the name counts.
            best = PurePath(state.get("best_model_path") or "").name
            if best.startswith("best-") and best in files:
                return files[best]
        return files[name]
    best = sorted(name for name in files if name.startswith("best-"))
    return files[best[-1]] if best else None


def checkpoints_in(path: str | os.PathLike) -> list[Path]:
    """Return `[path]`; for a folder the best weights of the run, or the checkpoints (*.ckpt) in it.

    Raises:
        UserError: the folder contains no checkpoint.
    """
    path = Path(path)
    if not path.is_dir():
        return [path]
    run = file_of_run(path)
    found = list_files(path, (".ckpt",)) if run is None else [run]
    if not found:
        raise UserError(f"{path}: there is no checkpoint (*.ckpt) in this folder")
    return sorted(found, key=checkpoint.in_order_of_sources)


def _of_user(path: Path) -> Weights:
    """Return the weights in a user's file or folder, with the run that they belong to."""
    whole = path.absolute()
    if path.name == BEST_OF_RUN:
        return Weights(path, None, _label(whole.parent), path.parent)
    if path.suffix == ".ckpt" and whole.parent.name == CHECKPOINTS_OF_RUN:
        run = whole.parent.parent
        return Weights(path, None, f"{_label(run)}_{path.stem}", run)
    return Weights(path, None, whole.resolve().name if path.is_dir() else path.stem)


def _label(run: Path) -> str:
    return run.resolve().name.removeprefix("train_")
