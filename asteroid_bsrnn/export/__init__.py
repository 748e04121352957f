"""Export of networks for other runtimes: ONNX and `torch.export`.

The exported masker maps spectrograms to spectrograms, so that the caller computes the STFT. The
exported waveform model contains its STFT as convolutions and has a fixed length.

Shapes: B batch, C channels, S sources, F bins, T frames, L samples.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import UserError
from ..files import whole_file, writing_to
from ..models import Ensemble, PerSourceSeparator, SourceModel
from ..models.bsrnn import BandSplitModel
from .lowering import (
    in_onnx_order,
    in_torch_order,
    quantise,
    replace_blocks,
    replace_recurrent,
    restore_recurrent,
    run_onnx,
    write_onnx,
)

__all__ = ["OPSET", "Exported", "Masker", "check", "export", "quantise"]

OPSET = 18
"""The opset of ONNX files: the one in which PyTorch's exporter writes, without a conversion."""
SUFFIXES = (".onnx", ".pt2")


@dataclass(frozen=True)
class Exported:
    """A file that `export` wrote, and what a caller needs to know.

    The facts are stored in the file too: `kind` ("masker" or "waveform"), `sources`, `sample_rate`,
    `channels` (None for any number), `n_fft`, `hop` and `window` but for an `Ensemble`, and the
    `samples` of a waveform model.
    """

    path: Path
    facts: dict
    input_shape: tuple  # with names for dynamic dimensions
    output_shape: tuple
    opset: int | None  # of an ONNX file; None for `torch.export`
    error: float  # largest difference from PyTorch on noise, as a share of the largest estimate


def export(
    model: SourceModel,
    path: str | os.PathLike,
    *,
    seconds: float | None = None,
    int8: bool = False,
    opset: int = OPSET,
) -> Exported:
    """Write a network as a file for other runtimes, and compare it with PyTorch.

    Args:
        model: a `BSRNN`, `BSCNN`, `PerSourceSeparator`, or, with `seconds`, an `Ensemble` of them.
            It is not changed.
        path: the file; `.onnx` selects ONNX, `.pt2` selects `torch.export`.
        seconds: length of a waveform model; None exports the masker.
        int8: whether to store the weights in 8 bits (ONNX only).
        opset: version of the ONNX operators.

    Returns:
        The file and what was exported.

    Raises:
        UserError: the model or the combination of options cannot be exported, a package is
            missing, or the file cannot be written.
    """
    path = Path(path)
    is_onnx = check(path, int8=int8)
    _check_model(model, seconds)
    facts = _facts(model, seconds)
    twin = type(model)(**model.get_model_args()).eval()
    twin.load_state_dict(model.state_dict())
    module = _module(twin, facts)
    module = module.requires_grad_(False)
    example, dynamic, shapes = _example(model, facts)
    expected = module(example)
    replace_recurrent(module, in_onnx_order if is_onnx else in_torch_order)
    functions = replace_blocks(module) if is_onnx else []
    # The example's sizes differ from one another, or two dimensions would be exported as one.
    with torch.no_grad():
        program = torch.export.export(module, (example,), dynamic_shapes=(dynamic,), strict=False)
    with writing_to(path), whole_file(path) as part:
        if is_onnx:
            write_onnx(program, functions, part, facts, opset, int8)
            found = run_onnx(part, example)
        else:
            restore_recurrent(program)
            extra = {"facts.json": json.dumps(facts)}
            with open(part, "wb") as file:  # torch refuses other suffixes than .pt2
                torch.export.save(program, file, extra_files=extra)
            with open(part, "rb") as file, torch.no_grad():
                found = torch.export.load(file).module()(example)
    error = ((found - expected).abs().max() / expected.abs().max()).item()
    return Exported(path, facts, *shapes, opset if is_onnx else None, error)


def check(path: str | os.PathLike, *, int8: bool = False) -> bool:
    """Check what can be checked before a model is loaded, and return whether the file is ONNX.

    Arguments and errors are those of `export`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path}: unknown kind of file; choose a name in {' or '.join(SUFFIXES)}")
    # An export takes a minute; a folder that is missing must not be noticed after it.
    with writing_to(path), tempfile.TemporaryFile(dir=Path(path).parent):
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if suffix == ".pt2":
        if int8:
            raise UserError(f"{path}: int8 is for ONNX files; choose a name in .onnx")
        return False
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"ONNX files need the package {error.name}: pip install 'asteroid-bsrnn[export]'"
        ) from error
    return True


def _check_model(model: SourceModel, seconds: float | None) -> None:
    """Refuse what cannot be exported."""
    for network in model.networks if isinstance(model, Ensemble) else [model]:
        if not isinstance(network, (BandSplitModel, PerSourceSeparator)):
            raise UserError(
                f"{type(network).__name__} cannot be exported; BSRNN, BSCNN, separators and bags "
                "made of them can"
            )
    if isinstance(model, Ensemble) and seconds is None:
        raise UserError(
            "a bag has no masker, since it averages waveforms: export it from waveform to "
            "waveforms with --seconds, or export each of its models"
        )


def _facts(model: SourceModel, seconds: float | None) -> dict:
    """Return what a caller of the exported file needs to know."""
    networks = model.networks if isinstance(model, Ensemble) else [model]
    # The filterbank with the longest window needs the longest signal.
    filterbank = max((one.encoder.filterbank for one in networks), key=lambda one: one.n_filters)
    # An ensemble feeds each network the number of channels that it needs.
    channels = 2 if isinstance(model, Ensemble) else model.in_channels
    facts = {
        "kind": "masker" if seconds is None else "waveform",
        "sources": list(model.sources),
        "sample_rate": int(model.sample_rate),
        "channels": channels,
    }
    if not isinstance(model, Ensemble):
        facts["n_fft"], facts["hop"] = filterbank.n_filters, filterbank.stride
        facts["window"] = filterbank.window_name
    if seconds is not None:
        facts["samples"] = round(seconds * model.sample_rate)
        if facts["samples"] <= filterbank.n_filters // 2:
            raise UserError(
                f"seconds must be more than half a window of {filterbank.n_filters} samples, "
                f"got {seconds:g}"
            )
    return facts


def _module(model: SourceModel, facts: dict) -> nn.Module:
    """Return the module that is exported."""
    if "samples" not in facts:
        return Masker(model)
    if not isinstance(model, Ensemble):
        return Waveform(model, facts["samples"])
    model.networks = nn.ModuleList(Waveform(one, facts["samples"]) for one in model.networks)
    return model


def _example(model: SourceModel, facts: dict) -> tuple[torch.Tensor, dict, tuple]:
    """Return noise as input, its dynamic dimensions, and the shapes of input and output."""
    dynamic = {0: torch.export.Dim("batch")}
    channels = facts["channels"]
    if channels is None:
        dynamic[1] = torch.export.Dim("channels")
    names = ("batch", channels or "channels")
    generator = torch.Generator().manual_seed(0)
    sources = len(model.sources)
    if "samples" in facts:
        rest: tuple = (facts["samples"],)
        size = rest
    else:
        dynamic[2] = torch.export.Dim("frames")
        rest = ("frames", facts["n_fft"] // 2 + 1, 2)
        size = (7, *rest[1:])
    example = torch.randn(3, channels or 2, *size, generator=generator)
    return example, dynamic, ((*names, *rest), (names[0], sources, names[1], *rest))


class Masker(nn.Module):
    """The network between the transforms, with real and imaginary parts as the last axis.

    In memory a spectrogram is an array of complex numbers, frame by frame.

    Args:
        model: a `BSRNN`, `BSCNN` or `PerSourceSeparator`.

    Shape:
        (B, C, T, F, 2) -> (B, S, C, T, F, 2)
    """

    def __init__(self, model: SourceModel):
        super().__init__()
        self.model = model

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Estimate the spectrograms of the sources."""
        stacked = spectrogram.permute(0, 1, 4, 3, 2).flatten(2, 3)  # (B, C, 2F, T)
        estimates = self.model.estimate_spectrogram(stacked)  # (B, S, C, 2F, T)
        return estimates.unflatten(3, (2, -1)).permute(0, 1, 2, 5, 4, 3)


class Waveform(nn.Module):
    """The whole network at a fixed length, with both transforms as convolutions.

    ONNX has no inverse STFT. One kernel serves both transforms.

    Args:
        model: a `BSRNN`, `BSCNN` or `PerSourceSeparator`.
        length: number of samples L, more than half a window.

    Shape:
        (B, C, L) -> (B, S, C, L)
    """

    def __init__(self, model: SourceModel, length: int):
        super().__init__()
        filterbank = model.encoder.filterbank
        self.model, self.length = model, length
        self.sources, self.in_channels = model.sources, model.in_channels
        self.n_fft, self.hop = filterbank.n_filters, filterbank.stride
        window = torch.as_tensor(filterbank.window, dtype=torch.float64)
        bins, samples = torch.arange(filterbank.cutoff), torch.arange(self.n_fft)
        angles = 2 * torch.pi / self.n_fft * (bins[:, None] * samples % self.n_fft).double()
        kernel = torch.cat([angles.cos(), -angles.sin()]) * window  # (2F, n_fft)
        # The bins between the first and the last one stand for two of the full spectrum.
        share = torch.full((filterbank.cutoff,), 2 / self.n_fft, dtype=torch.float64)
        share[[0, -1]] = 1 / self.n_fft
        squares = window.square().repeat(1 + length // self.hop, 1).T[None]  # (1, n_fft, T)
        one_by_one = torch.eye(self.n_fft, dtype=torch.float64).unsqueeze(1)
        weight = F.conv_transpose1d(squares, one_by_one, stride=self.hop)
        weight = weight[..., self.n_fft // 2 :][..., :length]
        self.register_buffer("kernel", kernel.unsqueeze(1).float())
        self.register_buffer("share", torch.cat([share, share]).unsqueeze(-1).float())
        self.register_buffer("weight", weight[0].float())

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Estimate the sources of a mixture."""
        half = self.n_fft // 2
        n_channels = mixture.shape[1]
        padded = F.pad(mixture.reshape(-1, 1, self.length), (half, half), mode="reflect")
        spectrogram = F.conv1d(padded, self.kernel, stride=self.hop)  # (B * C, 2F, T)
        spectrogram = spectrogram.unflatten(0, (-1, n_channels))
        estimates = self.model.estimate_spectrogram(spectrogram)  # (B, S, C, 2F, T)
        frames = (estimates * self.share).flatten(0, 2)
        waveforms = F.conv_transpose1d(frames, self.kernel, stride=self.hop)
        waveforms = waveforms[..., half : half + self.length] / self.weight
        return waveforms.reshape(-1, len(self.model.sources), n_channels, self.length)
