"""Which examples make up an epoch, on which rank, from where on."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import Sampler

from ..errors import UserError


class EpochSampler(Sampler[int]):
    """Consecutive indices, dealt out to the ranks in turn and going on from epoch to epoch.

    The epoch e consists of the indices from `e * samples_per_epoch` on; a rank takes every
    `world_size`-th of them. So all ranks together read the same examples, and with batches as much
    smaller in the same steps, whatever their number. Where that does not divide
    `samples_per_epoch`, the epoch's last few indices are left out, for every rank must take as many
    steps as the others.

    Lightning calls `set_epoch` by itself.

    Args:
        samples_per_epoch: number of examples in an epoch, over all ranks.
        rank: of this process, from 0 on.
        world_size: number of processes.

    Raises:
        UserError: a number is out of its range.
    """

    def __init__(self, samples_per_epoch: int, rank: int = 0, world_size: int = 1):
        if not (0 <= rank < world_size <= samples_per_epoch):
            raise UserError(
                "need 0 <= rank < world_size <= samples_per_epoch, got"
                f" rank={rank}, world_size={world_size}, samples_per_epoch={samples_per_epoch}"
            )
        self.samples_per_epoch = samples_per_epoch
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self._resumed = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration gives."""
        self.epoch = epoch

    def resume(self, epoch: int, samples_done: int) -> None:
        """Leaves out the beginning of an epoch that was interrupted; others are given whole.

        Args:
            epoch: the epoch, which is also chosen.
            samples_done: number of its examples that this rank has used: batches times batch size.
        """
        if samples_done < 0:
            raise UserError(f"samples_done must be 0 or more, got {samples_done}")
        self.epoch = epoch
        self._resumed = (epoch, samples_done)

    def __len__(self) -> int:
        """Number of the rank's examples in a whole epoch, also where one is resumed.

        Lightning counts the steps done before the interruption among the epoch's.
        """
        return self.samples_per_epoch // self.world_size

    def __iter__(self) -> Iterator[int]:
        resumed_epoch, samples_done = self._resumed
        start = samples_done if self.epoch == resumed_epoch else 0
        first = self.epoch * self.samples_per_epoch + self.rank
        return (first + i * self.world_size for i in range(start, len(self)))
