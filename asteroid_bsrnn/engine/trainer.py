"""Optimiser, scheduler and trainer of a run, from its configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytorch_lightning as pl
import torch
from asteroid.engine.optimizers import make_optimizer
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_warn
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau, StepLR

from ..errors import UserError
from ..kernels import has_bfloat16
from .checkpoints import EarlyStopping, WholeCheckpoints

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
SCHEDULERS = ("step", "cosine", "plateau", "none")
MONITORS = {"usdr": ("val_usdr", "max"), "loss": ("val_loss", "min")}


def batches_per_step(training: Mapping, n_devices: int) -> int:
    """Return the number of batches whose gradients are accumulated for a step of the optimiser.

    `training` is the configuration's group of that name, `n_devices` counts those on all machines.

    Raises:
        UserError: if `examples_per_step` is not a whole number of batches.
    """
    wanted = training["examples_per_step"]
    if wanted is None:
        return training["accumulate"]
    at_once = training["batch_size"] * n_devices
    if wanted % at_once:
        raise UserError(
            f"training.examples_per_step ({wanted}) must be a multiple of batch_size x devices "
            f"({training['batch_size']} x {n_devices})"
        )
    return wanted // at_once


def scaled_learning_rate(lr: float, batch_size: int, n_devices: int, accumulate: int) -> float:
    """Return the learning rate by the paper's rule: proportional to the examples per step.

    `lr` is for 16 examples per step, `batch_size` is per device, `accumulate` counts batches.
    """
    return lr * batch_size * n_devices * accumulate / 16


def make_optimization(
    model: torch.nn.Module, config: Mapping, n_devices: int
) -> tuple[torch.optim.Optimizer, object | None]:
    """Return the optimiser, and the scheduler in the form of Asteroid's `System`.

    Raises:
        UserError: for an unknown optimiser or scheduler.
    """
    optim, scheduler = config["optim"], config["scheduler"]
    training = config["training"]
    accumulate = batches_per_step(training, n_devices)
    lr = scaled_learning_rate(optim["lr"], training["batch_size"], n_devices, accumulate)
    settings = {"lr": lr, "weight_decay": optim["weight_decay"]}
    try:
        optimizer = make_optimizer(model.parameters(), optimizer=optim["optimizer"], **settings)
    except ValueError as error:
        raise UserError(f"optim.optimizer: {error}") from error
    if scheduler["name"] not in SCHEDULERS:
        raise UserError(f"scheduler.name is {scheduler['name']!r}; valid: {', '.join(SCHEDULERS)}")
    if scheduler["name"] == "step":
        return optimizer, StepLR(optimizer, scheduler["step_size"], scheduler["gamma"])
    if scheduler["name"] == "cosine":
        return optimizer, CosineAnnealingLR(optimizer, training["max_epochs"])
    if scheduler["name"] == "plateau":
        monitor, mode = monitored(config)
        plateau = ReduceLROnPlateau(
            optimizer, mode, factor=scheduler["gamma"], patience=scheduler["patience"]
        )
        return optimizer, {"scheduler": plateau, "interval": "epoch", "monitor": monitor}
    return optimizer, None


def monitored(config: Mapping) -> tuple[str, str]:
    """Return the name of the measure that decides which validation is best, and "max" or "min".

    Raises:
        UserError: if the configuration names an unknown one.
    """
    name = config["training"]["monitor"]
    if name not in MONITORS:
        raise UserError(f"training.monitor is {name!r}; valid: {', '.join(MONITORS)}")
    return MONITORS[name]


def make_trainer(
    config: Mapping,
    folder: str | Path,
    callbacks: Sequence[Callback],
    *,
    accelerator: str = "auto",
    n_devices: int = 1,
    n_nodes: int = 1,
    max_epochs: int | None = None,
) -> pl.Trainer:
    """Return the trainer of a run.

    Args:
        config: the resolved configuration.
        folder: of the run; TensorBoard's files go to its folder `tensorboard`.
        callbacks: besides early stopping and averaged weights, which the configuration chooses.
        accelerator: Lightning's name of it.
        n_devices: number of devices on each machine.
        n_nodes: number of machines.
        max_epochs: replaces the configuration's; None for the configuration's.

    Raises:
        UserError: for an unknown precision.
    """
    training = config["training"]
    if training["precision"] not in PRECISIONS:
        raise UserError(
            f"training.precision is {training['precision']!r}; valid: {', '.join(PRECISIONS)}"
        )
    monitor, mode = monitored(config)
    callbacks = [*callbacks, EarlyStopping(monitor, mode=mode, patience=training["patience"])]
    if training["ema"]:
        callbacks.append(_averaged_weights(training["ema"]))
    trainer = pl.Trainer(
        default_root_dir=folder,
        max_epochs=max_epochs or training["max_epochs"],
        accelerator=accelerator,
        devices=n_devices,
        num_nodes=n_nodes,
        strategy="ddp" if n_devices * n_nodes > 1 else "auto",
        precision=training["precision"],
        accumulate_grad_batches=batches_per_step(training, n_devices * n_nodes),
        gradient_clip_val=training["gradient_clip"] or None,
        callbacks=callbacks,
        plugins=[WholeCheckpoints()],
        logger=TensorBoardLogger(folder, name="tensorboard", version=""),
        # The loaders' samplers know the ranks, and where a run resumes.
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
    )
    on_cpu = trainer.strategy.root_device.type == "cpu"
    if training["precision"] == "bf16-mixed" and on_cpu and not has_bfloat16():
        rank_zero_warn(
            "training.precision bf16-mixed: this CPU does not compute in bfloat16; 32-true is "
            "faster here"
        )
    return trainer


def _averaged_weights(decay: float) -> Callback:
    try:
        from pytorch_lightning.callbacks import EMAWeightAveraging
    except ImportError as error:
        raise UserError("training.ema needs pytorch-lightning 2.6 or later") from error
    return EMAWeightAveraging(decay=decay)
