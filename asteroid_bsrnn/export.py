"""Export of networks for other runtimes: ONNX and `torch.export`.

The exported masker maps spectrograms to spectrograms, so that the caller computes the STFT. The
exported waveform model contains its STFT as convolutions and has a fixed length.

Shapes: B batch, C channels, S sources, F bins, T frames, L samples.
"""

from __future__ import annotations

import functools
import json
import logging
import operator
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .errors import UserError
from .files import whole_file
from .models import PerSourceSeparator, SourceModel
from .models.bsrnn import BandSplitModel

OPSET = 18
"""The opset of ONNX files: the one in which PyTorch's exporter writes, without a conversion."""
SUFFIXES = (".onnx", ".pt2")
SMALLEST_INT8 = 8192
"""Number of elements from which `int8` stores a weight in 8 bits."""


@dataclass(frozen=True)
class Exported:
    """A file that `export` wrote.

    Attributes:
        path: the file.
        facts: what a caller needs to know, as stored in the file: `kind` ("masker" or
            "waveform"), `sources`, `sample_rate`, `channels` (None for any number), `n_fft`, `hop`,
            `window`, and the `samples` of a waveform model.
        input_shape: with names for dynamic dimensions.
        output_shape: with names for dynamic dimensions.
        opset: of an ONNX file; None for `torch.export`.
        error: largest difference from PyTorch on noise, as a share of the largest estimate.
    """

    path: Path
    facts: dict
    input_shape: tuple
    output_shape: tuple
    opset: int | None
    error: float


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
        self.n_fft, self.hop = filterbank.n_filters, filterbank.stride
        window = torch.as_tensor(filterbank.window, dtype=torch.float64)
        bins, samples = torch.arange(filterbank.cutoff), torch.arange(self.n_fft)
        angles = 2 * torch.pi / self.n_fft * (bins[:, None] * samples % self.n_fft).double()
        kernel = torch.cat([angles.cos(), -angles.sin()]) * window  # (2F, n_fft)
        # The bins between the first and the last one stand for two of the full spectrum.
        share = torch.full((filterbank.cutoff,), 2 / self.n_fft, dtype=torch.float64)
        share[[0, -1]] = 1 / self.n_fft
        squares = window.square().repeat(1 + length // self.hop, 1).T[None]  # (1, n_fft, T)
        weight = _overlap_add(squares, self.hop)[..., self.n_fft // 2 :][..., :length]
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


def _overlap_add(frames: torch.Tensor, hop: int) -> torch.Tensor:
    """Return the sum (1, 1, L) of overlapping frames (1, n_fft, T)."""
    kernel = torch.eye(frames.shape[1], dtype=frames.dtype).unsqueeze(1)
    return F.conv_transpose1d(frames, kernel, stride=hop)


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
        model: a `BSRNN`, `BSCNN` or `PerSourceSeparator`. It is not changed.
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
    if not isinstance(model, (BandSplitModel, PerSourceSeparator)):
        raise UserError(
            f"{type(model).__name__} cannot be exported; BSRNN, BSCNN and separators made of "
            "them can"
        )
    facts = _facts(model, seconds)
    twin = type(model)(**model.get_model_args()).eval()
    twin.load_state_dict(model.state_dict())
    module = Masker(twin) if seconds is None else Waveform(twin, facts["samples"])
    module = module.requires_grad_(False)
    example, dynamic, shapes = _example(model, facts)
    expected = module(example)
    _replace_recurrent(module, _onnx_weights if is_onnx else _torch_weights)
    # The example's sizes differ from one another, or two dimensions would be exported as one.
    with torch.no_grad():
        program = torch.export.export(module, (example,), dynamic_shapes=(dynamic,), strict=False)
    with whole_file(path) as part:
        if is_onnx:
            _write_onnx(program, part, facts, opset, int8)
            found = _run_onnx(part, example)
        else:
            _restore_recurrent(program)
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


def _facts(model: SourceModel, seconds: float | None) -> dict:
    """Return what a caller of the exported file needs to know."""
    filterbank = model.encoder.filterbank
    facts = {
        "kind": "masker" if seconds is None else "waveform",
        "sources": list(model.sources),
        "sample_rate": int(model.sample_rate),
        "channels": model.in_channels,
        "n_fft": filterbank.n_filters,
        "hop": filterbank.stride,
        "window": filterbank.window_name,
    }
    if seconds is not None:
        facts["samples"] = round(seconds * model.sample_rate)
        if facts["samples"] <= filterbank.n_filters // 2:
            raise UserError(
                f"seconds must be more than half a window of {filterbank.n_filters} samples, "
                f"got {seconds:g}"
            )
    return facts


def _example(model: SourceModel, facts: dict) -> tuple[torch.Tensor, dict, tuple]:
    """Return noise as input, its dynamic dimensions, and the shapes of input and output."""
    dynamic = {0: torch.export.Dim("batch")}
    channels = model.in_channels
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


# --- recurrent layers ----------------------------------------------------------------------------
# `torch.export` unrolls recurrent layers over a fixed number of steps. An operation that it does
# not know takes their place during the export and is replaced afterwards.


@functools.cache
def _recurrent_operation():
    """Register and return the operation that stands for a recurrent layer."""

    @torch.library.custom_op("asteroid_bsrnn::recurrent", mutates_args=())
    def recurrent(
        x: torch.Tensor, start: torch.Tensor, weights: list[torch.Tensor], cell: str
    ) -> torch.Tensor:
        raise NotImplementedError("stands for a recurrent layer during an export only")

    @recurrent.register_fake
    def _(x, start, weights, cell):
        n_directions, _, n_hidden = start.shape
        return x.new_empty(x.shape[0], x.shape[1], n_directions * n_hidden)

    return torch.ops.asteroid_bsrnn.recurrent.default


class _Recurrent(nn.Module):
    """Stands for an `nn.LSTM` or `nn.GRU`: (T, B, N) -> (T, B, directions * H), None."""

    def __init__(self, layer: nn.RNNBase, weights: list[torch.Tensor]):
        super().__init__()
        self.cell, self.hidden_size = layer.mode, layer.hidden_size
        self.n_directions = 2 if layer.bidirectional else 1
        self.weights = nn.ParameterList(nn.Parameter(weight, False) for weight in weights)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        start = x.new_zeros(self.n_directions, x.shape[1], self.hidden_size)
        return _recurrent_operation()(x, start, list(self.weights), self.cell), None


def _replace_recurrent(module: nn.Module, weights_of) -> None:
    """Put `_Recurrent` in place of every recurrent layer."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.RNNBase):
                setattr(parent, name, _Recurrent(child, weights_of(child)))


def _torch_weights(layer: nn.RNNBase) -> list[torch.Tensor]:
    """Return the weights of a layer in PyTorch's order."""
    return [weight.data for weight in layer._flat_weights]


def _onnx_weights(layer: nn.RNNBase) -> list[torch.Tensor]:
    """Return the weights of a layer as ONNX needs them: W, R and B, with directions first."""
    # PyTorch has gates i, f, g, o and r, z, n; ONNX has i, o, f, c and z, r, h.
    order = [0, 3, 1, 2] if layer.mode == "LSTM" else [1, 0, 2]
    directions = ("", "_reverse") if layer.bidirectional else ("",)
    stacks: dict[str, list[torch.Tensor]] = {}
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        for direction in directions:
            gates = getattr(layer, f"{name}_l0{direction}").data.chunk(len(order))
            stacks.setdefault(name, []).append(torch.cat([gates[i] for i in order]))
    stacked = {name: torch.stack(weights) for name, weights in stacks.items()}
    biases = torch.cat([stacked["bias_ih"], stacked["bias_hh"]], dim=1)
    return [stacked["weight_ih"], stacked["weight_hh"], biases]


def _restore_recurrent(program: torch.export.ExportedProgram) -> None:
    """Put PyTorch's own operations in place of `_recurrent_operation`."""
    graph = program.graph
    operations = {"LSTM": torch.ops.aten.lstm.input, "GRU": torch.ops.aten.gru.input}
    for node in list(graph.nodes):
        if node.target is not _recurrent_operation():
            continue
        x, start, weights, cell = node.args
        state = [start, start] if cell == "LSTM" else start
        start_value = start.meta["val"]
        with graph.inserting_before(node):
            # With biases, one layer, no dropout, not in training, directions, steps first.
            options = (True, 1, 0.0, False, start_value.shape[0] == 2, False)
            layer = graph.call_function(operations[cell], (x, state, weights, *options))
            states = (start_value,) * (2 if cell == "LSTM" else 1)
            layer.meta = {**node.meta, "val": (node.meta["val"], *states)}
            output = graph.call_function(operator.getitem, (layer, 0))
            output.meta = dict(node.meta)
        node.replace_all_uses_with(output)
        graph.erase_node(node)
    program.graph_module.recompile()


def _translate_recurrent(x, start, weights, cell: str):
    """Return the ONNX node of a recurrent layer, for PyTorch's exporter."""
    from onnxscript import opset18 as op

    n_directions, n_hidden = weights[1].shape[0], weights[1].shape[2]
    options = {
        "hidden_size": int(n_hidden),
        "direction": "bidirectional" if n_directions == 2 else "forward",
    }
    if cell == "LSTM":
        states, _, _ = op.LSTM(x, *weights, **options)
    else:
        # PyTorch multiplies the reset gate with the product, not with the state before it.
        states, _ = op.GRU(x, *weights, **options, linear_before_reset=1)
    # (T, directions, B, H) -> (T, B, directions * H)
    rows = op.Transpose(states, perm=[0, 2, 1, 3])
    return op.Reshape(rows, op.Constant(value_ints=[0, 0, int(n_directions * n_hidden)]))


# --- ONNX ----------------------------------------------------------------------------------------


def _write_onnx(
    program: torch.export.ExportedProgram, path: Path, facts: dict, opset: int, int8: bool
) -> None:
    """Write an exported program as ONNX."""
    with _quiet():
        onnx_program = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=opset,
            input_names=["mixture"],
            output_names=["estimates"],
            custom_translation_table={_recurrent_operation(): _translate_recurrent},
            verbose=False,
        )
    model = onnx_program.model
    model.producer_name = "asteroid-bsrnn"
    model.metadata_props.update({name: json.dumps(value) for name, value in facts.items()})
    if not int8:
        onnx_program.save(str(path), external_data=False)
        return
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "float32.onnx"
        onnx_program.save(str(whole), external_data=False)
        quantise(whole, path)


def quantise(whole: str | os.PathLike, path: str | os.PathLike) -> None:
    """Write an ONNX file with the weights in 8 bits, each with a scale for every row.

    The runtime turns them back to float32 and computes in float32. Quantised products (dynamic
    quantisation) are up to a quarter faster, but need activations in 8 bits too: with the weights
    in the package, the error of the worst stem is -14 dB instead of -28 dB.

    Args:
        whole: the file in float32.
        path: the file to write.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(whole)
    graph = model.graph
    nodes = []
    for initializer in list(graph.initializer):
        weight = numpy_helper.to_array(initializer)
        if weight.dtype != np.float32 or weight.ndim < 2 or weight.size < SMALLEST_INT8:
            continue
        name = initializer.name
        rounded, scale, axis = _in_8_bits(weight)
        graph.initializer.remove(initializer)
        for kind, array in (("int8", rounded), ("scale", scale)):
            graph.initializer.append(numpy_helper.from_array(array, f"{name}.{kind}"))
        inputs = [f"{name}.int8", f"{name}.scale"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [name], axis=axis))
    for position, node in enumerate(nodes):
        graph.node.insert(position, node)
    onnx.save(model, path)


def _in_8_bits(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return rounded weights, their scales, and the axis of the scales with the smallest error."""
    best = None
    for axis in range(weight.ndim):
        others = tuple(i for i in range(weight.ndim) if i != axis)
        largest = np.abs(weight).max(axis=others, keepdims=True)
        scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        rounded = np.rint(weight / scale)
        error = np.square(rounded * scale - weight).sum()
        if best is None or error < best[0]:
            best = error, rounded.astype(np.int8), scale.ravel(), axis
    return best[1:]


def _run_onnx(path: Path, example: torch.Tensor) -> torch.Tensor:
    """Return the output of an ONNX file on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"mixture": example.numpy()})[0])


@contextmanager
def _quiet():
    """Hide what the exporter logs about its progress."""
    names = ("torch.onnx", "onnxscript", "onnx_ir")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
