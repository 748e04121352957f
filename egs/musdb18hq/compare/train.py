"""Train a peer or a row of the BSRNN recipe within a budget, or resume its training."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import models
import torch
import train as recipe_train
from pytorch_lightning.callbacks import Callback, Timer

from asteroid_bsrnn import UserError, peers
from asteroid_bsrnn.engine.system import SeparationSystem
from asteroid_bsrnn.memory import keep_freed_memory

# Number of training examples from which a peer computes the levels of its input.
EXAMPLES_OF_INPUT = 64


def main() -> int:
    """Train, and return the exit code: 2 for a user's mistake, in one line."""
    parser = models.recipe.parser(__doc__, "--model")
    parser.add_argument("--model", required=True, help=f"one of {', '.join(models.names())}")
    parser.add_argument("--max_minutes", type=float, help="minutes of wall clock, with validation")
    parser.add_argument("--max_steps", type=int, help="steps of the optimiser")
    parser.add_argument("--layout", help="file in .yml that describes data of other stems")
    parser.add_argument("--accelerator", default="auto", help="auto, cpu or gpu")
    return recipe_train.exit_code(train, parser.parse_args())


def train(options) -> None:
    """Train the run that the options describe, as the BSRNN recipe does."""
    if options.max_minutes is None and options.max_steps is None:
        raise UserError("a comparison needs a budget: give --max_minutes or --max_steps")
    recipe_train.run(
        models.configure(options),
        models.build,
        options.root,
        Path(options.exp_dir),
        accelerator=options.accelerator,
        callbacks=budget(options),
        prepare=show_input,
    )


def budget(options) -> list[Callback]:
    """Return the callbacks that end the training; it validates once more then."""
    callbacks: list[Callback] = []
    if options.max_minutes is not None:
        duration = timedelta(minutes=options.max_minutes)
        callbacks.append(Timer(duration, interval="step", verbose=False))
    if options.max_steps is not None:
        callbacks.append(MaxSteps(options.max_steps))
    return callbacks


class MaxSteps(Callback):
    """Callback that ends the training after a number of steps, as `Timer` does after a time."""

    def __init__(self, steps: int):
        self.steps = steps

    def on_train_start(self, trainer, pl_module) -> None:
        """Stop a resumed run that has made all steps."""
        trainer.should_stop = trainer.should_stop or trainer.global_step >= self.steps

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Stop after the last step."""
        trainer.should_stop = trainer.should_stop or trainer.global_step >= self.steps


def show_input(system: SeparationSystem) -> None:
    """Compute the input levels of a peer from training mixtures, as its own recipe does."""
    if not isinstance(system.model, peers.Peer):
        return
    examples = system.train_loader.dataset
    numbers = range(min(EXAMPLES_OF_INPUT, len(examples)))
    # As one batch: the augmentations are drawn for each example.
    sources = torch.stack([examples[number]["sources"] for number in numbers])
    mixtures, _ = system.prepare(sources)
    system.model.fit_input(mixtures.split(1))


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
