"""Stage 2: train a row of the paper's table, or resume its training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.exceptions import MisconfigurationException

import data_groups
import recipe
from asteroid_bsrnn import UserError
from asteroid_bsrnn.data import fingerprint
from asteroid_bsrnn.engine.callbacks import ProgressBar, RunLedger
from asteroid_bsrnn.engine.checkpoints import checkpoint_callbacks, remove_leftovers, resumable
from asteroid_bsrnn.engine.config import check_same_run
from asteroid_bsrnn.engine.system import NotFiniteLossError, SeparationSystem
from asteroid_bsrnn.engine.trainer import make_optimization, make_trainer, monitored
from asteroid_bsrnn.memory import is_out_of_memory, keep_freed_memory
from asteroid_bsrnn.separation.chunks import make_schedule
from asteroid_bsrnn.weights import checkpoint
from asteroid_bsrnn.weights.find import best_checkpoint

BEST = "best_model.pth"


def main() -> int:
    """Train, and return the exit code, 2 for a mistake of the user."""
    parser = recipe.parser(__doc__)
    parser.add_argument("--accelerator", default="auto", help="auto, cpu or gpu")
    parser.add_argument("--devices", type=int, default=1, help="on each machine")
    parser.add_argument("--num_nodes", type=int, default=1, help="machines")
    parser.add_argument(
        "--overfit", type=int, default=0, metavar="N", help="train only on N batches, as a trial"
    )
    parser.add_argument(
        "--track_epochs", type=int, default=0, metavar="N", help="train N epochs and extrapolate"
    )
    return exit_code(train, parser.parse_args())


def exit_code(action: Callable, options) -> int:
    """Run a training; return 2, with one line on stderr, for a user's mistake."""
    try:
        action(options)
    except (UserError, NotFiniteLossError, MisconfigurationException) as error:
        # A loader's process sends its whole traceback, with the message in the last line. A
        # progress bar may have left its line unfinished.
        message = str(error).strip().splitlines()[-1]
        message = message.removeprefix("asteroid_bsrnn.errors.UserError: ")
        print(f"\nerror: {message}", file=sys.stderr)
        return 2
    return 0


def train(options) -> None:
    """Train the run that the options describe."""
    config = recipe.configure(options)
    run(
        config,
        recipe.build_model,
        options.root,
        Path(options.exp_dir),
        accelerator=options.accelerator,
        n_devices=options.devices,
        n_nodes=options.num_nodes,
        overfit=options.overfit,
        track_epochs=options.track_epochs,
    )


def run(
    config: dict,
    build: Callable[[dict], torch.nn.Module],
    root: str,
    folder: Path,
    *,
    accelerator: str = "auto",
    n_devices: int = 1,
    n_nodes: int = 1,
    overfit: int = 0,
    track_epochs: int = 0,
    callbacks: Sequence[Callback] = (),
    prepare: Callable[[SeparationSystem], None] | None = None,
) -> None:
    """Train a network, or resume its training, and keep its best weights in `best_model.pth`.

    Args:
        config: the resolved configuration.
        build: returns the network of a configuration.
        root: folder of the data set.
        folder: folder of the run.
        accelerator: name of the accelerator in Lightning.
        n_devices: number of devices on each machine.
        n_nodes: number of machines.
        overfit: number of batches to train on, as a trial; 0 means all data.
        track_epochs: number of epochs to train before time and energy are extrapolated; 0 means
            those of the configuration.
        callbacks: further callbacks.
        prepare: called with the system before a new training, but not before a resumed one.

    Raises:
        UserError: for data or settings that cannot be trained on, or too little memory.
        NotFiniteLossError: if the loss became NaN or infinite.
    """
    contents = recipe.contents(config)
    check_same_run(folder, config, contents)
    pl.seed_everything(config["training"]["seed"], verbose=False)
    model, layout = build(config), data_groups.layout_of(config)
    tracks = recipe.build_tracks(config, root, "train")
    validation = recipe.build_tracks(config, root, "valid")
    monitor, mode = monitored(config)
    ledger = RunLedger(
        folder,
        config,
        data_fingerprint=fingerprint(root, [*tracks, *validation]),
        unlabelled=data_groups.facts_of_songs(config),
        contents=contents,
        extrapolate=bool(track_epochs),
    )

    def save(path: Path) -> None:
        save_best(system, path, folder, loaders[0].dataset.get_infos())

    checkpointing = checkpoint_callbacks(
        folder / "checkpoints",
        monitor=monitor,
        mode=mode,
        minutes=config["training"]["checkpoint_minutes"],
        save_best=save,
    )
    trainer = make_trainer(
        config,
        folder,
        [ledger, ProgressBar(ledger), *callbacks, *checkpointing],
        accelerator=accelerator,
        n_devices=n_devices,
        n_nodes=n_nodes,
        max_epochs=track_epochs or None,
    )
    if overfit:
        loaders = recipe.build_overfit_loaders(config, tracks, model.sample_rate, overfit)
    else:
        place = (model.sample_rate, trainer.global_rank, trainer.world_size)
        loaders = (
            recipe.build_train_loader(config, root, tracks, *place),
            recipe.build_validation_loader(config, validation, *place),
        )
    optimizer, scheduler = make_optimization(model, config, n_devices * n_nodes)
    system = SeparationSystem(
        model,
        optimizer,
        recipe.build_loss(config),
        *loaders,
        stems=list(layout.stems),
        sums=layout.sums,
        schedule=make_schedule(**config["validation"], sample_rate=model.sample_rate),
        scheduler=scheduler,
        config=config,
        augment=None if overfit else recipe.build_augmentations(config),
        normalise=recipe.build_normalisation(config),
        seed=config["training"]["seed"],
        describe=loaders[0].dataset.describe,
        report_directory=folder,
        validate_loss=monitor == "val_loss",
    )
    if trainer.is_global_zero:
        remove_leftovers(folder)
    fit(trainer, system, folder / "checkpoints", prepare)
    if trainer.is_global_zero:
        path = best_checkpoint(folder / "checkpoints")
        if path is None:
            raise UserError(f"{folder}: the training ended without a checkpoint")
        save(path)
        rank_zero_info(f"best weights, of {path.name}: {folder / BEST}")


def fit(
    trainer: pl.Trainer,
    system: SeparationSystem,
    checkpoints: Path,
    prepare: Callable[[SeparationSystem], None] | None,
) -> None:
    """Train from the latest checkpoint in a folder, or from the start after `prepare`."""
    path = resumable(checkpoints, rank_zero_info)
    if path is not None:
        rank_zero_info(f"resuming from {path}")
    elif prepare is not None:
        prepare(system)
    try:
        trainer.fit(system, ckpt_path=path, weights_only=True)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(recipe.out_of_memory(system.config)) from error


def save_best(system: SeparationSystem, path: Path, folder: Path, data_infos: dict) -> None:
    """Write the weights of a checkpoint as `best_model.pth`, which later stages and users load."""
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
    conf = system.model.serialize()
    conf["state_dict"] = {name.removeprefix("model."): value for name, value in state.items()}
    conf["infos"] = {**conf["infos"], **data_infos, "training_config": system.config}
    checkpoint.save_dict(conf, folder / BEST)


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
