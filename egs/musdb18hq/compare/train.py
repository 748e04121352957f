"""Train a peer or a row of the BSRNN recipe within a budget; goes on where it was interrupted."""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta
from pathlib import Path

import models
import pytorch_lightning as pl
import torch
import train as recipe_train
from pytorch_lightning.callbacks import Callback, Timer
from pytorch_lightning.utilities import rank_zero_info

import recipe
import unlabelled
from asteroid_bsrnn import UserError, peers
from asteroid_bsrnn.data import fingerprint
from asteroid_bsrnn.engine.callbacks import ProgressBar, RunLedger
from asteroid_bsrnn.engine.checkpoints import checkpoint_callbacks, resumable
from asteroid_bsrnn.engine.system import NotFiniteLossError, SeparationSystem
from asteroid_bsrnn.engine.trainer import make_optimization, make_trainer, monitored
from asteroid_bsrnn.memory import keep_freed_memory

# Training examples from which a network learns the levels of its input before it is trained.
EXAMPLES_OF_INPUT = 64


def main() -> int:
    """Train, and return the exit code: 2 for a user's mistake, in one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True, help="folder with train/ and test/ in it")
    parser.add_argument("--model", required=True, help=f"one of {', '.join(models.names())}")
    parser.add_argument("--source", help="for rows of one source")
    parser.add_argument("--exp_dir", required=True, help="folder of the run")
    parser.add_argument("--max_minutes", type=float, help="wall clock, validation included")
    parser.add_argument("--max_steps", type=int, help="of the optimiser")
    parser.add_argument("--seed", type=int, help="default: the configuration's")
    parser.add_argument("--precision", help="32, bf16-mixed or 16-mixed")
    parser.add_argument("--accelerator", default="auto", help="auto, cpu or gpu")
    parser.add_argument("--set", nargs="+", default=[], metavar="GROUP.KEY=VALUE")
    options = parser.parse_args()
    try:
        train(options)
    except (UserError, NotFiniteLossError) as error:
        print(f"\nerror: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
        return 2
    return 0


def train(options) -> None:
    """Train the run that the options describe, with the parts of the BSRNN recipe."""
    if options.max_minutes is None and options.max_steps is None:
        raise UserError("a comparison needs a budget: give --max_minutes or --max_steps")
    config = models.configure(options)
    folder = Path(options.exp_dir)
    pl.seed_everything(config["training"]["seed"], verbose=False)
    model = models.build(config)
    tracks = recipe.build_tracks(config, options.root, "train", "train")
    validation = recipe.build_tracks(config, options.root, "train", "valid")
    recipe_train.claim(folder, config)
    monitor, mode = monitored(config)
    minutes = config["training"]["checkpoint_minutes"]
    ledger = RunLedger(
        folder,
        config,
        data_fingerprint=fingerprint(options.root, [*tracks, *validation]),
        unlabelled=unlabelled.facts(config),
    )
    checkpointing = checkpoint_callbacks(
        folder / "checkpoints", monitor=monitor, mode=mode, minutes=minutes
    )
    callbacks = [*budget(options), *checkpointing, ledger, ProgressBar(ledger)]
    trainer = make_trainer(config, folder, callbacks, accelerator=options.accelerator)
    loaders = (
        recipe.build_train_loader(config, options.root, tracks, model.sample_rate, 0, 1),
        recipe.build_validation_loader(config, validation, model.sample_rate, 0, 1),
    )
    optimizer, scheduler = make_optimization(model, config, 1)
    system = SeparationSystem(
        model,
        optimizer,
        recipe.build_loss(config),
        *loaders,
        stems=recipe.STEMS,
        schedule=recipe.build_schedule(config, model.sample_rate),
        scheduler=scheduler,
        config=config,
        augment=recipe.build_augmentations(config),
        normalise=recipe.build_normalisation(config),
        seed=config["training"]["seed"],
        describe=loaders[0].dataset.describe,
        report_directory=folder,
        validate_loss=monitor == "val_loss",
    )
    going_on = resumable(folder / "checkpoints", rank_zero_info)
    if going_on is None:
        show_input(system)
    trainer.fit(system, ckpt_path=going_on, weights_only=True)
    recipe_train.save_best(system, folder, loaders[0].dataset.get_infos())


def budget(options) -> list[Callback]:
    """What ends the training; it validates once more then."""
    callbacks: list[Callback] = []
    if options.max_minutes is not None:
        duration = timedelta(minutes=options.max_minutes)
        callbacks.append(Timer(duration, interval="step", verbose=False))
    if options.max_steps is not None:
        callbacks.append(MaxSteps(options.max_steps))
    return callbacks


class MaxSteps(Callback):
    """Ends the training after so many steps of the optimiser, as `Timer` does after a time."""

    def __init__(self, steps: int):
        self.steps = steps

    def on_train_start(self, trainer, pl_module) -> None:
        """A run that goes on may have had them all."""
        trainer.should_stop = trainer.should_stop or trainer.global_step >= self.steps

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Look whether it was the last one."""
        trainer.should_stop = trainer.should_stop or trainer.global_step >= self.steps


def show_input(system: SeparationSystem) -> None:
    """Let a peer see the levels of training mixtures, as its own recipe does."""
    if not isinstance(system.model, peers.Peer):
        return
    examples = system.train_loader.dataset
    numbers = range(min(EXAMPLES_OF_INPUT, len(examples)))
    # Together, as a batch: its augmentations are drawn for each example.
    sources = torch.stack([examples[number]["sources"] for number in numbers])
    mixtures, _ = system.prepare(sources)
    system.model.fit_input(mixtures.split(1))


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
