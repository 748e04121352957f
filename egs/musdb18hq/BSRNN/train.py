"""Stage 2: train a row of the paper's table; goes on where it was interrupted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_info

import recipe
import unlabelled
from asteroid_bsrnn import UserError
from asteroid_bsrnn.data import fingerprint
from asteroid_bsrnn.engine import config as configuration
from asteroid_bsrnn.engine.callbacks import ProgressBar, RunLedger
from asteroid_bsrnn.engine.checkpoints import best_checkpoint, checkpoint_callbacks, resumable
from asteroid_bsrnn.engine.system import NotFiniteLossError, SeparationSystem
from asteroid_bsrnn.engine.trainer import make_optimization, make_trainer, monitored
from asteroid_bsrnn.memory import keep_freed_memory
from asteroid_bsrnn.weights import checkpoint


def main() -> int:
    """Train, and return the exit code: 2 for a user's mistake, in one line."""
    parser = recipe.parser(__doc__)
    parser.add_argument("--accelerator", default="auto", help="auto, cpu or gpu")
    parser.add_argument("--devices", type=int, default=1, help="on each machine")
    parser.add_argument("--num_nodes", type=int, default=1, help="machines")
    parser.add_argument(
        "--overfit", type=int, default=0, metavar="N", help="train on N batches alone, as a trial"
    )
    parser.add_argument(
        "--track_epochs", type=int, default=0, metavar="N", help="train N epochs and extrapolate"
    )
    options = parser.parse_args()
    try:
        train(options)
    except (UserError, NotFiniteLossError) as error:
        # A loader's process sends its whole traceback, the message last; and a progress bar may
        # have left its line unfinished.
        message = (
            str(error).strip().splitlines()[-1].removeprefix("asteroid_bsrnn.errors.UserError: ")
        )
        print(f"\nerror: {message}", file=sys.stderr)
        return 2
    return 0


def train(options) -> None:
    """Train the run that the options describe."""
    config = recipe.configure(options)
    folder = Path(options.exp_dir)
    n_devices = options.devices * options.num_nodes
    pl.seed_everything(config["training"]["seed"], verbose=False)
    model = recipe.build_model(config)
    tracks = recipe.build_tracks(config, options.root, "train", "train")
    validation = recipe.build_tracks(config, options.root, "train", "valid")
    claim(folder, config)

    optimizer, scheduler = make_optimization(model, config, n_devices)
    monitor, mode = monitored(config)
    ledger = RunLedger(
        folder,
        config,
        data_fingerprint=fingerprint(options.root, [*tracks, *validation]),
        unlabelled=unlabelled.facts(config),
        extrapolate=bool(options.track_epochs),
    )
    checkpointing = checkpoint_callbacks(
        folder / "checkpoints",
        monitor=monitor,
        mode=mode,
        minutes=config["training"]["checkpoint_minutes"],
    )
    trainer = make_trainer(
        config,
        folder,
        [*checkpointing, ledger, ProgressBar(ledger)],
        accelerator=options.accelerator,
        n_devices=options.devices,
        n_nodes=options.num_nodes,
        max_epochs=options.track_epochs or None,
    )
    ranks = (trainer.global_rank, trainer.world_size)
    if options.overfit:
        loaders = recipe.build_overfit_loaders(config, tracks, model.sample_rate, options.overfit)
    else:
        loaders = (
            recipe.build_train_loader(config, options.root, tracks, model.sample_rate, *ranks),
            recipe.build_validation_loader(config, validation, model.sample_rate, *ranks),
        )
    system = SeparationSystem(
        model,
        optimizer,
        recipe.build_loss(config),
        *loaders,
        stems=recipe.STEMS,
        schedule=recipe.build_schedule(config, model.sample_rate),
        scheduler=scheduler,
        config=config,
        augment=None if options.overfit else recipe.build_augmentations(config),
        normalise=recipe.build_normalisation(config),
        seed=config["training"]["seed"],
        describe=loaders[0].dataset.describe,
        report_directory=folder,
        validate_loss=monitor == "val_loss",
    )
    checkpoint_path = resumable(folder / "checkpoints", rank_zero_info)
    if checkpoint_path is not None:
        rank_zero_info(f"going on from {checkpoint_path}")
    trainer.fit(system, ckpt_path=checkpoint_path, weights_only=True)
    if trainer.is_global_zero:
        save_best(system, folder, loaders[0].dataset.get_infos())


def claim(folder: Path, config: dict) -> None:
    """Make the folder of the run, or see that it is this run's.

    Raises:
        UserError: if a run of another configuration lies there.
    """
    path = folder / "conf.yml"
    if path.exists():
        if configuration.load(path) != config:
            raise UserError(f"{folder}: holds a run of another configuration; choose another --tag")
        return
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    configuration.save(config, path)


def save_best(system: SeparationSystem, folder: Path, data_infos: dict) -> None:
    """Write the best weights as `best_model.pth`, the file that later stages and users load."""
    path = best_checkpoint(folder / "checkpoints")
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    weights = {name.removeprefix("model."): value for name, value in state.items()}
    system.model.load_state_dict(weights)
    infos = {**data_infos, "training_config": system.config}
    checkpoint.save_model(system.model.cpu(), folder / "best_model.pth", infos)
    rank_zero_info(f"best weights, of {path.name}: {folder / 'best_model.pth'}")


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
