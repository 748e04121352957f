"""Checkpoints of a run: the best ones, and the latest two, from which it can go on.

Lightning writes a checkpoint as a whole or not at all. Should the latest be damaged all the same,
by a disk or by hand, the one before serves.
"""

from __future__ import annotations

import pickle
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from ..errors import UserError


class PeriodicCheckpoint(Callback):
    """Writes a checkpoint in the midst of an epoch, which may take hours.

    It is written after a step of the optimiser, when no gradients are waiting, and replaces the one
    before.

    Args:
        folder: of the run's checkpoints.
        minutes: from one to the next.
    """

    def __init__(self, folder: str | Path, minutes: float):
        self.folder, self.seconds = Path(folder), 60 * minutes
        self._written = 0.0

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        """Begin to count: a checkpoint was written at the end of the epoch before."""
        self._written = time.monotonic()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Write a checkpoint if it is time."""
        if trainer.is_last_batch:  # the end of the epoch writes its own
            return
        # All ranks must take part, and their clocks differ; they do not ask each other every time.
        every = trainer.accumulate_grad_batches * (1 if trainer.world_size == 1 else 64)
        due = time.monotonic() - self._written > self.seconds
        if (batch_idx + 1) % every or not trainer.strategy.reduce_boolean_decision(due, all=False):
            return
        name = f"latest-{trainer.current_epoch:04d}-{batch_idx + 1:06d}.ckpt"
        trainer.save_checkpoint(self.folder / name)
        self._remove_others(trainer, name)
        self._written = time.monotonic()

    def on_train_end(self, trainer, pl_module) -> None:
        """What was written at the end of the last epoch takes the place of these."""
        self._remove_others(trainer)

    def _remove_others(self, trainer, name: str | None = None) -> None:
        """Also those that an interrupted process left behind."""
        if trainer.is_global_zero:
            for path in self.folder.glob(f"latest-*-{'[0-9]' * 6}.ckpt"):
                if path.name != name:
                    path.unlink()


def checkpoint_callbacks(
    folder: str | Path, *, monitor: str, mode: str, minutes: float = 30.0, keep_best: int = 5
) -> list[Callback]:
    """Keep the best checkpoints, the latest two, and one in the midst of an epoch.

    Args:
        folder: of the run's checkpoints.
        monitor: name of the validated measure.
        mode: "max" or "min", what is best.
        minutes: between checkpoints in the midst of an epoch; 0 means none.
        keep_best: number of best checkpoints.

    Returns:
        The callbacks that write them.
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
        # In the order of their names: the end of an epoch comes after its middle.
        filename="latest-{epoch:04d}-end",
        monitor="epoch",
        mode="max",
        save_top_k=2,
        auto_insert_metric_name=False,
        save_on_train_epoch_end=True,
    )
    return [best, *([PeriodicCheckpoint(folder, minutes)] if minutes else []), latest]


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
