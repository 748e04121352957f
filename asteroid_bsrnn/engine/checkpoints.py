"""Checkpoints of a run: the best ones, and the latest two, from which it can go on.

Lightning writes a checkpoint as a whole or not at all. Should the latest be damaged all the same,
by a disk or by hand, the one before serves.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from ..errors import UserError

LATEST = "latest-{epoch:04d}"


def checkpoint_callbacks(
    folder: str | Path, *, monitor: str, mode: str, keep_best: int = 5
) -> list[ModelCheckpoint]:
    """Keep the best checkpoints, and the latest two.

    Args:
        folder: of the run's checkpoints.
        monitor: name of the validated measure.
        mode: "max" or "min", what is best.
        keep_best: number of best checkpoints.

    Returns:
        The callback of the best ones, and that of the latest.
    """
    best = ModelCheckpoint(
        folder,
        filename="best-{epoch:04d}",
        monitor=monitor,
        mode=mode,
        save_top_k=keep_best,
        auto_insert_metric_name=False,
    )
    latest = ModelCheckpoint(
        folder,
        filename=LATEST,
        monitor="epoch",
        mode="max",
        save_top_k=2,
        auto_insert_metric_name=False,
        save_on_train_epoch_end=True,
    )
    return [best, latest]


def resumable(folder: str | Path, say: Callable[[str], None] = warnings.warn) -> Path | None:
    """The latest checkpoint that can be read, or None where there is none.

    Args:
        folder: of the run's checkpoints.
        say: told of every damaged checkpoint that is passed over.
    """
    candidates = sorted(Path(folder).glob("latest-*.ckpt"), reverse=True)
    for path in candidates:
        try:
            torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            _check_records(path)
        except (EOFError, OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            say(f"{path}: the checkpoint is damaged ({reason}); going on from the one before")
        else:
            return path
    return None


def best_checkpoint(folder: str | Path) -> Path:
    """The best checkpoint of a run, by the score that its latest one remembers.

    Raises:
        UserError: if there is none.
    """
    latest = resumable(folder)
    if latest is not None:
        callbacks = torch.load(latest, map_location="cpu", weights_only=True)["callbacks"]
        for state in callbacks.values():
            path = Path(state.get("best_model_path") or "")
            # A run's folder may have been moved since.
            path = Path(folder) / path.name
            if path.name.startswith("best-") and path.is_file():
                return path
    raise UserError(f"{folder}: holds no best checkpoint; train first")


def _check_records(path: Path) -> None:
    """Compare the checksum of everything in the file, which loading alone does not."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error
    if damaged:
        raise ValueError(f"wrong checksum of {damaged}")
