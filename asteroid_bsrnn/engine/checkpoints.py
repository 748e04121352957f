"""Checkpoints of a run: the best ones, and the latest ones, from which training resumes.

Every checkpoint is written whole or not at all. If the latest one is damaged nevertheless, training
resumes from the one before.
"""

from __future__ import annotations

import os
import pickle
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning.callbacks as lightning
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ..files import remove_unfinished, whole_file

# What loading a damaged file raises.
_DAMAGE = (EOFError, OSError, RuntimeError, ValueError, pickle.UnpicklingError)


class WholeCheckpoints(TorchCheckpointIO):
    """Writer of checkpoints whose files get their names when they are complete.

    Lightning's own writer moves a file from the system's temporary folder, which is a copy, and can
    be interrupted, where that is another file system.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished, open(unfinished, "wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())


# The names of the two classes below are part of the keys of their states in checkpoints.


class ModelCheckpoint(lightning.ModelCheckpoint):
    """Lightning's callback, for runs that are killed, repeated in part, or moved."""

    def file_exists(self, filepath: str, trainer) -> bool:
        """Replace a file of the same epoch, which a killed process left, instead of adding one."""
        return False

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best scores, also where the run's folder was moved."""
        state = dict(state_dict)
        if self.dirpath and state.get("dirpath") != self.dirpath:
            state["dirpath"] = self.dirpath
            for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
                state[name] = self._here(state.get(name, ""))
            state["best_k_models"] = {
                self._here(path): score for path, score in state.get("best_k_models", {}).items()
            }
        super().load_state_dict(state)

    def _here(self, path: str) -> str:
        return str(Path(self.dirpath) / Path(path).name) if path else path


class EarlyStopping(lightning.EarlyStopping):
    """Lightning's callback, with a patience that a resumed run may change."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore all but the patience."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_train_start(self, trainer, pl_module) -> None:
        """Stop a run that is resumed though its patience is exhausted."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class PeriodicCheckpoint(lightning.Callback):
    """Write a checkpoint within an epoch, which may take hours, every few minutes.

    It is written after a step of the optimiser, when no gradients are pending, and replaces the one
    before.
    """

    def __init__(self, folder: str | Path, minutes: float):
        self.folder, self.seconds = Path(folder), 60 * minutes
        self._written = 0.0

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        """Start the clock: the epoch before ended with a checkpoint."""
        self._written = time.monotonic()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Write a checkpoint if it is due."""
        if trainer.is_last_batch:  # the end of the epoch has a checkpoint of its own
            return
        # All ranks take part and their clocks differ, but asking each other takes time.
        every = trainer.accumulate_grad_batches * (1 if trainer.world_size == 1 else 64)
        due = time.monotonic() - self._written > self.seconds
        if (batch_idx + 1) % every or not trainer.strategy.reduce_boolean_decision(due, all=False):
            return
        name = f"latest-{trainer.current_epoch:04d}-{batch_idx + 1:06d}.ckpt"
        trainer.save_checkpoint(self.folder / name)
        self._remove_others(trainer, name)
        self._written = time.monotonic()

    def on_train_end(self, trainer, pl_module) -> None:
        """Remove the checkpoint: the one of the last epoch's end replaces it."""
        self._remove_others(trainer)

    def _remove_others(self, trainer, name: str | None = None) -> None:
        """Remove all such checkpoints but one; an interrupted process may have left several."""
        if trainer.is_global_zero:
            for path in self.folder.glob(f"latest-*-{'[0-9]' * 6}.ckpt"):
                if path.name != name:
                    path.unlink()


class BestModel(lightning.Checkpoint):
    """Call `save` with the best checkpoint, on the first process, whenever there is a better one.

    The callback `best`, which keeps the best checkpoints, comes before this one.
    """

    def __init__(self, best: ModelCheckpoint, save: Callable[[Path], None]):
        self._best, self._save = best, save
        self._saved = ""

    def on_train_start(self, trainer, pl_module) -> None:
        """Hand over the best checkpoint of the sessions before, which may have been killed."""
        if os.path.isfile(self._best.best_model_path):
            self._update(trainer)

    def on_validation_end(self, trainer, pl_module) -> None:
        """Hand over the checkpoint if this validation was the best."""
        self._update(trainer)

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        """The same, where the best checkpoint is written at the end of the epoch."""
        self._update(trainer)

    def _update(self, trainer) -> None:
        path = self._best.best_model_path
        if trainer.is_global_zero and path and path != self._saved:
            self._save(Path(path))
            self._saved = path


def checkpoint_callbacks(
    folder: str | Path,
    *,
    monitor: str,
    mode: str,
    minutes: float,
    save_best: Callable[[Path], None],
) -> list[lightning.Callback]:
    """Return callbacks that keep the five best checkpoints, the latest two, and one in an epoch.

    Args:
        folder: of the run's checkpoints.
        monitor: name of the validated measure.
        mode: "max" or "min", which is better.
        minutes: between checkpoints within an epoch; 0 writes none.
        save_best: called with the path of each new best checkpoint, on the first process.
    """
    best = ModelCheckpoint(
        folder,
        filename="best-{epoch:04d}",
        monitor=monitor,
        mode=mode,
        save_top_k=5,
        auto_insert_metric_name=False,
    )
    latest = ModelCheckpoint(
        folder,
        # Names sort in time: "end" comes after the numbers of batches.
        filename="latest-{epoch:04d}-end",
        monitor="epoch",
        mode="max",
        save_top_k=2,
        auto_insert_metric_name=False,
        save_on_train_epoch_end=True,
    )
    within_epochs = [PeriodicCheckpoint(folder, minutes)] if minutes else []
    return [best, BestModel(best, save_best), *within_epochs, latest]


def resumable(folder: str | Path, say: Callable[[str], None] = warnings.warn) -> Path | None:
    """Return the latest undamaged checkpoint, or None; `say` is called for every damaged one."""
    for path in sorted(Path(folder).glob("latest-*.ckpt"), reverse=True):
        try:
            torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            _check_records(path)
        except _DAMAGE as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            say(f"{path}: the checkpoint is damaged ({reason}); resuming from the one before")
        else:
            return path
    return None


def remove_leftovers(folder: str | Path) -> None:
    """Remove the unfinished files that a killed process left in a run's folder."""
    folder = Path(folder)
    for path in folder.glob("checkpoints/.*.ckpt"):
        path.unlink(missing_ok=True)
    if folder.is_dir():
        remove_unfinished(folder / "best_model.pth")
        remove_unfinished(folder / "conf.yml")


def _check_records(path: Path) -> None:
    """Verify the checksums of everything in the file, which loading does not."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error
    if damaged:
        raise ValueError(f"wrong checksum of {damaged}")
