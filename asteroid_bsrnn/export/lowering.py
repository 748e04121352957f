"""What takes the place of parts of a network during an export, and the ONNX files of the result.

Recurrent layers: `torch.export` unrolls them over a fixed number of steps. An operation that it
does not know takes their place and is replaced afterwards.

Dual-path blocks: an export to ONNX takes about a tenth of a second for each operation. The blocks
of a network differ in their weights only. So one of them is exported, as a function of its input
and its weights, and the file contains a copy of it for each block.

Shapes: B batch, C channels, T frames, K bands, N features.
"""

from __future__ import annotations

import functools
import json
import logging
import operator
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..models.bsrnn import BandSplitModel

DOMAIN = "asteroid_bsrnn"
"""Of operations that exist only during an export."""


@functools.cache
def recurrent_operation():
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
        return recurrent_operation()(x, start, list(self.weights), self.cell), None


def replace_recurrent(module: nn.Module, weights_of) -> None:
    """Put `_Recurrent` in place of every recurrent layer."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.RNNBase):
                setattr(parent, name, _Recurrent(child, weights_of(child)))


def in_torch_order(layer: nn.RNNBase) -> list[torch.Tensor]:
    """Return the weights of a layer in PyTorch's order."""
    return [weight.data for weight in layer._flat_weights]


def in_onnx_order(layer: nn.RNNBase) -> list[torch.Tensor]:
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


def restore_recurrent(program: torch.export.ExportedProgram) -> None:
    """Put PyTorch's own operations in place of `recurrent_operation`."""
    graph = program.graph
    operations = {"LSTM": torch.ops.aten.lstm.input, "GRU": torch.ops.aten.gru.input}
    for node in list(graph.nodes):
        if node.target is not recurrent_operation():
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


class _BlockCall(nn.Module):
    """Stands for a `DualPathBlock` during the export to ONNX: a call of a function."""

    def __init__(self, block: nn.Module, function: str):
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(block.parameters())

    def forward(self, x: torch.Tensor, n_channels: int, *, overwrite: bool = False) -> torch.Tensor:
        x = x.unflatten(2, (-1, n_channels))  # (T, K, B, C, N)
        values = {"dtype": x.dtype, "shape": x.shape, "version": 1}
        return torch.onnx.ops.symbolic(self.function, [x, *self.weights], **values).flatten(2, 3)


class _BlockFunction(nn.Module):
    """A `DualPathBlock` as a function of its input (T, K, B, C, N) and its weights."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.block = (block,)  # hidden: its own weights are not exported
        self.names = [name for name, _ in block.named_parameters()]

    def forward(self, x: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
        state = dict(zip(self.names, weights, strict=True))
        arguments = (x.flatten(2, 3), x.shape[3])
        y = torch.func.functional_call(self.block[0], state, arguments)
        return y.unflatten(2, x.shape[2:4])


def replace_blocks(module: nn.Module) -> list[tuple[str, nn.Module, tuple]]:
    """Put `_BlockCall` in place of every dual-path block.

    Returns:
        For each `DualPathSeparator` the name of the function that its blocks call, a block, and the
        shape of its features (K, C, N), in which C is None for any number of channels.
    """
    functions = []
    for network in [part for part in module.modules() if isinstance(part, BandSplitModel)]:
        separator, name = network.masker.separator, f"{DOMAIN}::Block{len(functions) + 1}"
        n_bands, _, n_features = network.masker.mask_estimator.weight.shape
        n_channels = 1 if network.masker.channels_as_features else network.in_channels
        functions.append((name, separator.blocks[0], (n_bands, n_channels, n_features)))
        separator.blocks = nn.ModuleList(_BlockCall(block, name) for block in separator.blocks)
    return functions


def export_block(block: nn.Module, shape: tuple) -> torch.export.ExportedProgram:
    """Export a block as a function of its features and its weights."""
    n_bands, n_channels, n_features = shape
    example = torch.randn(7, n_bands, 3, n_channels or 2, n_features)
    dynamic = {0: torch.export.Dim("frames"), 2: torch.export.Dim("batch")}
    if n_channels is None:
        dynamic[3] = torch.export.Dim("channels")
    weights = [parameter.data for parameter in block.parameters()]
    with torch.no_grad():
        return torch.export.export(
            _BlockFunction(block),
            (example, weights),
            dynamic_shapes=(dynamic, [None] * len(weights)),
            strict=False,
        )


# --- ONNX files ----------------------------------------------------------------------------------


SMALLEST_INT8 = 8192
"""Number of elements from which `int8` stores a weight in 8 bits."""


def _to_onnx(program: torch.export.ExportedProgram, opset: int, **names):
    """Convert an exported program to an optimised ONNX program."""
    with _quiet():
        return torch.onnx.export(
            program,
            dynamo=True,
            opset_version=opset,
            custom_translation_table={recurrent_operation(): _translate_recurrent},
            verbose=False,
            **names,
        )


def write_onnx(
    program: torch.export.ExportedProgram,
    functions: list,
    path: Path,
    facts: dict,
    opset: int,
    int8: bool,
) -> None:
    """Write an exported program as ONNX, with the blocks that it calls."""
    names = {"input_names": ["mixture"], "output_names": ["estimates"]}
    onnx_program = _to_onnx(program, opset, **names)
    model = onnx_program.model
    _insert_blocks(model, functions, opset)
    model.producer_name = "asteroid-bsrnn"
    model.metadata_props.update({name: json.dumps(value) for name, value in facts.items()})
    if not int8:
        onnx_program.save(str(path), external_data=False)
        return
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "float32.onnx"
        onnx_program.save(str(whole), external_data=False)
        quantise(whole, path)


def _insert_blocks(model, functions: list, opset: int) -> None:
    """Replace the calls of functions in an ONNX model by the exported blocks."""
    import onnx_ir
    from onnx_ir.passes import common

    for name, block, shape in functions:
        graph = _to_onnx(export_block(block, shape), opset).model.graph
        for value in list(graph.initializers.values()):
            constant = onnx_ir.node("Constant", [], {"value": value.const_value})
            graph.insert_before(graph[0], constant)
            value.replace_all_uses_with(constant.outputs[0])
        graph.initializers.clear()
        domain, name = name.split("::")
        function = onnx_ir.Function(domain, name, "", graph=graph, attributes=[])
        model.functions[function.identifier()] = function
    for run in (
        common.InlinePass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.RemoveUnusedOpsetsPass(),
        common.NameFixPass(),
    ):
        run(model)


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


def quantise(whole: str | os.PathLike, path: str | os.PathLike) -> None:
    """Write an ONNX file with the float32 weights of another in 8 bits, with a scale for every row.

    The runtime turns them back to float32 and computes in float32. Quantised products (dynamic
    quantisation) are up to a quarter faster, but need activations in 8 bits too: with the weights
    in the package, the error of the worst stem is -14 dB instead of -28 dB.
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


def run_onnx(path: Path, example: torch.Tensor) -> torch.Tensor:
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
