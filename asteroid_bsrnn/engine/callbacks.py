"""Callbacks of a training: the run's ledger with its energy, and the progress bar."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback, TQDMProgressBar

from ..costs.energy import EnergyMeter, EnergyReading
from ..costs.ledger import Ledger
from . import config as configuration


class RunLedger(Callback):
    """Keep a run's `conf.yml` and `ledger.json`, and measure its energy, on the first process.

    Both files are written after the first step, so that a run that fails before leaves neither.
    From then on the ledger is written at the end of every epoch, and every minute. The callback
    comes before those that write checkpoints.

    Args:
        folder: of the run.
        config: the resolved configuration, with `row` and `source` under `run`, the seed under
            `training`, and `track`, `country` and `pue` under `energy`.
        data_fingerprint: of the data set.
        unlabelled: what is learnt from songs without stems, from `data.describe_selection`.
        contents: from settings that name a file to the SHA-256 of its content.
        extrapolate: whether time and energy are extrapolated to the configuration's `max_epochs`
            when the training ends.
    """

    INTERVAL = 60.0

    def __init__(
        self,
        folder: str | Path,
        config: Mapping,
        *,
        data_fingerprint: str | None = None,
        unlabelled: Mapping | None = None,
        contents: Mapping[str, str] | None = None,
        extrapolate: bool = False,
    ):
        self.folder, self.config = Path(folder), config
        self.data_fingerprint, self.unlabelled = data_fingerprint, unlabelled
        self.contents, self.extrapolate = contents, extrapolate
        self._ledger: Ledger | None = None
        self._meter: EnergyMeter | None = None
        self._first_step = self._samples = 0
        # When the files were written last; None before the first time.
        self._written: float | None = None
        self._best: dict[str, float] | None = None
        self._best_epoch: int | None = None
        self._best_score = float("-inf")

    @property
    def reading(self) -> EnergyReading | None:
        """Energy of this session so far."""
        return self._meter.snapshot() if self._meter is not None else None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse early what would fail later: an unknown country, a missing CodeCarbon."""
        if trainer.is_global_zero and self._meter is None:
            energy = self.config["energy"]
            self._meter = EnergyMeter(
                enabled=energy["track"],
                country=energy["country"],
                pue=energy["pue"],
                output_directory=self.folder / "codecarbon" if energy["track"] else None,
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a session."""
        if not trainer.is_global_zero:
            return
        # The meter can describe how it measures only when it runs.
        self._meter.start()
        resumed = trainer.global_step > 0
        ledger = Ledger(self.folder)
        ledger.open_session(
            row=self.config["run"]["row"],
            source=self.config["run"]["source"],
            seed=self.config["training"]["seed"],
            n_parameters=sum(p.numel() for p in pl_module.model.parameters()),
            configuration=self.config,
            data_fingerprint=self.data_fingerprint,
            unlabelled=self.unlabelled,
            contents=self.contents,
            first_epoch=trainer.current_epoch,
            n_gpus=trainer.world_size if pl_module.device.type == "cuda" else 0,
            n_machines=trainer.num_nodes,
            pue=self.config["energy"]["pue"],
            energy_settings=self._meter.description(),
            write=resumed,
        )
        self._ledger = ledger
        self._first_step = trainer.global_step
        if resumed:
            self._update(trainer)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Count the batch, and write the ledger every minute."""
        if self._ledger is None:
            return
        self._samples += len(batch["index"]) * trainer.world_size
        if self._written is None or time.monotonic() - self._written > self.INTERVAL:
            self._update(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the best validation."""
        metrics = trainer.callback_metrics
        score = float(metrics.get("val_usdr", float("nan")))
        if self._ledger is None or not score > self._best_score:
            return
        self._best_score = score
        self._best = {
            name.removeprefix("val_usdr/"): float(value)
            for name, value in metrics.items()
            if name.startswith("val_usdr/") and not value.isnan()
        }
        self._best_epoch = trainer.current_epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch."""
        if self._ledger is not None:
            self._update(trainer, epoch=trainer.current_epoch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the session as finished."""
        self._close(trainer, finished=not trainer.interrupted)

    def on_exception(self, trainer, pl_module, exception: BaseException) -> None:
        """End the session as interrupted."""
        self._close(trainer, finished=False)

    def state_dict(self) -> dict:
        """Return the best validation so far, for the session that resumes from a checkpoint."""
        return {"best": self._best, "best_epoch": self._best_epoch, "best_score": self._best_score}

    def load_state_dict(self, state: dict) -> None:
        """Restore the best validation of the session before."""
        self._best, self._best_epoch = state["best"], state["best_epoch"]
        self._best_score = state["best_score"]

    def _update(self, trainer: Trainer, epoch: int | None = None) -> None:
        if self._written is None:
            configuration.save(self.config, self.folder / configuration.FILE_NAME)
        self._ledger.update(epoch=epoch, **self._state(trainer, self._meter.snapshot(fresh=True)))
        self._written = time.monotonic()

    def _state(self, trainer: Trainer, energy: EnergyReading) -> dict:
        """Return the state of the session for the ledger."""
        return {
            "steps": trainer.global_step - self._first_step,
            "samples": self._samples,
            "energy": energy,
            "best": self._best,
            "best_epoch": self._best_epoch,
        }

    def _close(self, trainer: Trainer, finished: bool) -> None:
        if self._ledger is None:
            return
        ledger, self._ledger = self._ledger, None
        if self._written is None:
            self._meter.stop()
            return
        ledger.close(finished=finished, **self._state(trainer, self._meter.stop()))
        if finished and self.extrapolate:
            ledger.extrapolate(self.config["training"]["max_epochs"])


class ProgressBar(TQDMProgressBar):
    """Lightning's progress bar, with samples per second and the energy used so far.

    Args:
        ledger: of the same run.
    """

    def __init__(self, ledger: RunLedger):
        # Reading the loss from the device waits for its queued work.
        super().__init__(refresh_rate=10)
        self._ledger = ledger
        self._began = self._samples = 0

    def on_train_epoch_start(self, trainer: Trainer, *args) -> None:
        """Start the clock."""
        super().on_train_epoch_start(trainer, *args)
        self._began, self._samples = time.monotonic(), 0

    def on_train_batch_end(self, trainer: Trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Count the batch."""
        self._samples += len(batch["index"]) * trainer.world_size
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict:
        """Return the values beside the bar."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        seconds = time.monotonic() - self._began
        if self._samples:
            metrics["samples/s"] = f"{self._samples / seconds:.1f}"
        reading = self._ledger.reading
        if reading is not None and reading.kwh is not None:
            metrics["kWh"] = f"{reading.kwh:.4f}"
        return metrics
