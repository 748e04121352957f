"""`asteroid-bsrnn export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import UserError
from .options import count, local_path, name, number_within


def add_export(commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "export",
        description="Write a network as ONNX, or for torch.export, to run it without this package. "
        "By default that is the masker, from spectrogram to spectrograms, with any batch size and "
        "number of frames; the caller computes the STFT (docs/export.md). The file is compared "
        "with PyTorch after it is written.",
    )
    parser.add_argument(
        "model",
        type=name,
        metavar="MODEL",
        help="a name, file, URL, folder of a run, or hf:user/name on the Hugging Face Hub",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=local_path,
        required=True,
        metavar="FILE",
        help=".onnx for ONNX, .pt2 for torch.export",
    )
    parser.add_argument(
        "--stems",
        metavar="SOURCE,...",
        help="of weights with one network per source, export only these networks",
    )
    parser.add_argument(
        "--seconds",
        type=number_within(above=0),
        help="export the whole network, from waveform to waveforms, at this fixed length",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="store the weights in 8 bits: a quarter of the size, less precise",
    )
    parser.add_argument("--opset", type=count, help="of ONNX; default: 18")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    from .. import export, zoo

    target = Path(options.output)
    export.check(target, int8=options.int8)
    if target.exists() and not options.overwrite:
        raise UserError(f"{target}: exists already; use --overwrite to replace it")
    stems = options.stems.split(",") if options.stems else None
    exported = export.export(
        zoo.load(options.model, stems=stems),
        target,
        seconds=options.seconds,
        int8=options.int8,
        opset=options.opset or export.OPSET,
    )
    _show(exported)
    return 0


def _show(exported) -> None:
    facts = exported.facts
    size = exported.path.stat().st_size / 1e6
    form = f"ONNX, opset {exported.opset}" if exported.opset else "torch.export"
    print(f"{exported.path}: {facts['kind']}, {form}, {size:.1f} MB")
    shapes = [f"({', '.join(map(str, s))})" for s in (exported.input_shape, exported.output_shape)]
    print(f"{' -> '.join(shapes)}; sources: {', '.join(facts['sources'])}")
    if "n_fft" in facts:
        stft = f"STFT of {facts['n_fft']} samples, hop {facts['hop']}, "
        print(f"{stft}periodic {facts['window']} window, {facts['sample_rate']} Hz")
    print(f"largest difference from PyTorch: {exported.error:.1e} of the largest estimate")
