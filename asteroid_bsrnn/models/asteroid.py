"""Asteroid's `separate` methods for models of music.

Asteroid's own functions rescale all estimates to the level of the mixture and read only the first
channel of a file. The methods here keep level and channels.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ..audio import stems
from ..options import FileOptions
from ..separation.chunks import CrossFade, any_channels, separate_blocks


class SeparateMethods:
    """The `separate` methods of a `SourceModel`, in place of those of Asteroid's `BaseModel`."""

    def separate(
        self, wav, output_dir=None, force_overwrite: bool = False, resample: bool = False, **kwargs
    ):
        """Separate a tensor, an array or a file by the method for it, whose arguments it takes.

        Returns:
            Estimates of the type of `wav`; None for a file.

        Raises:
            ValueError: `wav` has another type.
        """
        if isinstance(wav, (str, os.PathLike)):
            return self.file_separate(wav, output_dir, force_overwrite, resample, **kwargs)
        if isinstance(wav, np.ndarray):
            return self.numpy_separate(wav, **kwargs)
        if isinstance(wav, torch.Tensor):
            return self.torch_separate(wav, **kwargs)
        raise ValueError(
            f"Only support filenames, numpy arrays and torch tensors, received {type(wav)}"
        )

    @torch.no_grad()
    def torch_separate(self, wav: torch.Tensor, **kwargs) -> torch.Tensor:
        """Return estimates at the level of the mixture, on its device.

        Args:
            wav: (time,), (batch, time) or (batch, channels, time), at the model's sample rate.
            **kwargs: passed to `forward_wav`.

        Returns:
            (sources, time), (batch, sources, time) or (batch, sources, channels, time). As
            everywhere in Asteroid, estimates of a mono mixture have no channel dimension.
        """
        device = next(self.parameters()).device
        return self.forward_wav(wav.to(device), **kwargs).to(wav.device)

    def numpy_separate(self, wav: np.ndarray, **kwargs) -> np.ndarray:
        """Return what `torch_separate` returns, for an array."""
        return self.torch_separate(torch.from_numpy(wav), **kwargs).numpy()

    def file_separate(
        self,
        filename: str | os.PathLike,
        output_dir: str | os.PathLike | None = None,
        force_overwrite: bool = False,
        resample: bool = False,
        **kwargs,
    ) -> None:
        """Write the estimates of a file as `<name>_est<i>.wav`, with all of its channels.

        The file is separated in chunks, so that memory use does not depend on its length.
        Estimates have the level and depth of the file; they are clipped at full scale unless the
        depth is float.

        Args:
            filename: an audio file.
            output_dir: folder of the estimates; None means that of the file.
            force_overwrite: whether to replace existing estimates. If false, nothing is separated
                where one exists, and a warning says so.
            resample: whether to resample a file of another sample rate, and its estimates back.
            **kwargs: passed to `forward_wav`.

        Raises:
            RuntimeError: the sample rate differs and `resample` is false.
            UserError: the file cannot be read or the estimates cannot be written.
        """
        source = Path(filename)
        directory = source.parent if output_dir is None else Path(output_dir)
        names = [f"{source.stem}_est{i}.wav" for i in range(1, len(self.sources) + 1)]
        existing = [directory / name for name in names if (directory / name).is_file()]
        if existing and not force_overwrite:
            warnings.warn(
                f"File {existing[0]} already exists, pass `force_overwrite=True` to overwrite it",
                UserWarning,
                stacklevel=3,
            )
            return
        options = FileOptions(
            clip="none",
            overwrite=force_overwrite,
            track=source.stem,
            file_name="{track}_est{index}.{format}",
        )
        job = stems.plan(filename, directory, self.sources, options)
        rate, model_rate = job.audio.sample_rate, int(self.sample_rate)
        if rate != model_rate and not resample:
            raise RuntimeError(
                f"Received a signal with a sampling rate of {rate}Hz for a model of {model_rate}Hz."
                " You can pass `resample=True` to resample automatically."
            )

        def network(chunks: torch.Tensor) -> torch.Tensor:
            estimates = self.torch_separate(chunks, **kwargs)
            return estimates if estimates.ndim == 4 else estimates.unsqueeze(2)

        def estimate(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
            schedule = CrossFade(10.0, 0.1, model_rate)
            pairwise = any_channels(network, self.in_channels)
            for block in separate_blocks(pairwise, map(torch.from_numpy, blocks), schedule):
                yield block.numpy()

        stems.separate(job, estimate, model_rate)
