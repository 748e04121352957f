"""The training system: from a batch to its loss, and from a validation track to its scores."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from asteroid.engine.system import System

from ..losses import L1Loss
from ..metrics import usdr
from ..separation.chunks import Schedule, any_channels, separate
from ..separation.device import Arrival


class NotFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; the message names the report with the batch."""


class SeparationSystem(System):
    """Train a network on stems, validate it on whole tracks.

    Batches are dicts with `sources` (batch, stems, channels, time) of all stems and `index`
    (batch,), the numbers of the examples. The system sums the stems to mixtures after the
    augmentations. If only sums of stems are known, there is also a matrix `known` (batch, signals,
    stems), and `sources` has the signals: see `data.SemiSupervisedSegments`.

    Args:
        model: (batch, channels, time) -> (batch, sources, channels, time), with
            `forward_with_spectrogram` and `encoder` where the loss needs the STFT.
        optimizer: of the model's parameters.
        loss_func: the training loss.
        train_loader: of batches.
        val_loader: of validation tracks, one by one: dicts with `index`, `mixture` (channels,
            time) and `sources` (stems, channels, time).
        stems: names of the stems in the data, in order.
        sums: names of sums of these that the model may estimate, with their stems. The model's
            sources are stems and sums.
        schedule: how whole tracks are cut into chunks.
        scheduler: as for Asteroid's `System`.
        config: the resolved configuration, plain types only; stored in every checkpoint.
        augment: (batch, stems, channels, time) -> the same, or None.
        normalise: mixture, targets -> the same two normalised, or None.
        seed: of the augmentations; with the number of the batch it determines them.
        describe: from the number of an example to its origin, for the report of a loss that is not
            finite.
        report_directory: folder of that report.
        validate_loss: whether the loss is computed on validation tracks too.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        loss_func: L1Loss,
        train_loader,
        val_loader=None,
        *,
        stems: Sequence[str],
        sums: Mapping[str, Sequence[str]] | None = None,
        schedule: Schedule,
        scheduler=None,
        config: dict | None = None,
        augment: Callable[[torch.Tensor], torch.Tensor] | None = None,
        normalise: Callable | None = None,
        seed: int = 0,
        describe: Callable[[int], object] | None = None,
        report_directory: str | Path = ".",
        validate_loss: bool = False,
    ):
        super().__init__(model, optimizer, loss_func, train_loader, val_loader, scheduler)
        # Asteroid's System refuses a configuration with lists of names.
        self.config = config or {}
        self.schedule = schedule
        parts = {**{stem: [stem] for stem in stems}, **(sums or {})}
        # For each source of the model the stems whose sum it is.
        self.targets = [[list(stems).index(p) for p in parts[name]] for name in model.sources]
        self.augment, self.normalise = augment, normalise
        self.seed, self.describe = seed, describe
        self.report_directory = Path(report_directory)
        self.validate_loss = validate_loss
        self._pending: tuple[Arrival, torch.Tensor, int] | None = None
        self._scores: dict[int, list[float]] = {}
        self._batches = 0

    # Training

    def training_step(self, batch: dict, batch_nb: int) -> torch.Tensor:
        """Return the loss of a batch."""
        self._stop_if_not_finite()
        self._batches += 1
        known = self.comparable(batch["known"]) if "known" in batch else None
        mixture, targets = self.prepare(batch["sources"], known)
        loss = self.loss_of(mixture, targets, known)
        self.log("loss", loss, batch_size=len(mixture), prog_bar=True)
        self._pending = (Arrival(loss), batch["index"], batch_nb)
        return loss

    def comparable(self, known: torch.Tensor) -> torch.Tensor:
        """Return which sums of the model's sources are known.

        Args:
            known: (batch, signals, stems), 1 where a signal contains a stem, else 0.

        Returns:
            (batch, signals, sources); zero for signals with stems that the model does not estimate.
        """
        estimated = torch.stack([known[..., parts].prod(dim=-1) for parts in self.targets], dim=-1)
        sizes = estimated.new_tensor([len(parts) for parts in self.targets])
        complete = (estimated * sizes).sum(dim=-1) == known.sum(dim=-1)
        return estimated * complete.unsqueeze(-1)

    def prepare(
        self, sources: torch.Tensor, known: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return augmented mixture (batch, channels, time) and targets (batch, sources, ...).

        The random numbers depend only on the seed, the number of the batch and the rank, so that a
        resumed run draws the same ones.

        Args:
            sources: (batch, stems, channels, time).
            known: from `comparable`; the targets are then all signals, those silent that are not
                compared.
        """
        if self.augment is not None:
            devices = [sources.device] if sources.device.type == "cuda" else []
            with torch.random.fork_rng(devices):
                torch.manual_seed(self._batch_seed())
                sources = self.augment(sources)
        mixture = sources.sum(dim=1)
        if known is None:
            targets = _sums(sources, self.targets)
        else:
            targets = sources * known.any(dim=-1)[..., None, None]
        return (
            self.normalise(mixture, targets) if self.normalise is not None else (mixture, targets)
        )

    def loss_of(
        self, mixture: torch.Tensor, targets: torch.Tensor, known: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss for a mixture and its targets, or the sums of targets that are known."""
        if not self.loss_func.needs_stft:
            return self.loss_func(self.model(mixture), targets, known=known)
        estimates, spectrograms = self.model.forward_with_spectrogram(mixture)
        transformed = self.model.encoder(targets)
        return self.loss_func(estimates, targets, spectrograms, transformed, known)

    def _batch_seed(self) -> int:
        key = (self.seed * 1_000_003 + self.global_rank) * 1_000_000_007 + self._batches
        return key % 2**63

    # A loss that is not finite

    def _stop_if_not_finite(self) -> None:
        """Check the loss of the batch before: waiting for the latest one would stall a GPU."""
        if self._pending is None:
            return
        arrival, indices, batch_nb = self._pending
        self._pending = None
        loss = arrival.wait()
        if torch.isfinite(loss):
            return
        path = self.report_directory / f"not_finite_loss_rank{self.global_rank}.json"
        report = {
            "loss": str(loss.item()),
            "epoch": self.current_epoch,
            "batch": batch_nb,
            "seed": self.seed,
            "examples": [
                {"index": index, "made_of": self.describe(index) if self.describe else None}
                for index in indices.tolist()
            ],
        }
        path.write_text(json.dumps(report, indent=2, default=str), encoding="utf-8")
        raise NotFiniteLossError(
            f"the loss became {loss.item()} in epoch {self.current_epoch}, batch {batch_nb}; the "
            f"examples of that batch are in {path}"
        )

    # Validation

    def on_validation_epoch_start(self) -> None:
        """Check the last training loss, and drop the scores of the validation before."""
        self._stop_if_not_finite()
        self._scores = {}

    def validation_step(self, batch: dict, batch_nb: int) -> None:
        """Score a whole track."""
        mixture, sources = batch["mixture"], _sums(batch["sources"], self.targets)
        network = any_channels(self.model, self.model.in_channels)
        estimates = separate(network, mixture, self.schedule)
        scores = usdr(sources, estimates).tolist()
        if self.validate_loss:
            scores.append(self._track_loss(estimates, sources))
        number = int(batch["index"])
        # Ranks without a track score one of another rank.
        if number % self.trainer.world_size == self.global_rank:
            self._scores[number] = scores

    def on_validation_epoch_end(self) -> None:
        """Log uSDR (mean over tracks) for each source, their mean, and the loss, on all ranks."""
        n_tracks = len(self.val_loader.dataset)
        names = [f"val_usdr/{source}" for source in self.model.sources]
        names += ["val_loss"] if self.validate_loss else []
        table = torch.zeros(n_tracks, len(names), dtype=torch.float64, device=self.device)
        for number, scores in self._scores.items():
            table[number] = torch.tensor(scores, dtype=torch.float64)
        if self.trainer.world_size > 1:
            # Every rank has scored tracks of its own.
            table = self.trainer.strategy.reduce(table, reduce_op="sum")
        # Silent stems have no uSDR.
        means = torch.where(table.isfinite(), table, torch.nan).nanmean(dim=0)
        if self.trainer.sanity_checking:
            return
        values = dict(zip(names, means.float().tolist(), strict=True))
        usdr_values = [value for name, value in values.items() if name.startswith("val_usdr/")]
        known = [value for value in usdr_values if value == value]
        values["val_usdr"] = sum(known) / len(known) if known else float("nan")
        if len(known) < len(usdr_values):
            warnings.warn(
                "a source is silent in every validation track: its uSDR is NaN, and the mean leaves"
                " it out",
                stacklevel=1,
            )
        self.log_dict(values, rank_zero_only=False, sync_dist=False)

    def _track_loss(self, estimates: torch.Tensor, sources: torch.Tensor) -> float:
        """Return the training loss of a whole track, by parts that fit in memory."""
        part = int(10 * self.model.sample_rate)
        total = 0.0
        for estimate, source in zip(
            estimates.split(part, -1), sources.split(part, -1), strict=True
        ):
            pair = (estimate.unsqueeze(0), source.unsqueeze(0))
            if self.loss_func.needs_stft:
                # A short last part is padded as the network pads it.
                pair = tuple(_at_least(signal, self.model) for signal in pair)
                pair += tuple(self.model.encoder(signal) for signal in pair)
            total += self.loss_func(*pair).item() * estimate.shape[-1]
        return total / estimates.shape[-1]

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Set where the sampler resumes: workers read ahead before Lightning sets the epoch."""
        self._batches = checkpoint["batches"]
        loop = checkpoint["loops"]["fit_loop"]
        epoch = loop["epoch_progress"]["current"]
        batch = loop["epoch_loop.batch_progress"]
        resume = getattr(self.train_loader.sampler, "resume", None)
        if resume is None:
            return
        # Within an epoch, count the processed batches.
        done = 0 if batch["is_last_batch"] else batch["current"]["processed"]
        resume(epoch["processed"], done * self.train_loader.batch_size)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Store the configuration and the number of batches beside the weights."""
        checkpoint["batches"] = self._batches
        checkpoint["training_config"] = self.config


def _sums(stems: torch.Tensor, targets: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return the sums of some stems each: (..., stems, C, L) -> (..., targets, C, L)."""
    if all(len(parts) == 1 for parts in targets):
        return stems[..., [parts[0] for parts in targets], :, :]
    return torch.stack([stems[..., parts, :, :].sum(dim=-3) for parts in targets], dim=-3)


def _at_least(signal: torch.Tensor, model: torch.nn.Module) -> torch.Tensor:
    missing = model.encoder.filterbank.n_filters // 2 + 1 - signal.shape[-1]
    return torch.nn.functional.pad(signal, (0, max(missing, 0)))
