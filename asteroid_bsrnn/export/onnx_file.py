"""ONNX files of exported programs."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from .stand_ins import export_block, recurrent_operation

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
